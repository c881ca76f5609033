"""What the scripts promise, in a few integers and lists: the judge of any order of requests, edits and passing time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from shared.edge.admission import Ask

MINUTE, HOUR = 60, 3600


class Refusal(NamedTuple):
    """What a refusal says of itself."""

    kind: str
    rule: str
    limit: int
    used: int
    reserved: int

    @property
    def is_of_size(self) -> bool:
        """Whether a smaller request might have passed."""
        return self.rule.startswith(("budget", "tokens"))


@dataclass
class Scope:
    """Limits, budgets and counters of one scope. Ages and leases are in seconds, money and limits 0 for none."""

    kind: str
    rpm: int = 0
    rph: int = 0
    tpm: int = 0
    concurrency: int = 0
    daily: int = 0
    total: int = 0
    log: list[int] = field(default_factory=list)
    log_left: int = 0  # seconds until the store forgets it
    tokens: dict[str, tuple[int, int]] = field(default_factory=dict)  # request: age, count
    tokens_left: int = 0  # seconds until the store forgets them
    leases: dict[str, int] = field(default_factory=dict)
    committed_today: int = 0
    committed: int = 0
    reserved_today: int = 0
    reserved: int = 0

    def refusals(self, amount: int, tokens: int) -> list[Refusal]:
        """List every reason not to let a request pass."""
        windows = [("requests_per_minute", self.rpm, MINUTE), ("requests_per_hour", self.rph, HOUR)]
        found = [
            Refusal(self.kind, rule, limit, used, 0)
            for rule, limit, window in windows
            if limit and (used := sum(age < window for age in self.log)) >= limit
        ]
        live = sum(left > 0 for left in self.leases.values())
        if self.concurrency and live >= self.concurrency:
            found.append(Refusal(self.kind, "concurrency", self.concurrency, live, 0))
        counted = sum(count for age, count in self.tokens.values() if age < MINUTE)
        if self.tpm and counted + tokens > self.tpm:
            found.append(Refusal(self.kind, "tokens_per_minute", self.tpm, counted, 0))
        if self.daily and self.committed_today + self.reserved_today + amount > self.daily:
            found.append(Refusal(self.kind, "budget_daily", self.daily, self.committed_today, self.reserved_today))
        if self.total and self.committed + self.reserved + amount > self.total:
            found.append(Refusal(self.kind, "budget_total", self.total, self.committed, self.reserved))
        return found

    def admit(self, request: str, tokens: int, lease: int) -> None:
        """Count an admission, for what is limited now."""
        if horizon := HOUR if self.rph else MINUTE if self.rpm else 0:
            self.log = [*(age for age in self.log if age < horizon), 0]
            self.log_left = horizon + 1
        if self.tpm:
            self.tokens = {name: known for name, known in self.tokens.items() if known[0] < MINUTE}
            self.count(request, tokens)
        if self.concurrency:
            self.leases[request] = lease

    def count(self, request: str, tokens: int) -> None:
        """Count tokens of a request besides those that are counted, as if all of them came now."""
        self.tokens[request] = (0, self.tokens.get(request, (0, 0))[1] + tokens)
        self.tokens_left = MINUTE + 1

    def counts(self, request: str) -> int:
        """Return the tokens in the window, with all of a request."""
        return sum(count for name, (age, count) in self.tokens.items() if age < MINUTE or name == request)

    def forget(self, request: str, age: int) -> None:
        """Take an admission of some age back."""
        if age in self.log:
            self.log.remove(age)
        self.tokens.pop(request, None)

    def commit(self, cost: int, *, today: bool) -> None:
        """Charge."""
        self.committed += cost
        self.committed_today += cost if today else 0

    def reserve(self, amount: int, *, today: bool) -> None:
        """Hold, or with less than nothing let go."""
        self.reserved += amount
        self.reserved_today += amount if today else 0

    def age(self, seconds: int) -> None:
        """Let time pass."""
        self.log_left -= seconds
        self.log = [age + seconds for age in self.log] if self.log_left > 0 else []
        self.tokens_left -= seconds
        kept = self.tokens if self.tokens_left > 0 else {}
        self.tokens = {request: (age + seconds, count) for request, (age, count) in kept.items()}
        self.leases = {request: left - seconds for request, left in self.leases.items()}


@dataclass
class Hold:
    """What one request holds until it is settled or its lease has run out: in `models`, of each that was able."""

    ask: Ask
    amount: int
    models: dict[str, int]
    left: int
    reserving: tuple[str, ...] = ()
    counting: tuple[str, ...] = ()
    rated: tuple[str, ...] = ()
    age: int = 0
    today: bool = True
    state: str = "live"  # then settled, or reaped and perhaps settled

    def of(self, scope: str) -> int:
        """Return what is held in a scope."""
        return self.models.get(scope, self.amount)

    @property
    def scopes(self) -> tuple[str, ...]:
        """All that it counts in."""
        return (*self.ask.scopes, *self.models)
