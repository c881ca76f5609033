"""Runs the policy against made-up arrivals and a made-up model, in made-up time: a day takes seconds, and repeats."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from gpu_service.batching.ticket import Batch, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gpu_service.batching.policy import Policy

    Truth = Callable[[int, float], float]  # padded tokens, time of day -> seconds that the run really takes


class Arrival(NamedTuple):
    """A request: when it comes, in seconds, and the tokens of each of its rows."""

    at: float
    sizes: Sequence[int]


class Served(NamedTuple):
    """A request that got its results: when it came, after how many seconds it had them all, and its tokens."""

    at: float
    latency: float
    tokens: int


@dataclass(slots=True)
class Report:
    """What happened."""

    served: list[Served] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    refused: int = 0
    expired: int = 0
    text: int = 0
    padded: int = 0
    seconds: float = 0.0

    def percentile(self, share: float) -> float:
        """The latency that `share` of the served requests kept, in seconds."""
        latencies = sorted(one.latency for one in self.served)
        return latencies[int(share * (len(latencies) - 1))] if latencies else 0.0

    def goodput(self, target: float) -> float:
        """Tokens a second of the requests that were served within `target` seconds."""
        tokens = sum(one.tokens for one in self.served if one.latency <= target)
        return tokens / self.seconds if self.seconds else 0.0

    def part(self, start: float, end: float) -> Report:
        """The same of the requests that came in this part of the day."""
        served = [one for one in self.served if start <= one.at < end]
        return Report(served=served, seconds=end - start)

    @property
    def rows_per_run(self) -> float:
        """The mean size of a batch."""
        return sum(self.batches) / len(self.batches) if self.batches else 0.0

    @property
    def efficiency(self) -> float:
        """The share of the computed tokens that was text, not padding."""
        return self.text / self.padded if self.padded else 1.0


class Simulator:
    """One policy, its workers, and what has yet to happen to them."""

    def __init__(self, policy: Policy, truth: Truth, *, workers: int = 1) -> None:
        self.report = Report()
        self._policy = policy
        self._truth = truth
        self._idle = workers
        self._numbers = itertools.count()
        self._events: list[tuple[float, int, Arrival | Batch | None]] = []
        self._left: dict[Ticket, tuple[float, int]] = {}  # when it came, and rows without a result

    def run(self, arrivals: Iterable[Arrival]) -> Report:
        """Play it to the end; the policy keeps what it learned."""
        for arrival in arrivals:
            self._plan(arrival.at, arrival)
        now = 0.0
        while self._events:
            now, _, what = heapq.heappop(self._events)
            if isinstance(what, Arrival):
                self._arrive(what, now)
            elif isinstance(what, Batch):
                self._end(what, now)
            self._put_to_work(now)
        self.report.seconds = now
        return self.report

    def _plan(self, at: float, what: Arrival | Batch | None) -> None:
        heapq.heappush(self._events, (at, next(self._numbers), what))

    def _arrive(self, arrival: Arrival, now: float) -> None:
        if self._policy.excess(now, max(arrival.sizes)) > 0:
            self.report.refused += 1
            return
        ticket = Ticket(arrival.sizes, now + self._policy.limits.deadline)
        self._left[ticket] = (now, len(arrival.sizes))
        self._policy.offer(ticket, now)

    def _end(self, batch: Batch, now: float) -> None:
        self._idle += 1
        self._policy.done(batch, now)
        for row in batch.rows:
            came, left = self._left.pop(row.ticket)
            if left > 1:
                self._left[row.ticket] = (came, left - 1)
            else:
                row.ticket.over = True
                self.report.served.append(Served(came, now - came, sum(row.ticket.sizes)))

    def _put_to_work(self, now: float) -> None:
        for ticket in self._policy.expired(now):
            del self._left[ticket]
            self.report.expired += 1
        while self._idle:
            batch = self._policy.take(now)
            if not isinstance(batch, Batch):
                if len(self._policy):
                    self._plan(now + max(batch, 1e-6), None)
                return
            self._idle -= 1
            self.report.batches.append(len(batch.rows))
            self.report.text += batch.tokens
            self.report.padded += batch.padded
            self._plan(now + self._truth(batch.padded, now), batch)
