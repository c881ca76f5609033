"""THE batching policy. It is pure: no clock, no thread, no model; the time comes in with every call, in seconds.

A worker that has nothing to do asks `take`. It gets the oldest row and with it the rows nearest in length, while the
batch stays within its bounds and the padding that a further row causes costs less than half the run that it saves. What
arrives while all workers run joins the next batch, so nothing ever waits for company while a worker is idle, unless
the measured costs and the pace of arrivals say that the wait is won back (`_patience`), or the operator wants it so.

A request shows the workers one run's worth of its rows at a time and goes to the end of the line for the next: two
thousand rows of one client cost everybody else one run. `excess` therefore predicts from the rows in the line alone who
would wait past the target, to be sent away before anything was computed for it.

Where the workers `share` one device, they compute in turns, and who waits for his turn has prepared his batch: he takes
it so shortly before the end of the run under way (`_early`) that hardly anybody comes too late to join.
"""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_left, insort
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gpu_service.batching.cost import Cost
from gpu_service.batching.ticket import Batch, Row, Ticket
from gpu_service.batching.tuning import Tuner

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpu_service.batching.limits import Limits

FOREVER: Final = float("inf")
_OVERHEAD: Final = 0.03  # share of a run that its fixed cost may make up before larger batches stop to pay
_RUN: Final = 0.5  # share of the latency that one run may make up
_SOONER: Final = 0.8  # of the time: what splitting a batch among idle workers has to come to
_VIEW: Final = 8  # runs whose rows are in view: nobody is overtaken by more, and eight find neighbours enough
_PADDING: Final = 0.5  # of the run that a row saves may go into its padding: the next run may have nearer neighbours
_AHEAD: Final = 2.0  # times the mean time to prepare a batch is when its preparation begins
_PAUSE: Final = 1.0  # seconds; a longer gap says no more about the pace
_PACE: Final = 0.1  # weight of the newest gap between arrivals in the running mean


class Policy:
    """The line of one model with `workers` runs at a time; of those that `share` a device one computes."""

    def __init__(self, limits: Limits, *, workers: int = 1, cost: Cost | None = None, share: bool = False) -> None:
        self._shares = share
        self._preparing = 0.0  # running mean of the seconds from taking a batch until the device could begin with it
        self.limits = limits
        self.cost = cost or Cost()
        self.tuner = Tuner(limits.target_latency, moves=limits.tune)
        self.running: set[Batch] = set()
        self.tokens = 0  # in the line
        self._workers = 1 if share else workers  # that compute
        self._budget: int | None = None
        self._numbers = itertools.count()
        self._view: dict[int, Row] = {}  # by number, the oldest first: what a batch is made of
        self._lengths: list[Row] = []  # the same, the shortest first
        self._seen = 0  # their tokens
        self._behind: dict[int, Row] = {}  # what came after them
        self._deadlines: list[tuple[float, int, Ticket]] = []
        self._fill = float(limits.max_batch_tokens)  # running mean of the tokens in runs that left others in the line
        self._gap = _PAUSE  # running mean of the time between two requests
        self._last = -FOREVER

    def __len__(self) -> int:
        return len(self._view) + len(self._behind)

    @property
    def budget(self) -> int:
        """Padded tokens of one run, if it has more than one row; it changes with what is learned from a run."""
        if self._budget is None:
            self._budget = self._useful()
        return self._budget

    def _useful(self) -> int:
        most = self.limits.max_batch_tokens
        if not self.limits.tune:
            return most
        useful = self.cost.worth / _OVERHEAD
        allowed = self.cost.room(_RUN * self.tuner.share * self.limits.target_latency)
        return max(1, int(min(most, useful, allowed)))

    def wait(self, now: float) -> float:
        """Predict after how many seconds a request that came now would be taken; 0 if a worker is idle.

        A run that is overdue is expected to take as long again as it is late.
        """
        busy = sum(abs(batch.began + batch.expected - now) for batch in self.running)
        if not self._view:
            return 0.0 if len(self.running) < self._workers else busy / self._workers
        rows = len(self)
        runs = max(rows / self.limits.max_batch_size, self.tokens / min(self._fill, self.budget), 1)
        return (busy + runs * self.cost.seconds(self.tokens / runs)) / self._workers

    def excess(self, now: float, tokens: int) -> float:
        """Predict by how much a request whose first row has `tokens` would miss the target; not above 0: let it in.

        It is also the time after which the line will have become short enough for it.
        """
        wait = self.wait(now)
        rows = min(self.limits.max_batch_size, max(1, self.budget // tokens))
        allowed = self.tuner.share * self.limits.target_latency - self.cost.seconds(rows * tokens)
        if (late := wait - max(0.0, allowed)) > 0:
            self.tuner.refused()
        return late

    def offer(self, ticket: Ticket, now: float) -> None:
        """Put a request into the line."""
        gap = min(now - self._last, _PAUSE)
        self._gap += _PACE * (gap - self._gap)
        self._last = now
        heapq.heappush(self._deadlines, (ticket.expires, next(self._numbers), ticket))
        self._show(ticket, now)

    def drop(self, ticket: Ticket) -> None:
        """Take what is left of a request out of the line."""
        ticket.over = True
        ticket.hidden.clear()
        if ticket.shown:
            self._remove([row for rows in (self._view, self._behind) for row in rows.values() if row.ticket is ticket])

    def expired(self, now: float) -> list[Ticket]:
        """Give up the requests that have not begun by their deadline."""
        late = []
        while self._deadlines and (self._deadlines[0][0] <= now or self._deadlines[0][2].over):
            ticket = heapq.heappop(self._deadlines)[2]
            if not ticket.begun and not ticket.over:
                self.drop(ticket)
                late.append(ticket)
        return late

    def take(self, now: float) -> Batch | float:
        """Give an idle worker its next batch, or the seconds after which to ask again unless something arrives."""
        if not self._view:
            return FOREVER
        oldest = next(iter(self._view.values()))
        rows = self._grown(oldest, self._share(oldest.size))
        waits = self._early if self._shares and self.running else self._patience
        if (patience := waits(rows, now)) > 0:
            return patience
        batch = Batch(rows, now, self.cost.seconds(len(rows) * max(row.size for row in rows)))
        self.running.add(batch)
        self._remove(rows)
        if self._view:
            self._fill += _PACE * (batch.tokens - self._fill)
        for ticket in {row.ticket: None for row in rows}:
            ticket.begun = True
            if not ticket.shown:
                self._show(ticket, now)
        return batch

    def done(self, batch: Batch, now: float, *, ran: bool = True, busy: float | None = None) -> None:
        """Take note that a batch has been run; not `ran` if it failed, which teaches nothing.

        `busy` is how long it kept a processor busy, if that is known apart from the time on the clock.
        """
        self.running.discard(batch)
        if not ran:
            return
        self._budget = None
        self.cost.learn(batch.padded, now - batch.began, busy)
        for row in batch.rows:
            self.tuner.saw(now - row.since, now)

    def prepared(self, seconds: float) -> None:
        """Take note of how long a batch took to be prepared for the device."""
        self._preparing += _PACE * (seconds - self._preparing)

    def shrink(self) -> None:
        """Make do with half the tokens per run from now on: the device's memory did not suffice."""
        self.limits = replace(self.limits, max_batch_tokens=max(1, self.budget // 2))
        self._budget = None

    def _show(self, ticket: Ticket, now: float) -> None:
        """Move one run's worth of the request's rows into the line."""
        budget = self.budget
        while ticket.hidden and ticket.shown < self.limits.max_batch_size:
            index = ticket.hidden[0]
            if ticket.shown and (ticket.shown + 1) * ticket.sizes[index] > budget:
                break
            row = Row(ticket.sizes[index], next(self._numbers), now, ticket, ticket.hidden.popleft())
            self._behind[row.number] = row
            self.tokens += row.size
            ticket.shown += 1
        self._look()

    def _look(self) -> None:
        """Let the oldest of those behind into view."""
        rows, tokens = _VIEW * self.limits.max_batch_size, _VIEW * self.budget
        while self._behind and len(self._view) < rows and self._seen < tokens:
            row = self._behind.pop(next(iter(self._behind)))
            self._seen += row.size
            self._view[row.number] = row
            insort(self._lengths, row)

    def _remove(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self.tokens -= row.size
            row.ticket.shown -= 1
            if self._behind.pop(row.number, None) is None:
                del self._view[row.number]
                del self._lengths[bisect_left(self._lengths, row)]
                self._seen -= row.size
        self._look()

    def _share(self, size: int) -> int:
        """Rows that one worker may take: with others idle too, its part of the line, if that is done much sooner."""
        idle, rows = self._workers - len(self.running), min(self.limits.max_batch_size, len(self))
        part = -(-len(self) // max(1, idle))
        if part >= rows or not self.limits.tune:
            return rows
        return part if self.cost.seconds(part * size) < _SOONER * self.cost.seconds(rows * size) else rows

    def _grown(self, oldest: Row, most: int) -> list[Row]:
        """Add to the oldest row its neighbours in length, the nearest first, while they fit."""
        batch, longest, budget = [oldest], oldest.size, self.budget
        high = bisect_left(self._lengths, oldest)
        low, high = high - 1, high + 1
        while len(batch) < most:
            shorter = self._lengths[low] if low >= 0 else None
            longer = self._lengths[high] if high < len(self._lengths) else None
            if shorter and not self._fits(len(batch), longest, shorter.size, budget):
                shorter, low = None, -1
            if longer and not self._fits(len(batch), longest, longer.size, budget):
                longer, high = None, len(self._lengths)
            if longer and (not shorter or longer.size - oldest.size <= oldest.size - shorter.size):
                batch.append(longer)
                longest, high = longer.size, high + 1
            elif shorter:
                batch.append(shorter)
                low -= 1
            else:
                break
        return batch

    def _fits(self, rows: int, longest: int, size: int, budget: int) -> bool:
        """Say whether a row of `size` tokens may join `rows` rows that are padded to `longest`."""
        padded = (rows + 1) * max(longest, size)
        return padded <= budget and padded - rows * longest - size <= _PADDING * self.cost.worth

    def _early(self, rows: list[Row], now: float) -> float:
        """Seconds that a batch for after the run under way had better stay open."""
        count, longest = len(rows), max(row.size for row in rows)
        if count >= self.limits.max_batch_size or (count + 1) * longest > self.budget:
            return 0.0
        return max(batch.began + batch.expected for batch in self.running) - _AHEAD * self._preparing - now

    def _patience(self, rows: list[Row], now: float) -> float:
        """Seconds that an idle worker does well to wait for more rows than these."""
        count, longest = len(rows), max(row.size for row in rows)
        left = rows[0].since + self.limits.max_wait - now
        if count >= self.limits.max_batch_size or (count + 1) * longest > self.budget:
            return 0.0
        if count < self.limits.min_batch_size:
            return left
        if not self.limits.tune or len(self.running) + 1 < self._workers or not self._pays(count, longest):
            return 0.0
        return min(left, self._last + 2 * self._gap - now)

    def _pays(self, count: int, longest: int) -> bool:
        """Weigh what the next arrival gains by joining against what those here lose by waiting for it.

        The next one, `gap` from now, would otherwise wait for the end of the run and then for a run of its own.
        """
        alone, now, then = (self.cost.seconds(rows * longest) for rows in (1, count, count + 1))
        gain = now - self._gap + alone - then
        return gain > count * (self._gap + then - now)
