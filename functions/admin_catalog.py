"""`/admin/catalog`: which models there are and who serves them, changed without a deployment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router

from functions.catalog_requests import NewCatalog, Rollback
from functions.catalogs import DEPLOYED, Catalogs, text_of
from functions.registry import Unknown
from functions.shelf import stored
from functions.visit import Cursor, Limit, answer, checked_cursor, listed
from shared.compiler.source import Source
from shared.edge.directory import FIRST_ORG

if TYPE_CHECKING:
    from functions.registry import Item

router = Router()  # type: ignore[no-untyped-call]
_TAGS = ["catalog"]
_NUMBER = re.compile(r"\d{6}")
_PREFIX = stored(DEPLOYED).partition("#")[0] + "#"


def _catalogs() -> Catalogs:
    return Catalogs.of(router.context["visit"])


@router.put("/admin/catalog", tags=_TAGS, summary="Push a catalog.toml: it is live within a minute")
def _push(wanted: NewCatalog) -> Response[str]:
    catalogs = _catalogs()
    prices = None if wanted.prices is None else Source("prices.toml", wanted.prices)
    return answer(_shown(catalogs, catalogs.push(Source(wanted.name, wanted.catalog), prices)))


@router.post("/admin/catalog/rollback", tags=_TAGS, summary="Have an earlier catalog be live; 0 is the deployed one")
def _roll_back(wanted: Rollback) -> Response[str]:
    catalogs = _catalogs()
    return answer(_shown(catalogs, catalogs.roll_back(wanted.to)))


@router.get("/admin/catalog", tags=_TAGS, summary="List the catalogs that were pushed")
def _list(limit: Limit = 20, after: Cursor = None) -> Response[str]:
    catalogs = _catalogs()
    cursor = checked_cursor(after, _NUMBER)
    page = catalogs.visit.control.registry.page(FIRST_ORG, _PREFIX, limit, cursor)
    return listed(page.items, lambda item: _shown(catalogs, item), more=page.more)


@router.get("/admin/catalog/<number>", tags=_TAGS, summary="Look at a catalog by its number, or at the `live` one")
def _show(number: str) -> Response[str]:
    catalogs = _catalogs()
    if number != "live" and not (number.isascii() and number.isdigit() and len(number) < 10):  # noqa: PLR2004
        raise Unknown("catalog")
    record = catalogs.find(catalogs.pointer().get("serves", DEPLOYED) if number == "live" else int(number))
    return answer({**_shown(catalogs, record), "catalog": text_of(record)})


def _shown(catalogs: Catalogs, record: Item) -> dict[str, Any]:
    number = record["sk"].removeprefix(_PREFIX)
    return {
        "id": number,
        "object": "catalog",
        "number": int(number),
        "live": int(number) == catalogs.pointer().get("serves", DEPLOYED),
        "digest": record["digest"],
        "name": record["name"],
        "created_at": record.get("created_at"),
    }
