"""`/admin/keys`: API keys are made, shown, edited, rotated and revoked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router

from functions.key_requests import KeyEdit, NewKey, Rotation
from functions.keyring import shown
from functions.visit import Cursor, Limit, answer, listed
from shared.core import keys
from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from functions.visit import Visit

router = Router()  # type: ignore[no-untyped-call]
_TAGS = ["keys"]


def _visit() -> Visit:
    visit: Visit = router.context["visit"]
    return visit


@router.post("/admin/keys", tags=_TAGS, summary="Make a key; it is shown this once")
def _make(wanted: NewKey) -> Response[str]:
    visit = _visit()
    return answer(visit.control.keyring.make(visit, wanted).shown(), status=201)


@router.get("/admin/keys", tags=_TAGS, summary="List keys, in the order of their ids")
def _list(limit: Limit = 20, after: Cursor = None) -> Response[str]:
    visit = _visit()
    if after is not None and keys.org_of(after) != visit.org:
        raise BadRequest(
            "The cursor 'after' is not the id of a key. Use the last_id of the page before.", param="after"
        )
    page = visit.control.registry.page(visit.org, "key#", limit, after)
    return listed(page.items, shown, more=page.more)


@router.get("/admin/keys/<key_id>", tags=_TAGS, summary="Look at a key")
def _show(key_id: str) -> Response[str]:
    visit = _visit()
    return answer(shown(visit.control.keyring.get(visit.org, key_id)))


@router.patch("/admin/keys/<key_id>", tags=_TAGS, summary="Edit a key; If-Match names the version that was read")
def _edit(key_id: str, wanted: KeyEdit) -> Response[str]:
    visit = _visit()
    return answer(shown(visit.control.keyring.edit(visit, key_id, wanted)))


@router.post("/admin/keys/<key_id>/rotate", tags=_TAGS, summary="Give a key a new secret; the old one lasts a while")
def _rotate(key_id: str, wanted: Rotation) -> Response[str]:
    visit = _visit()
    return answer(visit.control.keyring.rotate(visit, key_id, wanted.overlap_seconds).shown())


@router.delete("/admin/keys/<key_id>", tags=_TAGS, summary="Revoke a key; its very next request is refused")
def _revoke(key_id: str) -> Response[str]:
    visit = _visit()
    return answer(shown(visit.control.keyring.revoke(visit, key_id, visit.version())))
