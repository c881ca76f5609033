"""`/admin/users` and `/admin/teams`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router

from functions import people
from functions.people_requests import NewTeam, NewUser, TeamEdit, UserEdit
from functions.visit import Cursor, Limit, answer, checked_cursor, listed
from shared.core.principals import FOREIGN_ID, USER_ID

if TYPE_CHECKING:
    from functions.visit import Visit

router = Router()  # type: ignore[no-untyped-call]
_USERS, _TEAMS = ["users"], ["teams"]
_CURSOR = re.compile(f"{USER_ID.pattern}|{FOREIGN_ID.pattern}")


def _visit() -> Visit:
    visit: Visit = router.context["visit"]
    return visit


def _page(kind: people.Kind, limit: int, after: str | None) -> Response[str]:
    visit = _visit()
    page = visit.control.registry.page(visit.org, f"{kind}#", limit, checked_cursor(after, _CURSOR))
    return listed(page.items, people.shown, more=page.more)


@router.post("/admin/users", tags=_USERS, summary="Make a user")
def _make_user(wanted: NewUser) -> Response[str]:
    return answer(people.shown(people.make(_visit(), "user", wanted)), status=201)


@router.get("/admin/users", tags=_USERS, summary="List users, in the order of their ids")
def _list_users(limit: Limit = 20, after: Cursor = None) -> Response[str]:
    return _page("user", limit, after)


@router.get("/admin/users/<user_id>", tags=_USERS, summary="Look at a user")
def _show_user(user_id: str) -> Response[str]:
    return answer(people.shown(people.get(_visit(), "user", unquote(user_id))))


@router.patch("/admin/users/<user_id>", tags=_USERS, summary="Edit a user; If-Match names the version that was read")
def _edit_user(user_id: str, wanted: UserEdit) -> Response[str]:
    return answer(people.shown(people.edit(_visit(), "user", unquote(user_id), wanted)))


@router.delete("/admin/users/<user_id>", tags=_USERS, summary="Delete a user; the very next request is refused")
def _delete_user(user_id: str) -> Response[str]:
    name = unquote(user_id)
    people.delete(_visit(), "user", name)
    return answer({"id": name, "object": "user", "deleted": True})


@router.post("/admin/teams", tags=_TEAMS, summary="Make a team")
def _make_team(wanted: NewTeam) -> Response[str]:
    return answer(people.shown(people.make(_visit(), "team", wanted)), status=201)


@router.get("/admin/teams", tags=_TEAMS, summary="List teams, in the order of their ids")
def _list_teams(limit: Limit = 20, after: Cursor = None) -> Response[str]:
    return _page("team", limit, after)


@router.get("/admin/teams/<team_id>", tags=_TEAMS, summary="Look at a team")
def _show_team(team_id: str) -> Response[str]:
    return answer(people.shown(people.get(_visit(), "team", team_id)))


@router.patch("/admin/teams/<team_id>", tags=_TEAMS, summary="Edit a team; If-Match names the version that was read")
def _edit_team(team_id: str, wanted: TeamEdit) -> Response[str]:
    return answer(people.shown(people.edit(_visit(), "team", team_id, wanted)))


@router.delete("/admin/teams/<team_id>", tags=_TEAMS, summary="Delete a team, with its limits and budget")
def _delete_team(team_id: str) -> Response[str]:
    people.delete(_visit(), "team", team_id)
    return answer({"id": team_id, "object": "team", "deleted": True})
