"""What the scripts promise of targets, in a few numbers: the judge of any order of tries, failures and passing time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

FAILURES, REST, PROBE, STALE, KEPT = 3, 60, 60, 60, 1800  # all but the first in seconds


@dataclass
class Target:
    """One target. Ages and what is left of a time are in seconds, `rest` is None for a closed breaker."""

    fails: int = 0
    last: int = 0  # age of the last failure
    rest: int | None = None
    probe: str = ""
    probe_left: int = 0
    epoch: int = 0
    busy: int = 0
    latency: int = 0  # microseconds
    seen: int = 0  # age of the latency
    kept: int | None = None  # None: nothing is known of it

    def state(self, request: str) -> str:
        """What it is to a new request."""
        if self.rest is None:
            return "closed"
        return "open" if self.waits(request) > 0 else "probe"

    def waits(self, request: str) -> int:
        """Seconds until it may be asked."""
        taken = self.probe_left if self.probe and self.probe != request else 0
        return max(self.rest or 0, taken)

    def known_latency(self) -> int:
        """The latency, if it is fresh."""
        return self.latency if self.seen < STALE else 0

    def rank(self, request: str, strategy: str, weight: int) -> float:
        """Less is better."""
        if self.state(request) == "probe":
            return -1
        if strategy == "least_loaded":
            return self.busy / weight
        return self.known_latency() or (math.inf if self.busy else 0)

    def result(self, request: str, good: bool, latency: int, epoch: int) -> str:  # noqa: FBT001 - as the results are
        """Hear of a try; return what it made of the breaker."""
        change = ""
        if self.rest is not None:
            if self.probe == request:
                change = "closed" if good else "open"
        elif self.epoch == epoch:
            self.fails = 0 if good else 1 + (self.fails if self.last < REST else 0)  # time never stands still
            self.last = 0
            change = "open" if self.fails >= FAILURES else ""
        if change:
            self.fails, self.probe = 0, ""
            self.rest = REST if change == "open" else None
            self.epoch += change == "open"
        if good and latency:
            known = self.latency or latency
            self.latency, self.seen = math.floor(known + (latency - known) / 5 + 0.5), 0
        self.kept = KEPT
        return change

    def age(self, seconds: int) -> None:
        """Let time pass."""
        self.last += seconds
        self.seen += seconds
        self.probe_left -= seconds
        if self.rest is not None:
            self.rest -= seconds
        if self.kept is not None:
            self.kept -= seconds
            if self.kept <= 0:
                self.__init__()  # type: ignore[misc]


@dataclass
class Request:
    """One that was admitted: which targets, whom it asks first, what it probes, and since when it counts."""

    order: tuple[str, ...]
    first: str
    probes: list[str]
    epochs: dict[str, int]
    lease: int
    results: list[tuple[str, bool, int]] = field(default_factory=list)
