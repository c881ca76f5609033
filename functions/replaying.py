"""Tells a store that was lost what the log still knows: what was settled, and what is held by requests under way.

The store takes both as if it heard them for the first time, and for most of it that is so. What it knows already, what
the ledger has booked, and what is told twice changes nothing, so this can be cut off anywhere and begun anew.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, cast

from shared.core import events, journal
from shared.edge.booking import charge_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from shared.core.events import Usage
    from shared.core.journal import Line, Reservation
    from shared.edge.counters import Counters
    from shared.edge.ledger import Ledger

MARGIN_MS: Final = 60_000  # between the clocks of the functions and of the store, many times over
_AT_ONCE: Final = 100


class Lines(Protocol):
    """The log."""

    def lines(self, org: str, event: str, since: int) -> Iterable[Reservation | Usage]:
        """Return what the journal says of `org` under the name `event` since an epoch millisecond."""
        ...


class Known(NamedTuple):
    """What the log says since the ledger was whole; `unread` is whose name nobody knows."""

    settled: dict[str, Usage]
    held: dict[str, Reservation]
    unread: frozenset[str]


def read(org: str, log: Lines, users: Iterable[str], whole: int, lease_ms: int) -> Known:
    """Read the journal: settlements since the ledger was `whole`, and the reservations that may have lived then.

    `users` are those whose pseudonyms can be read; `whole` is in epoch milliseconds.
    """
    names, unread = journal.Names(users), set[str]()

    def named(line: Line) -> Line:
        if not names.knows(line.user):
            unread.add(line.user)
        return names.named(line)

    since = whole - MARGIN_MS
    used = cast("Iterable[Usage]", log.lines(org, events.USAGE, since))
    settled = {line.request_id: named(line) for line in used}
    held: dict[str, Reservation] = {}
    for line in cast("Iterable[Reservation]", log.lines(org, events.RESERVED, since - lease_ms)):
        before = held.get(line.request_id)
        if line.request_id not in settled and (before is None or before.held < line.held):
            held[line.request_id] = named(line)
    return Known(settled, held, frozenset(unread))


def settle(known: Known, org: str, ledger: Ledger, replay: Callable[[Usage], bool], more: Callable[[], bool]) -> int:
    """Settle in the store what was settled and is not in the ledger, while `more()`; returns how much that was new."""
    told = 0
    for chosen in _batches(known.settled.values()):
        if not more():
            break
        booked = ledger.booked(org, [charge_key(used.request_id) for used in chosen])
        for used in chosen:
            charge = booked.get(charge_key(used.request_id))
            if charge is None or charge.outcome == events.EXPIRED != used.outcome:
                told += replay(used)
    return told


def hold(known: Known, org: str, mark: str, counters: Counters, ledger: Ledger) -> bool:
    """Put back what is held by requests that nobody settled; the store charges them when their time has run out.

    Returns False where the closure with this `mark` is over.
    """
    for chosen in _batches(known.held.values()):
        booked = ledger.booked(org, [charge_key(held.request_id) for held in chosen])
        for held in chosen:
            charge = booked.get(charge_key(held.request_id))
            if charge and charge.outcome == events.EXPIRED:
                counters.recall(org, held.request_id, charge.cost)
            elif charge is None and not counters.hold(org, mark, held, _payers(held, known.unread)):
                return False
    return True


def _payers(held: Reservation, unread: frozenset[str]) -> list[int]:
    """Number the scopes that money is reserved in: all whose names are known."""
    nameless = {f"user:{held.user}", f"key:{held.key}"} if held.user in unread else set()
    return [number for number, scope in enumerate(held.scopes, 1) if scope not in nameless]


def _batches(lines: Iterable[Line]) -> Iterator[list[Line]]:
    left = iter(lines)
    while chosen := list(islice(left, _AT_ONCE)):
        yield chosen
