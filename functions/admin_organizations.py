"""`/admin/organizations`: tenants. Those of the first organization make the others; everybody else sees their own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router

from functions import ceilings
from functions.key_requests import NewKey
from functions.people_requests import NewOrganization, OrganizationEdit
from functions.registry import Unknown
from functions.requests import Budget
from functions.visit import Cursor, Limit, Repeat, answer, checked_cursor, listed
from shared.core.errors import Forbidden
from shared.edge.directory import FIRST_ORG

if TYPE_CHECKING:
    from functions.registry import Change, Item
    from functions.visit import Visit

router = Router()  # type: ignore[no-untyped-call]
_TAGS = ["organizations"]
_ID = re.compile(r"[a-z0-9]{1,20}")


def _visit() -> Visit:
    visit: Visit = router.context["visit"]
    return visit


@router.post("/admin/organizations", tags=_TAGS, summary="Make an organization, with its first administrator's key")
def _make(wanted: NewOrganization) -> Response[str]:
    visit = _visit()
    if visit.org != FIRST_ORG:
        raise Forbidden(f"Organizations are made by administrators of the organization {FIRST_ORG}.")
    return answer(_made(visit, wanted), status=201)


@router.get("/admin/organizations", tags=_TAGS, summary="List organizations")
def _list(limit: Limit = 20, after: Cursor = None) -> Response[str]:
    visit = _visit()
    cursor = checked_cursor(after, _ID)
    if visit.org != FIRST_ORG:
        return listed([_entry(visit, visit.org)], _shown, more=False)
    page = visit.control.registry.page(FIRST_ORG, "organization#", limit, cursor)
    return listed(page.items, _shown, more=page.more)


@router.get("/admin/organizations/<org_id>", tags=_TAGS, summary="Look at an organization")
def _show(org_id: str) -> Response[str]:
    return answer(_shown(_entry(_visit(), org_id)))


@router.patch("/admin/organizations/<org_id>", tags=_TAGS, summary="Edit an organization")
def _edit(org_id: str, wanted: OrganizationEdit) -> Response[str]:
    visit = _visit()
    _entry(visit, org_id)
    if wanted.on_store_loss == "serve" and visit.org != FIRST_ORG and ceilings.find(visit, org_id).get("ceiling"):
        raise Forbidden("With a ceiling, 'on_store_loss' is set by those who set that.", param="on_store_loss")

    def tell(old: Item | None, new: Item) -> Change:
        return _change(visit, "organization.edit", org_id, old, new)

    edited = visit.control.registry.edit(
        FIRST_ORG,
        f"organization#{org_id}",
        lambda old: {**old, **wanted.given()},
        tell,
        version=visit.version(),
        fresh=_first(org_id),
    )
    return answer(_shown(edited))


@router.get("/admin/organizations/<org_id>/ceiling", tags=_TAGS, summary="Look at an organization's ceiling")
def _ceiling(org_id: str) -> Response[str]:
    visit = _visit()
    _entry(visit, org_id)
    return answer(ceilings.shown(ceilings.find(visit, org_id)))


@router.put(
    "/admin/organizations/<org_id>/ceiling",
    tags=_TAGS,
    summary="Replace the most that an organization may spend, whatever its own budget, in US dollars",
)
def _capped(org_id: str, wanted: Budget) -> Response[str]:
    visit = _visit()
    _entry(visit, org_id)
    return answer(ceilings.shown(ceilings.put(visit, org_id, wanted)))


def _change(visit: Visit, action: str, org_id: str, old: Item | None, new: Item) -> Change:
    """Return the line for the logs of the organization that it is about and, where they did it, of the operators."""
    line = visit.change(action, org_id, _shown(old) if old else None, _shown(new))
    return line._replace(concerned=frozenset({org_id, visit.org}))


def _made(visit: Visit, wanted: NewOrganization) -> dict[str, Any]:
    """Make both, the key in the new organization; repeated under one Idempotency-Key, both are as before."""
    registry, name = visit.control.registry, f"organization#{wanted.id}"
    repeat = Repeat.of(visit, "organization")
    if repeat and repeat.made(visit.control.now()):
        made = registry.get(FIRST_ORG, name)
    else:
        new = {"pk": FIRST_ORG, "sk": name, "name": wanted.name, "created_at": int(visit.control.now())}
        memory = [repeat.memory(name)] if repeat else []
        made = registry.add(new, _change(visit, "organization.create", wanted.id, None, new), *memory)
        visit.control.projection.open_new(wanted.id)
    first = NewKey(name="first administrator", role="admin", tier="enterprise")
    key = visit.control.keyring.make(visit._replace(org=wanted.id), first)
    return {**_shown(made), "admin_key": key.shown()}


def _entry(visit: Visit, org_id: str) -> Item:
    """Return what the list of organizations says of one.

    Raises:
        Unknown: there is none, or it is not the caller's to see.
    """
    if org_id not in {visit.org, FIRST_ORG} and visit.org != FIRST_ORG:
        raise Unknown("org")
    if not _ID.fullmatch(org_id) or (org_id == FIRST_ORG and visit.org != FIRST_ORG):
        raise Unknown("org")
    found = visit.control.registry.find(FIRST_ORG, f"organization#{org_id}")
    if found is None and org_id != FIRST_ORG:
        raise Unknown("org")
    return found or _first(org_id)


def _first(org_id: str) -> Item:
    """Return what is known of the first organization before anybody names it: nobody had to make it."""
    return {"pk": FIRST_ORG, "sk": f"organization#{org_id}", "name": org_id, "version": 0}


def _shown(known: Item) -> dict[str, Any]:
    return {
        "id": known["sk"].removeprefix("organization#"),
        "object": "organization",
        "name": known["name"],
        "on_store_loss": known.get("on_store_loss", "refuse"),
        "created_at": known.get("created_at"),
        "version": known.get("version", 1),
    }
