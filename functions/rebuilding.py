"""Brings an organization back whose counters the store has lost: by a flush, a failover, or a backup put in its place.

It stays closed until the log shows all that was written before the loss. Then what was settled and is not in the ledger
is settled anew, what requests under way have reserved is reserved again, the ledger says what was spent, the Directory
what is allowed, and only if nothing was charged in between it opens: ledger, log and store agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from functions import replaying
from functions.drain import drain
from shared.core import events, periods, policies
from shared.edge.counters import Mark, position
from shared.edge.names import closure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from shared.edge.counters import Counters, State
    from shared.edge.ledger import Cursor, Ledger

    Say = Callable[[Mapping[str, Any]], None]
    Tell = Callable[[str, str, int, Mapping[str, str | int]], bool]

KINDS: Final = ("key", "user", "team", "org", "model", "alias")
_TRIES: Final = 20  # to find a moment in which nothing is charged
_SCOPES: Final = ("user", "team", "model")


class Records(Protocol):
    """The Directory."""

    def all(self, org: str, prefix: str) -> Iterable[Mapping[str, Any]]:
        """Return the records whose sort key begins with `prefix`."""
        ...


def is_lost(state: State, cursor: Cursor) -> bool:
    """Tell whether the counters cannot be relied on: they were never declared whole, or are older than the ledger."""
    return not state.opened or (position(state.last) if state.last else (0, 0)) < position(cursor.last)


def close(org: str, cursor: Cursor, counters: Counters, ledger: Ledger, say: Say) -> str:
    """Close, and have the stream read again from its start; return the mark of the closure."""
    mark = counters.close(org, cursor.whole)
    if cursor.closed != mark and ledger.rewind(org, cursor, mark):
        say({"level": "ERROR", "event": events.SECURITY, "reason": "store_lost", "org": org, "closed_at": int(mark)})
    return mark


def project(org: str, records: Records, tell: Tell) -> None:
    """Tell the store all policies but those of keys: of a key that it does not know it hears when the key is used."""
    for kind in _SCOPES:
        for record in records.all(org, f"{kind}#"):
            name = record["sk"].removeprefix(f"{kind}#")
            tell(org, f"{kind}:{name}", int(record.get("version", 0)), policies.policy(record))
    for record in records.all(org, "org"):
        if record["sk"] == "org":
            tell(org, f"org:{org}", int(record.get("version", 0)), policies.policy(record))


def users(org: str, records: Records, ledger: Ledger) -> set[str]:
    """Return everybody whose pseudonym in the log can be read: whom we keep a record of, or who has been charged."""
    kept = {record["sk"].removeprefix("user#") for record in records.all(org, "user#")}
    return kept | ledger.sums(org, "user", periods.TOTAL).keys()


def restore(
    org: str, mark: str, counters: Counters, ledger: Ledger, *, known: replaying.Known, more: Callable[[], bool]
) -> bool:
    """Put back what was spent and reserved, and open; returns False where charges come without a pause: try later."""
    for _ in range(_TRIES):
        drain(org, counters, ledger, more)
        last = _caught_up(org, counters, ledger)
        if last is None or not more():
            continue
        if replaying.hold(known, org, Mark(closure(org), mark), counters, ledger) is None:
            return False
        if counters.restore(org, mark, last, _spent(org, ledger, counters.today())):
            return True
    return False


def _caught_up(org: str, counters: Counters, ledger: Ledger) -> str | None:
    """Return the last event of the stream if all up to it is booked. Events that were trimmed had been booked."""
    last, cursor = counters.state(org).last, ledger.cursor(org)
    if cursor is None:
        return None
    if not last or position(last) <= position(cursor.last):
        return cursor.last
    untouched = not counters.read(org, cursor.last, 1)
    return last if untouched and ledger.book(org, cursor, [], last) else None


def _spent(org: str, ledger: Ledger, today: str) -> dict[str, dict[str, int]]:
    """Return what each scope has spent in the periods that `today` lies in."""
    found: dict[str, dict[str, int]] = {}
    for kind in KINDS:
        for period in periods.periods(today):
            for name, spent in ledger.sums(org, kind, period).items():
                found.setdefault(f"{kind}:{name}", {})[period] = spent.cost
    return found
