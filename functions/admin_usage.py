"""`/admin/usage`: who spent what, out of the ledger's sums of days; it lags by the minute in which they are booked."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router
from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.usd import usd
from functions.visit import answer
from shared.core import periods
from shared.core.errors import BadRequest, StoreUnavailable
from shared.edge.aws import AwsError
from shared.edge.ledger import Sum

if TYPE_CHECKING:
    from collections.abc import Iterable

    from functions.visit import Visit

router = Router()  # type: ignore[no-untyped-call]

By = Literal["day", "key", "user", "team", "model", "alias"]
DEFAULT_DAYS = 30
MOST_DAYS = 92
_UNBOOKED = "The ledger cannot be read now. Please try again."


@router.get("/admin/usage", tags=["usage"], summary="Sum up what was spent, by day, key, user, team, model or alias")
def _usage(
    by: By = "day",
    first: Annotated[str | None, Query(alias="from")] = None,
    last: Annotated[str | None, Query(alias="to")] = None,
    top: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response[str]:
    visit: Visit = router.context["visit"]
    start, end = _range(visit, first, last)
    try:
        found = list(visit.control.ledger.days(visit.org, "org" if by == "day" else by, start, end))
    except AwsError as error:
        raise StoreUnavailable(_UNBOOKED, retry_after=1) from error
    rows = _grouped((day if by == "day" else name, spent) for day, name, spent in found)
    order = sorted(rows.items()) if by == "day" else sorted(rows.items(), key=lambda row: (-row[1].cost, row[0]))
    data = [{"id": name, **told(spent)} for name, spent in order[:top]]
    total = _grouped(("total", spent) for spent in rows.values()).get("total", Sum())
    ends = {"from": start, "to": end}
    return answer(
        {"object": "usage", "by": by, **ends, "data": data, "total": told(total), "has_more": len(order) > top}
    )


def told(spent: Sum) -> dict[str, Any]:
    """Render a sum."""
    return {
        "cost_usd": usd(spent.cost),
        "requests": spent.requests,
        "prompt_tokens": spent.prompt,
        "completion_tokens": spent.completion,
        "cached_tokens": spent.cached,
    }


def _grouped(found: Iterable[tuple[str, Sum]]) -> dict[str, Sum]:
    groups: defaultdict[str, list[Sum]] = defaultdict(list)
    for name, spent in found:
        groups[name].append(spent)
    return {name: Sum(*map(sum, zip(*parts, strict=True))) for name, parts in groups.items()}


def _range(visit: Visit, first: str | None, last: str | None) -> tuple[str, str]:
    """Return the first and the last day, both included; the last 30 unless said otherwise."""
    today = periods.number_of(periods.day_at(int(visit.control.now() * 1000)))
    end = today if last is None else _number(last, "to")
    start = end - DEFAULT_DAYS + 1 if first is None else _number(first, "from")
    if not 0 <= end - start < MOST_DAYS:
        raise BadRequest(f"Ask for 1 to {MOST_DAYS} days, the first one as 'from'.", param="from")
    return periods.day_of(start), periods.day_of(end)


def _number(day: str, param: str) -> int:
    try:
        return periods.number_of(day)
    except ValueError as error:
        raise BadRequest(f"The field '{param}' is not a day such as 2026-11-21.", param=param) from error
