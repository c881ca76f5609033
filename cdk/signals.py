"""What of the functions' log lines is counted, for alarms to watch: plain data, which tests hold to the lines.

A count that nothing adds to is no metric and costs nothing; one that something adds to costs 0.30 USD a month at most,
by the hours in which it does. The lines tell no stage, so each stage counts in a namespace of its own.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from shared import manifest
from shared.core import events, journal
from shared.core.errors import StoreUnavailable
from shared.edge.telemetry import NAMESPACE

BUDGETS: Final = "budgets"


class Signal(NamedTuple):
    """Lines in the log of one function that count for a metric: those whose members are all as in `members`."""

    metric: str
    function: str
    members: dict[str, str | bool]

    @property
    def pattern(self) -> str:
        """Write it as a filter pattern of CloudWatch."""
        return "{ " + " && ".join(_clause(name, value) for name, value in self.members.items()) + " }"


SIGNALS: Final = (
    # A mistake of ours, which a client got a 500 for.
    *(Signal("Faults", name, {"event": events.FAULT}) for name in (manifest.GATEWAY, "tokens", "admin")),
    # The store did not hear what a request cost; the log knows, and the books ask it when the reservation expires.
    Signal("Unsettled", manifest.GATEWAY, {"event": "request", "settled": False}),
    # The store, or the Directory, could not be reached: refused, served uncounted, or noticed by the books as empty.
    Signal("StoreLost", manifest.GATEWAY, {"event": "request", "outcome": StoreUnavailable.code}),
    Signal("StoreLost", manifest.GATEWAY, {"event": events.USAGE, **journal.UNSTORED}),
    Signal("StoreLost", BUDGETS, {"event": events.SECURITY, "reason": "store_lost"}),
    # Nobody could serve a request, whoever else the catalog has for its model.
    Signal("Unserved", manifest.GATEWAY, {"event": events.BREAKER, "state": "none_left"}),
    # The books: not done in time; and what they could not read, and so have not charged.
    Signal("BooksBehind", BUDGETS, {"event": events.BOOKS, events.BEHIND: True}),
    Signal("Unbooked", BUDGETS, {"event": events.BOOKS, "level": "ERROR"}),
    Signal("Unbooked", BUDGETS, {"event": events.SECURITY, "reason": "broken_line"}),
)


def namespace(stage: str) -> str:
    """Name the namespace that the counts of one stage are in."""
    return f"{NAMESPACE}/{stage}"


def _clause(name: str, value: str | bool) -> str:  # noqa: FBT001 - a value of a line, not a switch
    return f"$.{name} IS {str(value).upper()}" if isinstance(value, bool) else f'$.{name} = "{value}"'
