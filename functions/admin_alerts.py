"""`/admin/alerts`: what an organization hears of budgets and safeguards, and where; operators choose theirs here too.

The webhook's address is a secret of its own with some receivers, so it is shown without its path once it is set. What
signs the messages is made here, and shown only then.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router

from functions import webhooks
from functions.alert_requests import Alerts
from functions.alert_wishes import RECORD, choices, defaults, wish
from functions.visit import answer
from shared.core.errors import BadRequest, NotFound
from shared.edge.directory import FIRST_ORG

if TYPE_CHECKING:
    from collections.abc import Callable

    from functions.registry import Change, Item
    from functions.visit import Visit

router = Router()  # type: ignore[no-untyped-call]
_TAGS = ["alerts"]
_SECRET_BYTES: Final = 32


def _visit() -> Visit:
    visit: Visit = router.context["visit"]
    return visit


@router.get("/admin/alerts", tags=_TAGS, summary="Look at which alerts there are, and where they go")
def _show() -> Response[str]:
    visit = _visit()
    return answer(_shown(visit.org, visit.control.registry.find(visit.org, RECORD)))


@router.put(
    "/admin/alerts",
    tags=_TAGS,
    summary="Choose which alerts there are, and where they go; a new webhook's signing secret is shown this once",
)
def _put(wanted: Alerts) -> Response[str]:
    visit = _visit()
    _check(visit, wanted)
    made = f"nxa_{secrets.token_urlsafe(_SECRET_BYTES)}"
    chosen = {"events": sorted(wanted.events or defaults(visit.org)), "threshold": wanted.threshold}

    def edit(old: Item) -> Item:
        rest = {name: value for name, value in old.items() if name not in {"webhook", "secret"}}
        if wanted.webhook is None:
            return {**rest, **chosen}
        secret = old["secret"] if old.get("webhook") == wanted.webhook else made
        return {**rest, **chosen, "webhook": wanted.webhook, "secret": secret}

    edited = visit.control.registry.edit(
        visit.org, RECORD, edit, _telling(visit, "alerts.put"), version=visit.version(), fresh=_fresh(visit.org)
    )
    told = _shown(visit.org, edited)
    return answer({**told, "signing_secret": made} if edited.get("secret") == made else told)


@router.delete("/admin/alerts", tags=_TAGS, summary="Take the webhook and all choices away")
def _delete() -> Response[str]:
    visit = _visit()
    found = visit.control.registry.find(visit.org, RECORD)
    if found is None or found.get("deleted"):
        raise NotFound("No alerts were chosen here, so there is nothing to delete.")
    visit.control.registry.edit(
        visit.org,
        RECORD,
        lambda _: {**_fresh(visit.org), "deleted": True},
        _telling(visit, "alerts.delete"),
        version=visit.version(),
    )
    return answer({"id": RECORD, "object": "alerts", "deleted": True})


def _check(visit: Visit, wanted: Alerts) -> None:
    """Let pass what this organization may choose.

    Raises:
        BadRequest: it may not; `param` names the field.
    """
    known = choices(visit.org)
    if unknown := sorted(set(wanted.events or ()) - set(known)):
        raise BadRequest(
            f"The field 'events' is not usable: {unknown[0]!r} is only for administrators of the organization "
            f"{FIRST_ORG}, who operate the gateway. Choose among {', '.join(known)}.",
            param="events",
        )
    if wanted.webhook is not None:
        webhooks.check(wanted.webhook, loopback=visit.control.webhooks_to_loopback)
    elif visit.org != FIRST_ORG:  # whose alerts go to the operators' topic, too
        raise BadRequest("The field 'webhook' is missing. Add it: there is no other way to tell you.", param="webhook")


def _telling(visit: Visit, action: str) -> Callable[[Item | None, Item], Change]:
    def tell(old: Item | None, new: Item) -> Change:
        before, after = (None if not one or one.get("deleted") else _shown(visit.org, one) for one in (old, new))
        return visit.change(action, RECORD, before, after)

    return tell


def _fresh(org: str) -> Item:
    return {"pk": org, "sk": RECORD}


def _shown(org: str, record: Item | None) -> dict[str, Any]:
    """Render what holds; version 0 is that of who never chose."""
    known = record if record and not record.get("deleted") else {}
    holds = wish(org, known)
    return {
        "object": "alerts",
        "webhook": webhooks.shown(holds.webhook) if holds.webhook else None,
        "events": list(holds.events),
        "threshold": holds.threshold,
        "version": known.get("version", 0),
    }
