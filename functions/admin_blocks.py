"""`/admin/blocks`: keys, users and networks shut out for a time, by the admission script, from the next request on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router

from functions import networks
from functions.block_requests import NewBlock
from functions.registry import Unknown
from functions.scopes import scope
from functions.visit import Cursor, Limit, answer, checked_cursor, listed
from shared.core.errors import BadRequest
from shared.core.principals import FOREIGN_ID, USER_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from functions.registry import Change, Item
    from functions.visit import Visit

router = Router()  # type: ignore[no-untyped-call]
_TAGS = ["blocks"]
_ID = re.compile(rf"(key|user):{USER_ID.pattern}|user:{FOREIGN_ID.pattern}|ip:[0-9a-f.:]{{2,39}}/\d{{1,3}}")


class _Target(NamedTuple):
    """Who is blocked: where its policy's record is, and how that says until when."""

    text: str
    sort_key: str
    fresh: Item | None
    marked: Callable[[Item, int], Item]


def _visit() -> Visit:
    visit: Visit = router.context["visit"]
    return visit


@router.post("/admin/blocks", tags=_TAGS, summary="Block a key, a user or a network (ip), in place of an earlier block")
def _block(wanted: NewBlock) -> Response[str]:
    visit = _visit()
    target = _target(visit, f"{wanted.kind}:{wanted.id}")
    if wanted.kind == "ip":
        networks.refuse_own(target.text.removeprefix("ip:"), visit.address)
    if wanted.id == {"key": visit.who, "user": visit.user}.get(wanted.kind):
        raise BadRequest(f"You call with this {wanted.kind} yourself: you could not end this block.", param="id")
    until = int(visit.control.now()) + wanted.seconds
    block = {**_place(visit, target), "until": until, "reason": wanted.reason, "created_at": int(visit.control.now())}
    _set(visit, target, block, "block.create")
    return answer(_shown(block, visit.control.now()), status=201)


@router.get("/admin/blocks", tags=_TAGS, summary="List blocks, also those that are `over`")
def _list(limit: Limit = 20, after: Cursor = None) -> Response[str]:
    visit = _visit()
    page = visit.control.registry.page(visit.org, "block#", limit, checked_cursor(after, _ID))
    now = visit.control.now()
    return listed(page.items, lambda item: _shown(item, now), more=page.more)


@router.delete("/admin/blocks/<block_id>", tags=_TAGS, summary="End a block")
def _unblock(block_id: str) -> Response[str]:
    visit = _visit()
    target = _target(visit, unquote(block_id))
    visit.control.registry.get(visit.org, f"block#{target.text}")
    _set(visit, target, {**_place(visit, target), "deleted": True}, "block.delete")
    return answer({"id": target.text, "object": "block", "deleted": True})


def _target(visit: Visit, text: str) -> _Target:
    kind, _, name = text.partition(":")
    if kind == "ip":
        network = networks.parse(name)
        now = int(visit.control.now())
        fresh = {"pk": visit.org, "sk": "org"}
        return _Target(f"ip:{network}", "org", fresh, lambda old, until: networks.marked(old, network, until, now))
    if kind not in {"key", "user"}:
        raise Unknown("block")
    found = scope(visit, text)
    return _Target(
        found.text, found.sort_key, found.fresh(visit.org), lambda old, until: {**old, "blocked_until": until}
    )


def _place(visit: Visit, target: _Target) -> Item:
    return {"pk": visit.org, "sk": f"block#{target.text}"}


def _set(visit: Visit, target: _Target, block: Item, action: str) -> None:
    """Write a block, and when it ends into the record that admission's policy is made of, in one step.

    The reason is people's own words, perhaps about a person: it is in the block's record, which ends with the block or
    the person, and not in the audit log, which nobody can erase.
    """
    registry, until = visit.control.registry, block.get("until", 0)
    known = registry.find(visit.org, block["sk"]) or {}

    def tell(_old: Item | None, _new: Item) -> Change:
        before = {"blocked_until": known.get("until", 0)}
        return visit.change(action, target.text, before, {"blocked_until": until})

    blocked = registry.edit(
        visit.org,
        target.sort_key,
        lambda old: target.marked(old, until),
        tell,
        fresh=target.fresh,
        others=lambda _: [(registry.find(visit.org, block["sk"]), block)],
    )
    visit.control.projection.tell(blocked)


def _shown(block: Item, now: float) -> dict[str, Any]:
    kind, _, name = block["sk"].removeprefix("block#").partition(":")
    told = {"id": f"{kind}:{name}", "object": "block", "kind": kind, "target": name, "until": block["until"]}
    return {**told, "reason": block.get("reason"), "created_at": block.get("created_at"), "over": block["until"] <= now}
