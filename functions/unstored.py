"""Books what was served while the store was away, for an organization that wants that: the log alone knows of it.

The log is searched for such lines, of which there are none on most days, from where the ledger was whole the last time.
What was found is told to the store as if it heard it for the first time; what the store or the ledger knows already
changes nothing, so this can be cut off anywhere and begun anew. What was reserved and never settled, because the
process died, the store holds until its time has run out, and then charges like any other.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from functions import replaying
from functions.turns import ORGS
from shared.edge.directory import FIRST_ORG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from functions.rebuilding import Records
    from functions.replaying import Known
    from shared.core.events import Usage
    from shared.core.journal import Names, Reservation

    Settle = Callable[[Known], int]
    Hold = Callable[[Known], list[Reservation] | None]

_AT_ONCE: Final = 100


class Unstored(Protocol):
    """The log."""

    def unstored(self, org: str, since: int) -> Iterator[Reservation | Usage]:
        """Yield what was reserved and settled without the store since an epoch millisecond; users are pseudonyms."""
        ...


def may_be(org: str, records: Records) -> bool:
    """Tell whether anything may be served so: not before the organization has chosen, and perhaps after it has again.

    Its last requests may be under way when it wants no more to be served, so the log is searched from then on too.
    """
    name = f"{ORGS}{org}"
    return any(found["sk"] == name and found.get("on_store_loss") for found in records.all(FIRST_ORG, name))


class Look:
    """One search; with it all that was settled before `until`, in epoch ms, is known.

    Unless something is `due`: its time had run out by then, and it is not charged yet.
    """

    def __init__(self, org: str, log: Unstored, since: int, until: int) -> None:
        """Search what was written since `since`, in epoch ms."""
        self.until = until
        self.found = 0
        self.due = False
        self._left = log.unstored(org, since)

    def go_on(self, names: Callable[[], Names], settle: Settle, hold: Hold, more: Callable[[], bool]) -> bool:
        """Settle and hold what is found while `more()`; returns whether that was all. What has raised must not go on.

        `settle` says how much was new, `hold` what is not charged yet, or None where the store was lost meanwhile.
        """
        while more():
            lines = list(islice(self._left, _AT_ONCE))
            if not lines:
                return True
            known = replaying.Known({}, {}, set())
            for line in lines:
                known.take(line, names())
            self.found += settle(known)
            held = hold(known)
            if held is None:
                return False
            self.due |= any(one.ends <= self.until for one in held)
        return False
