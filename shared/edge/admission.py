"""The two round trips: `admit` before the provider is called, `settle` after it; each is one script in Valkey.

Also `topup` between two tries, `tell`, by which Valkey learns what the Directory says of a scope, and `reap`, which
charges what nobody settled.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from shared.core import periods
from shared.core.events import EXPIRED, USAGE
from shared.core.limits import MINUTE, MODEL
from shared.core.shares import Share
from shared.edge.asking import Ask, Bound, Further, Grant, Stale, Unprojected, Who, unstored
from shared.edge.names import Names, closure, holds, live, names, opened, policy
from shared.edge.refusals import refuse
from shared.edge.report import NO_TRIES, Report, listed
from shared.edge.spelling import MICRO, arguments, granted
from shared.edge.store import Script, Store, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import redis

    from shared.core.events import Usage

    Told = Callable[[str, list[str], int], Mapping[str, Usage | None]]

__all__ = ["Admission", "Ask", "Bound", "Further", "Grant", "Stale", "Unprojected", "Who", "connect", "unstored"]

SETTLED_SECONDS = 1800  # twice the longest life of an invocation: no settle comes later than that
MOST_REAPED = 100  # at once

_UNSETTLED: dict[str, str | int] = {
    "event": USAGE, "outcome": EXPIRED, "prompt": 0, "completion": 0, "estimated": 1
}  # fmt: skip
_OF_SCRIPT = ("request_id", "seq", "day", "cost", "held", "models")  # fields of the event that the script writes


class Purse(NamedTuple):
    """A budget of one period, and what of it is charged and held: nano-dollars; `limit` is None where there is none."""

    limit: int | None
    spent: int
    reserved: int


How = tuple[str, int, str, str]  # "settle" or "reap", nano-dollars, day and month of the admission
Shares = Sequence[Share]  # one for each model that the request was admitted to, in that order


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
            RateLimited, BudgetExhausted: a limit or budget is reached, or one of each model. Nothing was written.
            UnpricedModel: a budget applies, and the request has no bound.
            TargetsResting: the breakers of all targets are open; it says when the first of them may be asked again.
            StoreUnavailable: the script could not run, or the books are being rebuilt.
            Unanswered: nobody knows whether it ran. What it holds then is charged, unless the journal says otherwise.
        """
        known = _names(ask)
        keys = [known.hold(ask.request_id), *known.admit, *known.targets]
        presets = "" if any_presets else self._presets
        verdict, *facts = self._store.run(self._admit, keys, arguments(ask, presets), again=True)
        if verdict != b"admitted":
            refuse(verdict, facts, ask, self._clock())
        return granted(facts, len(ask.models))

    def settle(self, ask: Ask, grant: Grant, cost: int, usage: Mapping[str, Any], report: Report = NO_TRIES) -> bool:
        """End the lease and book `cost`, nano-dollars, and `usage`: a `usage.v1` event, `outcome`, `prompt` and so on.

        Its `models` are the shares of those that were asked, which together cost `cost`. `report` says what became of
        the tries, and hears which breakers that has opened or closed.

        Returns whether this was the first settlement of the request; the others change nothing.

        Raises:
            StoreUnavailable: the script could not run. It may be tried again.
        """
        how: How = ("settle", cost, grant.day, grant.month)
        event = {**usage, "models": _shares([bound.model for bound in ask.models], usage.get("models", ()))}
        first, *changes = self._close(_names(ask), ask.request_id, how, report, event)
        for number, state, failures in zip(changes[::3], changes[1::3], changes[2::3], strict=True):
            report.tell(ask.choice.targets[number - 1], state.decode(), failures)
        return bool(first)

    def withdraw(self, ask: Ask) -> None:
        """End the lease of a request that was admitted for no model: it costs nothing, and nothing is booked of it.

        Raises:
            StoreUnavailable: the store does not answer. It ends by itself then, and is booked, at nothing.
        """
        known = _names(ask)
        self._store.call("ZREM", holds(ask.org), ask.request_id)  # the first, for who is in it is charged in the end
        self._store.call("DEL", known.hold(ask.request_id))
        for leases in known.leases(len(ask.scopes)):
            self._store.call("ZREM", leases, ask.request_id)

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
        known = names(used.org, scopes, (), tuple(share.model for share in used.models))
        event = {**_fields(used), "models": used.models}
        return bool(self._close(known, used.request_id, how, NO_TRIES, event)[0])

    def topup(self, ask: Ask, more: Further) -> bool:
        """Reserve `more` for an admitted request; returns False where a budget or a limit does not afford it.

        Raises:
            StoreUnavailable: the script could not run.
        """
        known, shared = _names(ask), len(ask.scopes)
        model, *amounts = more
        arguments: list[str | int] = [ask.request_id, MINUTE * MICRO, shared, shared + 1 + model, *amounts]
        return bool(self._store.run(self._topup, [known.hold(ask.request_id), *known.topup], arguments))

    def reap(self, org: str, most: int = MOST_REAPED, told: Told | None = None) -> int:
        """Charge what was reserved by requests whose lease has run out unsettled; returns how many there were.

        `told` is asked first what the journal says of them: what is settled there and did not reach the store, because
        it was out of reach or because the process died, is charged as it was settled. Whom it does not name waits.
        It hears when the time of the first of them has run out, too, in epoch ms.

        Raises:
            StoreUnavailable: a script could not run; what it did not reach is reaped next time.
        """
        seconds, micro = self._store.call("TIME")
        now = int(seconds) * 1000 + int(micro) // 1000
        found = self._store.call("ZRANGEBYSCORE", holds(org), "-inf", now, "WITHSCORES", "LIMIT", 0, most)
        overdue = [request_id.decode() for request_id, _ in found]
        known = told(org, overdue, int(found[0][1])) if told and overdue else dict.fromkeys(overdue)
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

    def purses(self, org: str, scopes: Sequence[str], day: str) -> dict[str, list[Purse]]:
        """Return the budgets of `scopes` by the periods that `day` lies in: day, month and all of time.

        None while the books are rebuilt, for nobody knows what is spent of them then.

        Raises:
            StoreUnavailable: the script could not run.
        """
        known = names(org, tuple(scopes)).topup
        keys = [opened(org), *(key for at in range(0, len(known), 4) for key in known[at : at + 2])]
        told = iter(self._store.run(Script("purses"), keys, [day, periods.month_of(day)]))
        each = [
            Purse(int(limit) if limit else None, int(c), int(r)) for limit, c, r in zip(told, told, told, strict=True)
        ]
        return {scope: each[3 * at : 3 * at + 3] for at, scope in enumerate(scopes)} if each else {}

    def ping(self) -> None:
        """Find out whether the store answers.

        Raises:
            StoreUnavailable: it does not.
        """
        self._store.call("PING")

    def drop(self) -> None:
        """Close the connection; the next call opens another."""
        self._store.drop()

    def _close(self, known: Names, request_id: str, how: How, report: Report, usage: Mapping[str, Any]) -> list[Any]:
        event = dict(usage)
        models: Shares = event.pop("models")
        counts = [event.pop("outcome"), event.pop("prompt"), event.pop("completion")]
        keys = [known.settled(request_id), known.hold(request_id), *known.settle, *known.targets]
        flat = [part for pair in event.items() for part in pair]
        told = [len(known.targets), *report.rules(), "stream" if report.stream else "whole", listed(report.results)]
        shares = [len(models), *(part for share in models for part in share)]
        arguments = [request_id, SETTLED_SECONDS, *how[:2], *counts, *how[2:], *told, *shares, *flat]
        found: list[Any] = self._store.run(self._settle, keys, arguments, again=True)
        return found

    def _reap(self, org: str, request_id: str, settled: Usage | None) -> bool:
        hold = self._store.call("HMGET", names(org, ()).hold(request_id), "scopes", "day", "month", "targets")
        if hold[0] is None:  # settled meanwhile
            return False
        everybody = hold[0].decode().split("\n")
        models = tuple(scope.removeprefix(MODEL) for scope in everybody if scope.startswith(MODEL))
        scopes = tuple(everybody[: len(everybody) - len(models)])
        whose = dict(scope.split(":", 1) for scope in scopes)
        paying = {"org": org, "key": whose["key"], **{kind: whose.get(kind, "") for kind in ("user", "team", "alias")}}
        shares = _shares(models, settled.models if settled else ())
        usage: dict[str, Any] = {**(_fields(settled) if settled else _UNSETTLED), **paying, "models": shares}
        known = names(org, scopes, (), models)._replace(targets=tuple((hold[3] or b"").decode().split()))
        cost = settled.cost if settled else 0
        how: How = ("settle" if settled else "reap", cost, hold[1].decode(), hold[2].decode())
        return bool(self._close(known, request_id, how, NO_TRIES, usage)[0])


def _fields(used: Usage) -> dict[str, str | int]:
    """Return a settlement as the settling script takes it."""
    return {"event": USAGE, **{name: value for name, value in used._asdict().items() if name not in _OF_SCRIPT}}


def _names(ask: Ask) -> Names:
    return names(ask.org, ask.scopes, ask.choice.targets, tuple(bound.model for bound in ask.models))


def _shares(models: Iterable[str], told: Iterable[Share]) -> list[Share]:
    """Return one share for each of `models`, of nothing where none is told."""
    known = {share.model: share for share in told}
    return [known.get(model) or Share(0, 0, 0, 0, 0, model) for model in models]
