"""What the admission script is asked, and what it grants."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shared.core import breakers, periods
from shared.core.breakers import Seen
from shared.core.budgets import DEFAULT_MAX_TOKENS
from shared.core.limits import Standing, of_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.core.breakers import Choice
    from shared.core.pricing import Worst


MAX_TOKENS = "x-nexus-max-tokens"  # the header


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


class Bound(NamedTuple):
    """What one model may cost and count at most, with the dearest of its targets; `ceiling` is 0 if unknown.

    One that is not `priced` has a target whose price nobody has said.
    """

    model: str
    worst: Worst
    ceiling: int = 0
    priced: bool = True


class Ask(NamedTuple):
    """What is to be decided on. `scopes` begins with that of the key; `lease` is in seconds.

    `models` are those that may come to serve it, each with limits and a budget of its own; none where nothing is
    charged. `unbounded` names the field for which no price holds. `answers` is how many are asked for, 0 for what is no
    text; `max_tokens` is of one of them, 0 if unset; `fit` lets `max_tokens` be lowered to what is left.
    """

    org: str
    scopes: tuple[str, ...]
    request_id: str
    lease: float
    models: tuple[Bound, ...] = ()
    unbounded: str = ""
    answers: int = 0
    max_tokens: int = 0
    fit: bool = False
    choice: Choice = breakers.NOTHING
    who: Who = Who()

    @property
    def everybody(self) -> tuple[str, ...]:
        """All scopes, as the scripts number them from 1: those of models last."""
        return (*self.scopes, *(of_model(bound.model) for bound in self.models))


class Granted(NamedTuple):
    """What is held of one model: nano-dollars and tokens of one try; `max_tokens` is 0 where it stays as it was.

    A model that is `spent` holds nothing, and must not be asked.
    """

    max_tokens: int = 0
    held: int = 0
    tokens: int = 0
    spent: bool = False

    def headers(self) -> dict[str, str]:
        """Return what a client is told of it."""
        return {MAX_TOKENS: str(self.max_tokens)} if self.max_tokens else {}


class Grant(NamedTuple):
    """An admission; `held` is in nano-dollars, in all scopes that are no model's.

    Whether a budget applies says `budgeted`, whether tokens are counted `counted`. `seen` tells of each target of the
    choice, `first` is the position of the one to ask first; `models` tells of each model of the question. `catalog` is
    the version of the live catalog, -1 if Valkey does not know it. What is not `stored` was granted without Valkey.
    """

    requests: Standing
    tokens: Standing
    held: int
    budgeted: bool
    day: str
    month: str
    first: int = 0
    seen: tuple[Seen, ...] = ()
    models: tuple[Granted, ...] = ()
    catalog: int = -1
    stored: bool = True
    counted: bool = False

    def headers(self) -> dict[str, str]:
        """Return what a client is told of it."""
        return self.requests.headers() | self.tokens.headers("tokens")


class Further(NamedTuple):
    """What one more try takes: nano-dollars and tokens, in all scopes, and in that of its model (by its position)."""

    model: int
    money: int
    tokens: int
    own_money: int
    own_tokens: int


def unstored(ask: Ask, now: int) -> Grant:
    """Grant what nobody could be asked about at `now`, in epoch ms: no limit, no budget, every target as if it served.

    What it may cost is reckoned as the script does, for an answer that breaks off is charged by it.
    """
    day, unlimited = periods.day_at(now), Standing(0, 0, 0)
    seen = tuple(Seen("closed") for _ in ask.choice.targets)
    models = tuple(_unlimited(ask, bound) for bound in ask.models)
    held = max((one.held for one in models), default=0)
    month = periods.month_of(day)
    return Grant(unlimited, unlimited, held, False, day, month, seen=seen, models=models, stored=False)


def _unlimited(ask: Ask, bound: Bound) -> Granted:
    length = ask.max_tokens or DEFAULT_MAX_TOKENS
    if not ask.answers:
        length = 0
    elif bound.ceiling:
        length = min(length, bound.ceiling)
    held = bound.worst.of(length) if bound.priced and not ask.unbounded else 0
    return Granted(0, held, bound.worst.tokens + ask.answers * length)
