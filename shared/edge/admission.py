"""The two round trips: `admit` before the provider is called, `settle` after it; each is one script in Valkey.

Also `topup` between two tries, `tell`, by which Valkey learns what the Directory says of a scope, and `reap`, which
charges what nobody settled.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from shared.core import periods
from shared.core.breakers import Seen
from shared.core.budgets import DEFAULT_MAX_TOKENS
from shared.core.events import EXPIRED, USAGE
from shared.core.limits import HOUR, MINUTE, Standing
from shared.core.pricing import Worst
from shared.edge.asking import Ask, Grant, Stale, Unprojected, Who, unstored
from shared.edge.names import Names, closure, holds, live, names, opened, policy
from shared.edge.refusals import refuse
from shared.edge.report import NO_TRIES, Report, listed
from shared.edge.store import Script, Store, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import redis

    from shared.core.breakers import State
    from shared.core.events import Usage

    Told = Callable[[str, list[str]], Mapping[str, Usage | None]]

__all__ = ["Admission", "Ask", "Grant", "Stale", "Unprojected", "Who", "connect", "unstored"]

SETTLED_SECONDS = 1800  # twice the longest life of an invocation: no settle comes later than that
MOST_REAPED = 100  # at once

PROBE_SECONDS = 60.0  # at most until a request that probes a target has said what became of it; then another may

_MICRO = 1_000_000
_STATES: dict[int, State] = {ord("c"): "closed", ord("o"): "open", ord("p"): "probe"}
_NOTHING = Worst(0, 0, 0)
_UNSETTLED: dict[str, str | int] = {
    "event": USAGE, "outcome": EXPIRED, "prompt": 0, "completion": 0, "estimated": 1
}  # fmt: skip
_OF_SCRIPT = ("request_id", "seq", "day", "cost", "held")  # fields of the event that the script writes by itself


How = tuple[str, int, str, str]  # "settle" or "reap", nano-dollars, day and month of the admission


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
        self._topup, self._project, self._resting = Script("topup"), Script("project"), Script("resting")

    def admit(self, ask: Ask, *, any_presets: bool = False) -> Grant:
        """Decide on a request; hold a concurrent slot and its worst cost in every scope, for `ask.lease` at most.

        Asked again with the same `request_id` it answers the same and counts nothing. With `any_presets`, limits that
        were resolved with others do too: two versions of a deployment would else undo each other's projections.

        Raises:
            Unprojected: nothing is known of the key, or only by presets of the past, or, until the organization's books
                are open, of another scope.
            Stale: the caller is another one than the authorizer remembers.
            Unauthorized, Forbidden: the key or another scope is revoked, blocked or has expired.
            RateLimited, BudgetExhausted: a limit or budget is reached. Nothing was written.
            UnpricedModel: a budget applies, and the request has no bound.
            TargetsResting: the breakers of all targets are open; it says when the first of them may be asked again.
            StoreUnavailable: the script could not run, or the books are being rebuilt.
        """
        known = names(ask.org, ask.scopes, ask.choice.targets)
        keys = [known.hold(ask.request_id), *known.admit, *known.targets]
        presets = "" if any_presets else self._presets
        verdict, *facts = self._store.run(self._admit, keys, _arguments(ask, presets))
        if verdict != b"admitted":
            refuse(verdict, facts, ask, self._clock())
        return _granted(facts)

    def settle(
        self, ask: Ask, grant: Grant, cost: int, usage: Mapping[str, str | int], report: Report = NO_TRIES
    ) -> bool:
        """End the lease and book `cost`, nano-dollars, and `usage`: a `usage.v1` event, `outcome`, `prompt` and so on.

        `report` says what became of the tries, and hears which breakers that has opened or closed.

        Returns whether this was the first settlement of the request; the others change nothing.

        Raises:
            StoreUnavailable: the script could not run. It may be tried again.
        """
        known = names(ask.org, ask.scopes, ask.choice.targets)
        how: How = ("settle", cost, grant.day, grant.month)
        first, *changes = self._close(known, ask.request_id, how, report, usage)
        for number, state, failures in zip(changes[::3], changes[1::3], changes[2::3], strict=True):
            report.tell(ask.choice.targets[number - 1], state.decode(), failures)
        return bool(first)

    def replay(self, used: Usage) -> bool:
        """Settle what the journal says was settled; returns whether the store did not know it yet.

        What the store holds for it is given back: it may have admitted a request whose gateway never heard the answer.

        Raises:
            StoreUnavailable: the script could not run. It may be tried again.
        """
        if self._reap(used.org, used.request_id, used):
            return True
        scopes = tuple(f"{kind}:{name}" for kind, name in used.scopes)
        how: How = ("settle", used.cost, used.day, periods.month_of(used.day))
        return bool(self._close(names(used.org, scopes), used.request_id, how, NO_TRIES, _fields(used))[0])

    def topup(self, ask: Ask, amount: int) -> bool:
        """Reserve `amount` nano-dollars more for an admitted request; returns False where a budget does not afford it.

        Raises:
            StoreUnavailable: the script could not run.
        """
        known = names(ask.org, ask.scopes)
        return bool(self._store.run(self._topup, [known.hold(ask.request_id), *known.topup], [amount]))

    def reap(self, org: str, most: int = MOST_REAPED, told: Told | None = None) -> int:
        """Charge what was reserved by requests whose lease has run out unsettled; returns how many there were.

        `told` is asked first what the journal says of them: what is settled there and did not reach the store, because
        it was out of reach or because the process died, is charged as it was settled. Whom it does not name waits.

        Raises:
            StoreUnavailable: a script could not run; what it did not reach is reaped next time.
        """
        seconds, micro = self._store.call("TIME")
        now = int(seconds) * 1000 + int(micro) // 1000
        found = self._store.call("ZRANGEBYSCORE", holds(org), "-inf", now, "LIMIT", 0, most)
        overdue = [request_id.decode() for request_id in found]
        known = told(org, overdue) if told and overdue else dict.fromkeys(overdue)
        return sum(self._reap(org, request_id, settled) for request_id, settled in known.items())

    def tell(self, org: str, scope: str, version: int, policy_fields: Mapping[str, str | int]) -> bool:
        """Tell Valkey what the Directory says of a scope, as `shared.core.policies` puts it.

        Returns False, and changes nothing, where Valkey knows a newer version.

        Raises:
            StoreUnavailable: the script could not run.
        """
        fields = {**policy_fields, "presets": self._presets}
        arguments = [version, *(part for pair in fields.items() for part in pair)]
        return bool(self._store.run(self._project, [policy(org, scope)], arguments))

    def open_new(self, org: str) -> None:
        """Open an organization that was made just now, so that nothing can be missing in its counters.

        Raises:
            StoreUnavailable: it could not. Who keeps the books opens it within a minute.
        """
        self._store.call("SET", opened(org), "1", "NX")
        self._store.call("DEL", closure(org))

    def live_catalog(self, org: str) -> int:
        """Return the version of the live catalog, -1 where Valkey does not know it.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        found = self._store.call("HGET", live(org), "version")
        return -1 if found is None else int(found)

    def resting(self, org: str, targets: Sequence[str]) -> list[float]:
        """Return for how many seconds each of `targets` (`openai:gpt-4o`) will rest after failures, 0.0 if it does not.

        Raises:
            StoreUnavailable: the script could not run.
        """
        found = self._store.run(self._resting, names(org, (), tuple(targets)).targets, [])
        return [milliseconds / 1000 for milliseconds in found]

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
        self, known: Names, request_id: str, how: How, report: Report, usage: Mapping[str, str | int]
    ) -> list[Any]:
        event = dict(usage)
        counts = [event.pop("outcome"), event.pop("prompt"), event.pop("completion")]
        keys = [known.settled(request_id), known.hold(request_id), *known.settle, *known.targets]
        flat = [part for pair in event.items() for part in pair]
        told = [len(known.targets), *report.rules(), "stream" if report.stream else "whole", listed(report.results)]
        arguments = [request_id, SETTLED_SECONDS, *how[:2], *counts, *how[2:], *told, *flat]
        found: list[Any] = self._store.run(self._settle, keys, arguments)
        return found

    def _reap(self, org: str, request_id: str, settled: Usage | None) -> bool:
        hold = self._store.call("HMGET", names(org, ()).hold(request_id), "scopes", "day", "month", "targets")
        if hold[0] is None:  # settled meanwhile
            return False
        scopes = tuple(hold[0].decode().split("\n"))
        whose = dict(scope.split(":", 1) for scope in scopes)
        paying = {
            "org": org,
            "key": whose["key"],
            "user": whose.get("user", ""),
            "team": whose.get("team", ""),
            "model": whose.get("model", ""),
        }
        usage = (_fields(settled) if settled else _UNSETTLED) | paying
        known = names(org, scopes)._replace(targets=tuple((hold[3] or b"").decode().split()))
        cost = settled.cost if settled else 0
        how: How = ("settle" if settled else "reap", cost, hold[1].decode(), hold[2].decode())
        return bool(self._close(known, request_id, how, NO_TRIES, usage)[0])


def _fields(used: Usage) -> dict[str, str | int]:
    """Return a settlement as the settling script takes it."""
    return {"event": USAGE, **{name: value for name, value in used._asdict().items() if name not in _OF_SCRIPT}}


def _arguments(ask: Ask, presets: str) -> list[str | int]:
    worst, choice = ask.worst or _NOTHING, ask.choice
    return [
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
        presets,
        len(choice.targets),
        choice.strategy,
        choice.among,
        "stream" if choice.stream else "whole",
        round(min(ask.lease, PROBE_SECONDS) * 1000),
        *ask.who,
        *ask.scopes,
        *choice.weights,
    ]


def _granted(facts: list[Any]) -> Grant:
    granted, held, budgeted, day, month, catalog, first, states, *told = facts[6:]
    pairs = zip(states, told[::2], told[1::2], strict=True)
    seen = tuple(Seen(_STATES[state], latency / _MICRO, busy) for state, latency, busy in pairs)
    return Grant(
        requests=Standing(facts[0], facts[1], facts[2] / _MICRO),
        tokens=Standing(facts[3], facts[4], facts[5] / _MICRO),
        max_tokens=granted,
        held=held,
        budgeted=bool(budgeted),
        day=day.decode(),
        month=month.decode(),
        first=max(0, first - 1),
        seen=seen,
        catalog=catalog,
    )
