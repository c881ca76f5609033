"""Books what was served while the store was away, for an organization that wants that: the log alone knows of it.

The log is searched for such lines, of which there are none on most days, from where the ledger was whole the last time.
What was found is told to the store as if it heard it for the first time; what the store or the ledger knows already
changes nothing, so this can be cut off anywhere and begun anew.
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
    from shared.core.events import Usage
    from shared.core.journal import Names
    from shared.edge.ledger import Ledger

_AT_ONCE: Final = 100


class Unstored(Protocol):
    """The log."""

    def unstored(self, org: str, since: int) -> Iterator[Usage]:
        """Yield what was served without the store since an epoch millisecond; users are pseudonyms."""
        ...


def may_be(org: str, records: Records) -> bool:
    """Tell whether anything may be served so: not before the organization has chosen, and perhaps after it has again.

    Its last requests may be under way when it wants no more to be served, so the log is searched from then on too.
    """
    name = f"{ORGS}{org}"
    return any(found["sk"] == name and found.get("on_store_loss") for found in records.all(FIRST_ORG, name))


class Look:
    """One search; with it all that was settled before `until`, in epoch ms, is known."""

    def __init__(self, org: str, log: Unstored, since: int, until: int) -> None:
        """Search what was written since `since`, in epoch ms."""
        self.until = until
        self.found = 0
        self._org = org
        self._left = log.unstored(org, since)

    def go_on(
        self, names: Callable[[], Names], ledger: Ledger, replay: Callable[[Usage], bool], more: Callable[[], bool]
    ) -> bool:
        """Settle what is found while `more()`; returns whether that was all. What has raised must not go on."""
        while more():
            lines = list(islice(self._left, _AT_ONCE))
            if not lines:
                return True
            known = replaying.Known({line.request_id: names().named(line) for line in lines}, {}, set())
            self.found += replaying.settle(known, self._org, ledger, replay, lambda: True)
        return False
