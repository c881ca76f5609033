"""Users and teams: made, edited, deleted by id, in their own organization; what is personal stays in their record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from functions.passwords import verify
from shared.edge.users import user
from tests.functions.control.rig import BOSS, NOW

if TYPE_CHECKING:
    from tests.functions.control.rig import House

ADA: Any = {"id": "ada", "name": "Ada Lovelace", "email": "ada@example.com"}
PASSWORD = "correct horse battery"


def test_makes_a_user(house: House) -> None:
    """What is asked for is kept and shown; the password only as a hash that verifies it, in the table alone."""
    house.call("POST", "/admin/teams", {"id": "blue", "name": "Blue"})
    wanted = {**ADA, "role": "viewer", "tier": "pro", "team": "blue", "models": ["simulated"], "password": PASSWORD}
    reply = house.call("POST", "/admin/users", {**wanted, "budget": {"monthly_usd": 5}})
    assert reply.status == 201
    shown = {name: value for name, value in wanted.items() if name != "password"}
    told = {"object": "user", "disabled": False, "has_password": True, "limits": {}, "budget": {"monthly_usd": "5.00"}}
    times = {"blocked_until": None, "created_at": NOW, "version": 1}
    assert reply.body == {**shown, **told, **times}
    assert house.call("GET", "/admin/users/ada").body == reply.body
    [stored] = house.stored("user#")
    assert verify(stored["password_hash"], PASSWORD)
    assert "argon2" not in json.dumps(reply.body)
    known = user(stored)
    assert (known.role, known.team, known.tokens_since) == ("viewer", "blue", NOW)


def test_valkey_hears_of_a_user_at_once(house: House) -> None:
    """Limits and budget of all the user's keys are known before the next request; so is that the user is gone."""
    house.call("POST", "/admin/users", {**ADA, "limits": {"concurrency": 2}, "budget": {"daily_usd": "0.5"}})
    policy = house.policy("user:ada")
    assert (policy["state"], policy["concurrency"], policy["daily"]) == ("active", "2", "500000000")
    house.call("PATCH", "/admin/users/ada", {"disabled": True})
    assert house.policy("user:ada")["state"] == "revoked"
    house.call("PATCH", "/admin/users/ada", {"disabled": False})
    assert house.policy("user:ada")["state"] == "active"
    house.call("DELETE", "/admin/users/ada")
    assert house.policy("user:ada")["state"] == "revoked"


def test_who_is_made_again_is_newer_than_who_was_deleted(house: House) -> None:
    """Versions run on over a tombstone, so that Valkey takes the new user for the newer word."""
    house.call("POST", "/admin/users", ADA)
    house.call("DELETE", "/admin/users/ada")
    assert house.call("GET", "/admin/users/ada").status == 404
    assert house.call("GET", "/admin/users").body["data"] == []
    again = house.call("POST", "/admin/users", ADA)
    assert (again.status, again.body["version"]) == (201, 3)
    assert house.policy("user:ada")["state"] == "active"


def test_who_is_made_again_has_none_of_the_former_keys(house: House) -> None:
    """They stay refused; those of others, and those that the new user gets, are not touched."""
    house.call("POST", "/admin/users", ADA)
    former, other = house.make(user="ada"), house.make()
    house.call("DELETE", "/admin/users/ada")
    house.call("POST", "/admin/users", ADA)
    own = house.make(user="ada")
    revoked = {key["id"]: key["revoked"] for key in house.call("GET", "/admin/keys").body["data"]}
    assert (revoked[former["id"]], revoked[other["id"]], revoked[own["id"]]) == (True, False, False)
    assert house.refusal(former["id"]) is not None
    assert house.refusal(own["id"]) is None
    assert house.call("POST", "/admin/users", ADA).status == 409
    assert house.refusal(own["id"]) is None


def test_an_edit_of_what_a_user_may_ends_the_tokens(house: House) -> None:
    """Role, team, password and the like; a new name does not."""
    house.call("POST", "/admin/users", {**ADA, "password": PASSWORD})
    for edit, since in (({"name": "A."}, NOW), ({"role": "admin"}, NOW + 2), ({"password": None}, NOW + 3)):
        house.now = since - 0.5  # the tokens of that second, too
        assert house.call("PATCH", "/admin/users/ada", edit).status == 200
        assert house.stored("user#")[0]["tokens_since"] == since
        assert house.policy("user:ada")["tokens_since"] == str(since)
    assert "password_hash" not in house.stored("user#")[0]


@pytest.mark.parametrize("kind", ["users", "teams"])
def test_there_is_one_of_each_id(house: House, kind: str) -> None:
    """A second is refused, a repeated create under one Idempotency-Key is not, and an old version is not edited."""
    once: Any = {"headers": {"idempotency-key": "once"}}
    first = house.call("POST", f"/admin/{kind}", {"id": "x1", "name": "X"}, **once)
    assert house.call("POST", f"/admin/{kind}", {"id": "x1", "name": "X"}, **once).body == first.body
    other = house.call("POST", f"/admin/{kind}", {"id": "x1", "name": "Y"})
    assert (other.status, other.error["code"]) == (409, "already_exists")
    assert house.call("PATCH", f"/admin/{kind}/x1", {"name": "Z"}, headers={"if-match": "2"}).status == 412
    assert house.call("PATCH", f"/admin/{kind}/x1", {"name": "Z"}, headers={"if-match": "1"}).body["name"] == "Z"


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("users", "id", "Ada"),
        ("users", "id", "a#b"),
        ("users", "id", "a" * 65),
        ("users", "email", "nobody"),
        ("users", "password", "short"),
        ("users", "role", "root"),
        ("users", "team", "nowhere"),
        ("users", "org", "other"),
        ("users", "is_admin", True),
        ("users", "spent", 0),
        ("users", "password_hash", "$argon2id$"),
        ("users", "version", 9),
        ("users", "tokens_since", 0),
        ("teams", "org", "other"),
        ("teams", "budget_nano", 1),
        ("teams", "id", ""),
    ],
)
def test_names_the_field_that_is_wrong(house: House, kind: str, field: str, value: object) -> None:
    """In a create and in an edit; nothing is written."""
    made = house.call("POST", f"/admin/{kind}", {"id": "x1", "name": "X", field: value})
    assert (made.status, made.error["param"]) == (400, field)
    assert house.stored() == []
    house.call("POST", f"/admin/{kind}", {"id": "x1", "name": "X"})
    edited = house.call("PATCH", f"/admin/{kind}/x1", {field: value})
    assert (edited.status, edited.error["param"]) == (400, field)
    assert house.stored()[0]["version"] == 1


@pytest.mark.parametrize("kind", ["users", "teams"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_tells_nothing_of_other_organizations(house: House, kind: str, method: str) -> None:
    """A foreign id, an unknown one and none at all are the same 404, and the foreign record stays."""
    house.call("POST", f"/admin/{kind}", {"id": "x1", "name": "X"})
    stranger = BOSS._replace(org="other", key_id="other-bossbossboss")
    replies = [
        house.call(method, f"/admin/{kind}/x1", {"name": "mine"}, caller=stranger),
        house.call(method, f"/admin/{kind}/x2", {"name": "mine"}, caller=stranger),
        house.call(method, f"/admin/{kind}/X%20", {"name": "mine"}),
    ]
    assert {(reply.status, json.dumps(reply.body)) for reply in replies} == {(404, json.dumps(replies[0].body))}
    assert house.stored()[0]["version"] == 1
    assert house.call("GET", f"/admin/{kind}", caller=stranger).body["data"] == []


def test_lists_page_by_page(house: House) -> None:
    """Each comes once, in the order of ids, whatever was deleted between."""
    for number in range(6):
        house.call("POST", "/admin/teams", {"id": f"t{number}", "name": "T"})
    for number in (1, 2, 3):
        house.call("DELETE", f"/admin/teams/t{number}")
    first = house.call("GET", "/admin/teams?limit=2").body
    second = house.call("GET", f"/admin/teams?limit=2&after={first['last_id']}").body
    assert [team["id"] for team in first["data"] + second["data"]] == ["t0", "t4", "t5"]
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert house.call("GET", "/admin/teams?after=X").error["param"] == "after"


def test_the_audit_log_holds_nothing_personal(house: House) -> None:
    """It says what changed about whom by id; name, address and password are not in it."""
    house.call("POST", "/admin/users", {**ADA, "password": PASSWORD})
    house.call("PATCH", "/admin/users/ada", {"email": "countess@example.com", "role": "admin"})
    house.call("DELETE", "/admin/users/ada")
    assert [line["action"] for line in house.lines()] == ["user.create", "user.edit", "user.delete"]
    assert (house.lines()[1]["before"]["role"], house.lines()[1]["after"]["role"]) == ("developer", "admin")
    written = json.dumps([house.lines(), house.stored()], default=str)
    for personal in ("Lovelace", "example.com", "argon2", PASSWORD):
        assert personal not in written
