"""`/admin/usage`: who spent what, out of the ledger's sums of days; it lags by the minute in which they are booked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router
from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.admin_figures import ledger_read
from functions.figures import grouped, told, total
from functions.spans import span
from functions.visit import answer

if TYPE_CHECKING:
    from functions.visit import Visit

router = Router()  # type: ignore[no-untyped-call]

By = Literal["day", "key", "user", "team", "model", "alias"]


@router.get("/admin/usage", tags=["usage"], summary="Sum up what was spent, by day, key, user, team, model or alias")
def _usage(
    by: By = "day",
    first: Annotated[str | None, Query(alias="from")] = None,
    last: Annotated[str | None, Query(alias="to")] = None,
    top: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response[str]:
    visit: Visit = router.context["visit"]
    wanted = span(visit.control.now(), first, last)
    with ledger_read():
        found = list(visit.control.ledger.days(visit.org, "org" if by == "day" else by, *wanted))
    rows = grouped((day if by == "day" else name, spent) for day, name, spent in found)
    order = sorted(rows.items()) if by == "day" else sorted(rows.items(), key=lambda row: (-row[1].cost, row[0]))
    data = [{"id": name, **told(spent)} for name, spent in order[:top]]
    whole = told(total(rows.values()))
    return answer(
        {"object": "usage", "by": by, **wanted.ends, "data": data, "total": whole, "has_more": len(order) > top}
    )
