"""`/admin/audit`: who changed what, and when. Nothing here can be edited, by anybody."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router

from functions.visit import Cursor, Limit, checked_cursor, listed

if TYPE_CHECKING:
    from functions.registry import Item
    from functions.visit import Visit

router = Router()  # type: ignore[no-untyped-call]
_LINE = re.compile(r"\d{17}#[0-9a-f]{1,32}")


@router.get("/admin/audit", tags=["audit"], summary="List changes, the newest first")
def _list(limit: Limit = 20, after: Cursor = None) -> Response[str]:
    visit: Visit = router.context["visit"]
    page = visit.control.registry.lines(visit.org, limit, checked_cursor(after, _LINE))
    return listed(page.items, shown, more=page.more)


def shown(line: Item) -> dict[str, Any]:
    """Render a line."""
    told = {name: line.get(name) for name in ("who", "action", "target", "before", "after")}
    return {"id": line["sk"], "object": "audit_line", "at": line["at"] / 1_000_000, **told}
