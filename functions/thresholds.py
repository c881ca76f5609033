"""Tells once when 50, 80 and 100 % of a budget are spent, for each scope and period; what was told is in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from shared.core import events, periods
from shared.core.principals import policy_scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.edge.counters import Counters
    from shared.edge.ledger import Ledger

PERCENTS: Final = (50, 80, 100)


def look(org: str, counters: Counters, ledger: Ledger, say: Callable[[Mapping[str, Any]], None]) -> None:
    """Look at every scope that has spent since somebody looked last, and `say` which thresholds it has reached."""
    cursor = ledger.cursor(org)
    if cursor is None or not cursor.due:
        return
    caps = counters.limits(org, cursor.due, counters.today())
    for (scope, period), spent in ledger.spent(org, caps.keys()).items():
        limit, before = caps[scope, period]
        cost = spent.cost - before
        reached = percent(cost, limit)
        if not reached:
            continue
        known = ledger.tell(org, scope, period, before + limit, reached)  # to who is new under an id, all is told anew
        for threshold in PERCENTS:
            if known < threshold <= reached:
                say({**_event(scope, period, limit, cost), "org": org, "threshold": threshold})
    ledger.looked_at(org, cursor.due)


def percent(cost: int, limit: int) -> int:
    """Return the highest threshold that `cost` has reached, 0 for none; nothing can be told of a budget of nothing."""
    return max((threshold for threshold in PERCENTS if limit > 0 and cost * 100 >= limit * threshold), default=0)


def _event(scope: str, period: str, limit: int, spent: int) -> dict[str, Any]:
    """Describe it; money is in nano-dollars. A user's id may be a person's name, so it is hashed."""
    kind, _, name = scope.partition(":")
    shown = f"{kind}:{events.pseudonym(name)}" if kind == "user" else policy_scope(scope)
    return {
        "level": "WARN",
        "event": events.BUDGET,
        "scope": shown,
        "period": period,
        "limit": limit,
        "spent": spent,
        "resets_at": periods.resets_at(period),
    }
