"""Who wants to hear what: the record of an organization, and what holds where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from shared.edge.directory import FIRST_ORG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functions.alert_words import Alert, Kind

RECORD: Final = "alerts"  # the sort key
THRESHOLD: Final = 80  # percent of a budget
OWN: Final[tuple[Kind, ...]] = ("budget", "security")
OPERATED: Final[tuple[Kind, ...]] = (*OWN, "breaker", "fault")  # what operators hear unless they choose


class Wish(NamedTuple):
    """What one organization wants to hear, and where; without a `webhook` nowhere, but for operators their topic."""

    events: tuple[Kind, ...]
    threshold: int
    webhook: str = ""
    secret: str = ""

    def hears(self, alert: Alert) -> bool:
        """Tell whether it wants to hear that."""
        return alert.kind in self.events and alert.threshold >= self.threshold


def wish(org: str, record: Mapping[str, Any] | None) -> Wish:
    """Read a record of the Directory; None is that of who never chose."""
    known = record or {}
    events = tuple(known.get("events") or defaults(org))
    return Wish(events, int(known.get("threshold", THRESHOLD)), known.get("webhook") or "", known.get("secret") or "")


def defaults(org: str) -> tuple[Kind, ...]:
    """Return what an organization hears that never chose."""
    return OPERATED if org == FIRST_ORG else OWN


def choices(org: str) -> tuple[Kind, ...]:
    """Return what an organization may choose to hear: of the deployment and of others that is for operators only."""
    return (*OPERATED, "organizations") if org == FIRST_ORG else OWN
