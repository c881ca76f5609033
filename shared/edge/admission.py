"""The two round trips: `admit` before the provider is called, `settle` after it; each is one script in Valkey.

Also `topup` between two tries, `tell`, by which Valkey learns what the Directory says of a scope, and `reap`, which
charges what nobody settled.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from shared.core import budgets, periods
from shared.core.budgets import DEFAULT_MAX_TOKENS
from shared.core.errors import Forbidden, StoreRebuilding, Unauthorized
from shared.core.events import EXPIRED, USAGE
from shared.core.limits import HOUR, MINUTE, Standing, kind_of, refusal
from shared.core.pricing import Worst
from shared.edge.names import Names, holds, names, policy
from shared.edge.store import Script, Store, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import redis

    from shared.core.events import Usage

__all__ = ["Admission", "Ask", "Grant", "Unprojected", "connect"]

SETTLED_SECONDS = 1800  # twice the longest life of an invocation: no settle comes later than that
REBUILT_SECONDS = 5.0  # until a client should ask again while the books are being rebuilt
MOST_REAPED = 100  # at once

_MICRO = 1_000_000
_NOTHING = Worst(0, 0, 0)
_OF_SCRIPT = ("request_id", "seq", "day", "cost", "held")  # fields of the event that the script writes by itself


class Unprojected(Exception):  # noqa: N818 - a state of the store, to be mended and not to be shown
    """Valkey knows nothing of these `scopes`: they are new, or the cache was flushed. Project them and ask again."""

    def __init__(self, scopes: Sequence[str] = ()) -> None:
        super().__init__(*scopes)
        self.scopes = tuple(scopes)


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


class Grant(NamedTuple):
    """An admission. `max_tokens` is 0 where it stays what the client said; `held` is in nano-dollars."""

    requests: Standing
    tokens: Standing
    max_tokens: int
    held: int
    budgeted: bool
    day: str
    month: str

    def headers(self) -> dict[str, str]:
        """Return what a client is told of it."""
        told = self.requests.headers() | self.tokens.headers("tokens")
        return {**told, "x-nexus-max-tokens": str(self.max_tokens)} if self.max_tokens else told


class Admission:
    """The scripts, over one connection. Every failure of the store is a `StoreUnavailable`."""

    def __init__(
        self, connection: redis.Connection, clock: Callable[[], float] = time.time, *, presets: str = ""
    ) -> None:
        """`clock` is wall time; limits hang on the store's own clock and not on this one.

        `presets` is the `limits.fingerprint` of those that limits are resolved with: a key that was projected with
        others, before the catalog was changed, counts as unprojected.
        """
        self._presets = presets
        self._store = Store(connection, clock)
        self._clock = clock
        self._admit, self._settle = Script("admit"), Script("settle")
        self._topup, self._project = Script("topup"), Script("project")

    def admit(self, ask: Ask, *, any_presets: bool = False) -> Grant:
        """Decide on a request; hold a concurrent slot and its worst cost in every scope, for `ask.lease` at most.

        Asked again with the same `request_id` it answers the same and counts nothing. With `any_presets`, limits that
        were resolved with others do too: two versions of a deployment would else undo each other's projections.

        Raises:
            Unprojected: nothing is known of the key, or only by presets of the past, or, until the organization's books
                are open, of another scope.
            Unauthorized, Forbidden: the key or another scope is revoked, blocked or has expired.
            RateLimited, BudgetExhausted: a limit or budget is reached. Nothing was written.
            UnpricedModel: a budget applies, and the request has no bound.
            StoreUnavailable: the script could not run, or the books are being rebuilt.
        """
        known = names(ask.org, ask.scopes)
        worst = ask.worst or _NOTHING
        arguments: list[str | int] = [
            ask.request_id,
            max(1, round(ask.lease * 1000)),
            MINUTE * _MICRO,
            HOUR * _MICRO,
            "" if ask.worst is None else "0" if ask.unbounded else "1",
            worst.fixed,
            worst.each,
            worst.tokens,
            ask.answers,
            ask.max_tokens,
            ask.ceiling,
            DEFAULT_MAX_TOKENS,
            int(ask.fit),
            "" if any_presets else self._presets,
            *ask.scopes,
        ]
        verdict, *facts = self._store.run(self._admit, [known.hold(ask.request_id), *known.admit], arguments)
        if verdict != b"admitted":
            self._refuse(verdict, facts, ask)
        granted, held, budgeted, day, month = facts[6:]
        requests = Standing(facts[0], facts[1], facts[2] / _MICRO)
        tokens = Standing(facts[3], facts[4], facts[5] / _MICRO)
        return Grant(requests, tokens, granted, held, bool(budgeted), day.decode(), month.decode())

    def settle(self, ask: Ask, grant: Grant, cost: int, usage: Mapping[str, str | int]) -> bool:
        """End the lease and book `cost`, nano-dollars, and `usage`: a `usage.v1` event, `outcome`, `prompt` and so on.

        Returns whether this was the first settlement of the request; the others change nothing.

        Raises:
            StoreUnavailable: the script could not run. It may be tried again.
        """
        known = names(ask.org, ask.scopes)
        return self._close(known, ask.request_id, ["settle", cost], [grant.day, grant.month], usage)

    def replay(self, used: Usage) -> bool:
        """Settle what the journal says was settled; returns whether the store did not know it yet.

        Raises:
            StoreUnavailable: the script could not run. It may be tried again.
        """
        scopes = tuple(f"{kind}:{name}" for kind, name in used.scopes)
        fields = {name: value for name, value in used._asdict().items() if name not in _OF_SCRIPT}
        dates = [used.day, periods.month_of(used.day)]
        known = names(used.org, scopes)
        return self._close(known, used.request_id, ["settle", used.cost], dates, {"event": USAGE, **fields})

    def topup(self, ask: Ask, amount: int) -> bool:
        """Reserve `amount` nano-dollars more for an admitted request; returns False where a budget does not afford it.

        Raises:
            StoreUnavailable: the script could not run.
        """
        known = names(ask.org, ask.scopes)
        return bool(self._store.run(self._topup, [known.hold(ask.request_id), *known.topup], [amount]))

    def reap(self, org: str, most: int = MOST_REAPED) -> int:
        """Charge what was reserved by requests whose lease has run out unsettled; returns how many there were.

        Raises:
            StoreUnavailable: a script could not run; what it did not reach is reaped next time.
        """
        seconds, micro = self._store.call("TIME")
        now = int(seconds) * 1000 + int(micro) // 1000
        overdue = self._store.call("ZRANGEBYSCORE", holds(org), "-inf", now, "LIMIT", 0, most)
        return sum(self._reap(org, request_id.decode()) for request_id in overdue)

    def tell(self, org: str, scope: str, version: int, policy_fields: Mapping[str, str | int]) -> bool:
        """Tell Valkey what the Directory says of a scope, as `shared.core.policies` puts it.

        Returns False, and changes nothing, where Valkey knows a newer version.

        Raises:
            StoreUnavailable: the script could not run.
        """
        fields = {**policy_fields, "presets": self._presets}
        arguments = [version, *(part for pair in fields.items() for part in pair)]
        return bool(self._store.run(self._project, [policy(org, scope)], arguments))

    def ping(self) -> None:
        """Find out whether the store answers.

        Raises:
            StoreUnavailable: it does not.
        """
        self._store.call("PING")

    def drop(self) -> None:
        """Close the connection; the next call opens another."""
        self._store.drop()

    def _close(
        self, known: Names, request_id: str, how: list[str | int], dates: list[str], usage: Mapping[str, str | int]
    ) -> bool:
        event = dict(usage)
        counts = [event.pop("outcome"), event.pop("prompt"), event.pop("completion")]
        keys = [known.settled(request_id), known.hold(request_id), *known.settle]
        flat = [part for pair in event.items() for part in pair]
        arguments = [request_id, SETTLED_SECONDS, *how, *counts, *dates, *flat]
        return bool(self._store.run(self._settle, keys, arguments))

    def _reap(self, org: str, request_id: str) -> bool:
        hold = self._store.call("HMGET", names(org, ()).hold(request_id), "scopes", "day", "month")
        if hold[0] is None:  # settled meanwhile
            return False
        scopes = tuple(hold[0].decode().split("\n"))
        whose = dict(scope.split(":", 1) for scope in scopes)
        usage = {
            "event": USAGE,
            "org": org,
            "key": whose["key"],
            "user": whose.get("user", ""),
            "team": whose.get("team", ""),
            "model": whose.get("model", ""),
            "outcome": EXPIRED,
            "prompt": 0,
            "completion": 0,
            "estimated": 1,
        }
        return self._close(names(org, scopes), request_id, ["reap", 0], [hold[1].decode(), hold[2].decode()], usage)

    def _refuse(self, verdict: bytes, facts: list[Any], ask: Ask) -> NoReturn:
        match verdict:
            case b"refused":
                self._refuse_amount(facts, ask)
            case b"unprojected":
                raise Unprojected([ask.scopes[number - 1] for number in facts])
            case b"closed":
                raise StoreRebuilding(
                    "What was spent so far is being counted anew, and nothing is spent until that is done.",
                    retry_after=REBUILT_SECONDS,
                )
            case b"unpriced":
                field = "" if ask.unbounded == "model" else ask.unbounded
                raise budgets.unpriced(ask.scopes[-1].partition(":")[2], field)
            case _:
                _turn_away(verdict, kind_of(ask.scopes[facts[0] - 1]))

    def _refuse_amount(self, facts: list[Any], ask: Ask) -> NoReturn:
        number, name, limit, used, reserved, microseconds = facts
        kind, rule, now = kind_of(ask.scopes[number - 1]), name.decode(), self._clock()
        wait = None if microseconds < 0 else microseconds / _MICRO
        if rule in budgets.RULES:
            raise budgets.exhausted(kind, rule, limit=limit, used=used, reserved=reserved, wait=wait, now=now)
        raise refusal(kind, rule, limit=limit, used=used, wait=wait, now=now)


def _turn_away(verdict: bytes, kind: str) -> NoReturn:
    """Say why nobody may pass for now: `verdict` is revoked, blocked or expired."""
    said = {b"revoked": "is revoked", b"expired": "has expired", b"blocked": "is blocked for some time"}[verdict]
    if kind == "key" and verdict != b"blocked":
        raise Unauthorized(f"This API key {said}.")
    raise Forbidden(f"The {kind} of this request {said}." if kind != "key" else f"This API key {said}.")
