"""What the admission script is asked, and what it grants."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shared.core import breakers, periods
from shared.core.breakers import Seen
from shared.core.budgets import DEFAULT_MAX_TOKENS
from shared.core.limits import Standing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.core.breakers import Choice
    from shared.core.pricing import Worst


class Unprojected(Exception):  # noqa: N818 - a state of the store, to be mended and not to be shown
    """Valkey knows nothing of these `scopes`: they are new, or the cache was flushed. Project them and ask again."""

    def __init__(self, scopes: Sequence[str] = ()) -> None:
        super().__init__(*scopes)
        self.scopes = tuple(scopes)


class Stale(Exception):  # noqa: N818 - a state of the store, to be mended and not to be shown
    """The Directory says something else of the caller than the authorizer remembers: read it again, and ask again."""


class Who(NamedTuple):
    """What the authorizer took the caller for.

    `scope` is the number of the scope whose policy says it too; `address` is in the form of `addresses.bits`; `issued`
    is when a token was, in epoch seconds, 0 for a key.
    """

    scope: int = 1
    identity: str = ""
    secret: str = ""
    address: str = ""
    issued: int = 0


class Ask(NamedTuple):
    """What is to be decided on. `scopes` begins with that of the key; `lease` is in seconds.

    `worst` is None where nothing is charged; `unbounded` names the field for which no price holds, "model" where it has
    none at all. `answers` is how many are asked for, 0 for what is no text; `max_tokens` is of one of them, 0 if unset;
    `ceiling` is the model's, 0 if unknown; `fit` lets `max_tokens` be lowered to what is left.
    """

    org: str
    scopes: tuple[str, ...]
    request_id: str
    lease: float
    worst: Worst | None = None
    unbounded: str = ""
    answers: int = 0
    max_tokens: int = 0
    ceiling: int = 0
    fit: bool = False
    choice: Choice = breakers.NOTHING
    who: Who = Who()


class Grant(NamedTuple):
    """An admission. `max_tokens` is 0 where it stays what the client said; `held` is in nano-dollars.

    `seen` tells of each target of the choice, `first` is the position of the one to ask first. `catalog` is the version
    of the live catalog, -1 if Valkey does not know it. What is not `stored` was granted without Valkey.
    """

    requests: Standing
    tokens: Standing
    max_tokens: int
    held: int
    budgeted: bool
    day: str
    month: str
    first: int = 0
    seen: tuple[Seen, ...] = ()
    catalog: int = -1
    stored: bool = True

    def headers(self) -> dict[str, str]:
        """Return what a client is told of it."""
        told = self.requests.headers() | self.tokens.headers("tokens")
        return {**told, "x-nexus-max-tokens": str(self.max_tokens)} if self.max_tokens else told


def unstored(ask: Ask, now: int) -> Grant:
    """Grant what nobody could be asked about at `now`, in epoch ms: no limit, no budget, every target as if it served.

    What it may cost is reckoned as the script does, for an answer that breaks off is charged by it.
    """
    length = ask.max_tokens or DEFAULT_MAX_TOKENS
    if not ask.answers:
        length = 0
    elif ask.ceiling:
        length = min(length, ask.ceiling)
    held = ask.worst.of(length) if ask.worst and not ask.unbounded else 0
    day, unlimited = periods.day_at(now), Standing(0, 0, 0)
    seen = tuple(Seen("closed") for _ in ask.choice.targets)
    month = periods.month_of(day)
    return Grant(unlimited, unlimited, 0, held, budgeted=False, day=day, month=month, seen=seen, stored=False)
