"""Tells a store that was lost what the log still knows: what was settled, and what is held by requests under way.

The store takes both as if it heard them for the first time, and for most of it that is so. What it knows already, what
the ledger has booked, and what is told twice changes nothing, so this can be cut off anywhere and begun anew.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from shared.core import events, journal
from shared.core.journal import Reservation
from shared.core.limits import ENDPOINT
from shared.edge.booking import charge_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from shared.core.events import Usage
    from shared.core.journal import Line
    from shared.edge.counters import Counters, Mark
    from shared.edge.ledger import Ledger

MARGIN_MS: Final = 60_000  # between the clocks of the functions and of the store, many times over
_AT_ONCE: Final = 100


class Lines(Protocol):
    """The log."""

    def lines(self, org: str, event: str, since: int) -> Iterable[Reservation | Usage]:
        """Return what the journal says of `org` under the name `event` since an epoch millisecond."""
        ...


class Known(NamedTuple):
    """What the log says since the ledger was whole, by request id; `unread` is whose name nobody knows."""

    settled: dict[str, Usage]
    held: dict[str, Reservation]
    unread: set[str]

    def take(self, line: Reservation | Usage, names: journal.Names) -> None:
        """Add a line: what is settled is not held, and of what is reserved more than once the largest counts."""
        if not names.knows(line.user):
            self.unread.add(line.user)
        if not isinstance(line, Reservation):
            self.settled[line.request_id] = names.named(line)
            self.held.pop(line.request_id, None)
            return
        before = self.held.get(line.request_id)
        if line.request_id not in self.settled and (before is None or before.held < line.held):
            self.held[line.request_id] = names.named(line)


class Reading:
    """Reads the journal as far as time allows, and goes on from there the next time."""

    def __init__(self, org: str, log: Lines, users: Iterable[str], whole: int, lease_ms: int) -> None:
        """Begin with settlements since the ledger was `whole`, in epoch ms, and reservations that may have lived then.

        `users` are those whose pseudonyms can be read.
        """
        self.known = Known({}, {}, set())
        self._names = journal.Names(users)
        since = whole - MARGIN_MS
        self._left = chain(log.lines(org, events.USAGE, since), log.lines(org, events.RESERVED, since - lease_ms))

    def go_on(self, more: Callable[[], bool]) -> bool:
        """Read on while `more()`; returns whether that was all. What has raised must not be read any further."""
        for line in self._left:
            self.known.take(line, self._names)
            if not more():
                return False
        return True


def settle(known: Known, org: str, ledger: Ledger, replay: Callable[[Usage], bool], more: Callable[[], bool]) -> int:
    """Settle in the store what was settled and is not in the ledger, while `more()`; returns how much of it was new.

    What is done is no longer in `known`.
    """
    told = 0
    for chosen in _batches(list(known.settled.values())):
        if not more():
            break
        booked = ledger.booked(org, [charge_key(used.request_id) for used in chosen])
        for used in chosen:
            charge = booked.get(charge_key(used.request_id))
            if charge is None or charge.outcome == events.EXPIRED != used.outcome:
                told += replay(used)
            del known.settled[used.request_id]
    return told


def hold(known: Known, org: str, mark: Mark, counters: Counters, ledger: Ledger) -> list[Reservation] | None:
    """Put back what is held by requests that nobody settled; the store charges them when their time has run out.

    What is done is no longer in `known`. Returns what is not charged yet, or None where the organization is no longer
    closed, or open, as `mark` says it was.
    """
    uncharged = []
    for chosen in _batches(list(known.held.values())):
        booked = ledger.booked(org, [charge_key(held.request_id) for held in chosen])
        for held in chosen:
            charge = booked.get(charge_key(held.request_id))
            if charge and charge.outcome == events.EXPIRED:
                counters.recall(org, held.request_id, charge)
            elif charge is None:
                if not counters.hold(org, mark, held, _payers(held, known.unread)):
                    return None
                uncharged.append(held)
            del known.held[held.request_id]
    return uncharged


def _payers(held: Reservation, unread: set[str]) -> list[int]:
    """Number the scopes that money is reserved in: all whose names are known, but an endpoint, which costs none."""
    nameless = {f"user:{held.user}", f"key:{held.key}"} if held.user in unread else set()
    numbered = enumerate(held.scopes, 1)
    return [number for number, scope in numbered if scope not in nameless and not scope.startswith(ENDPOINT)]


def _batches(lines: Iterable[Line]) -> Iterator[list[Line]]:
    left = iter(lines)
    while chosen := list(islice(left, _AT_ONCE)):
        yield chosen
