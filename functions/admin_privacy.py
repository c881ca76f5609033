"""`/admin/users/{id}/export` and `/erase`: what is held of a person, and the end of it.

Prompts and answers are stored nowhere, so there are none to hand out. The sums of money stay, by the user's id alone:
an id says nothing of a person once the record with the name is gone, so ids should not be names.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router

from functions import admin_audit, keyring, owners, people
from functions.figures import told
from functions.registry import Unknown
from functions.visit import answer
from shared.core import periods
from shared.core.errors import StoreUnavailable
from shared.core.principals import is_foreign, is_token
from shared.edge.aws import AwsError
from shared.edge.booking import KEPT_DAYS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from functions.registry import Item
    from functions.visit import Visit

router = Router()  # type: ignore[no-untyped-call]
_TAGS = ["users"]
_PAGE = 100  # lines of the audit log
_ENDS: Final = frozenset({"user.delete", "user.erase"})
ERASED = "erased"  # the name of a key whose user is


def _visit() -> Visit:
    visit: Visit = router.context["visit"]
    return visit


@router.get("/admin/users/<user_id>/export", tags=_TAGS, summary="Export all that is held of a user")
def _export(user_id: str) -> Response[str]:
    visit, user_id = _visit(), unquote(user_id)
    known = _known(visit, user_id)
    made = known.get("created_at") or 0
    records = owners.keys_of(visit.control.registry, visit.org, user_id)
    owned = [key for record in records if (key := keyring.shown(record))["created_at"] >= made]
    lines, first_day = _own(visit, user_id)
    named = {user_id, f"user:{user_id}", *(key["id"] for key in owned), *(f"key:{key['id']}" for key in owned)}
    block = visit.control.registry.find(visit.org, f"block#user:{user_id}") or {}
    held: dict[str, Any] = {"user": people.shown(known), "keys": owned, "usage": _usage(visit, user_id, first_day)}
    held["block"] = {"until": block["until"], "reason": block.get("reason")} if "until" in block else None
    held["audit"] = [admin_audit.shown(line) for line in lines if _is_of(line, user_id, named)]
    return answer({"object": "user_export", "id": user_id, **held})


@router.post("/admin/users/<user_id>/erase", tags=_TAGS, summary="Erase a user and revoke the user's keys; sums stay")
def _erase(user_id: str) -> Response[str]:
    visit, user_id = _visit(), unquote(user_id)
    known = _known(visit, user_id)
    count = 0
    for record in owners.keys_of(visit.control.registry, visit.org, user_id):
        visit.control.keyring.erase(visit, record["sk"].removeprefix("key#"), ERASED)
        count += 1
    if "version" in known:
        people.delete(visit, "user", user_id, "erase")  # last: until then the request can be repeated
    return answer({"object": "user", "id": user_id, "erased": True, "keys_revoked": count})


def _known(visit: Visit, user_id: str) -> Item:
    """Return a user's record; one of another issuer's may have none, and have spent something all the same.

    Raises:
        Unknown: there is no such user.
        StoreUnavailable: the Directory cannot be reached.
    """
    try:
        return people.get(visit, "user", user_id)
    except Unknown:
        if not is_foreign(user_id):
            raise
        return {"pk": visit.org, "sk": f"user#{user_id}"}


def _own(visit: Visit, user_id: str) -> tuple[list[Item], str]:
    """Return the changes since the user was made, and the first day whose sums are of nobody else who had the id.

    Who is made anew under an id may be another person, whose data must not be handed out. "" is all that is kept.
    """
    lines, own, made = _lines(visit), [], ""
    for line in lines:
        own.append(line)
        if (line["action"], line["target"]) == ("user.create", user_id):
            made = _day(line)
            break
    same_day = takewhile(lambda line: _day(line) == made, lines)
    if any(line["action"] in _ENDS and line["target"] == user_id for line in same_day):
        return own, periods.day_of(periods.number_of(made) + 1)
    return own, made


def _day(line: Item) -> str:
    return periods.day_at(int(line["at"]) // 1000)


def _lines(visit: Visit) -> Iterator[Item]:
    before, more = None, True
    while more:
        page = visit.control.registry.lines(visit.org, _PAGE, before)
        yield from page.items
        more, before = page.more, page.items[-1]["sk"] if page.items else None


def _is_of(line: Item, user_id: str, named: Collection[str]) -> bool:
    """Tell whether a change is of the user's record or keys, or was made with one of the keys or a token."""
    by_token = is_token(line["who"]) and line["who"].split("-", 3)[3] == user_id
    return line["target"] in named or line["who"] in named or by_token


def _usage(visit: Visit, user_id: str, first_day: str) -> list[dict[str, Any]]:
    today = periods.number_of(periods.day_at(int(visit.control.now() * 1000)))
    since = max(first_day, periods.day_of(today - KEPT_DAYS))
    if since > periods.day_of(today):
        return []
    try:
        found = visit.control.ledger.days(visit.org, "user", since, periods.day_of(today))
        return [{"day": day, **told(spent)} for day, name, spent in found if name == user_id]
    except AwsError as error:
        raise StoreUnavailable("The ledger cannot be read now. Please try again.", retry_after=1) from error
