"""Edits of keys: on top of the version that was read, in force at once, never on what is revoked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.core import keys
from shared.edge.directory import record
from tests.functions.control.rig import BOSS, NOW, PEPPER

if TYPE_CHECKING:
    from tests.functions.control.rig import House


def opens(house: House, text: str) -> bool:
    """Tell whether the Directory's record lets a key in at this moment."""
    key = keys.parse(text)
    assert key is not None
    known = record(house.registry.get(key.org, f"key#{key.id}"))
    return any(keys.verify(PEPPER, key, digest) for digest in known.hashes(house.now))


def sent(**headers: str) -> dict[str, Any]:
    """Return headers for an event."""
    return {"headers": {name.replace("_", "-"): value for name, value in headers.items()}}


def test_edits_what_is_sent_and_nothing_else(house: House) -> None:
    """A new tier is in force on the next request; null takes the team away; the version counts up."""
    made = house.make(team="blue", user="ada", models=["simulated"])
    assert house.admitted(made["id"]) == 10
    edit = {"tier": "pro", "team": None, "expires_days": 1}
    reply = house.call("PATCH", f"/admin/keys/{made['id']}", edit)
    changed = {"tier": "pro", "team": None, "expires_at": NOW + 86400, "version": 2}
    assert reply.status == 200
    assert reply.body == {name: value for name, value in made.items() if name != "key"} | changed
    assert reply.headers["etag"] == '"2"'
    assert house.admitted(made["id"], "r-2") == 600
    assert opens(house, made["key"])


def test_an_edit_that_changes_nothing_leaves_no_trace(house: House) -> None:
    """Neither the version nor the audit log knows of it."""
    made = house.make()
    assert house.call("PATCH", f"/admin/keys/{made['id']}", {"tier": "free"}).body["version"] == 1
    assert house.call("PATCH", f"/admin/keys/{made['id']}", {}).body["version"] == 1
    assert len(house.lines()) == 1


@pytest.mark.parametrize("version", ["1", '"1"', 'W/"1"'])
def test_an_edit_of_an_old_version_is_refused(house: House, version: str) -> None:
    """Who edits on top of what is no longer there is told, and overwrites nothing."""
    made = house.make()
    path = f"/admin/keys/{made['id']}"
    assert house.call("PATCH", path, {"name": "first"}, **sent(If_Match=version)).status == 200
    late = house.call("PATCH", path, {"name": "second"}, **sent(If_Match=version))
    assert (late.status, late.error["code"]) == (412, "version_conflict")
    assert house.call("DELETE", path, **sent(if_match=version)).status == 412
    assert house.call("POST", f"{path}/rotate", {}, **sent(if_match=version)).status == 412
    shown = house.call("GET", path)
    assert (shown.body["name"], shown.body["revoked"], shown.headers["etag"]) == ("first", False, '"2"')


@pytest.mark.parametrize("version", ["", "x", '"1', "-1", "1.0", "9" * 16, '"1", "2"'])
def test_an_if_match_that_is_no_version(house: House, version: str) -> None:
    """It is refused by name, and not ignored."""
    made = house.make()
    reply = house.call("PATCH", f"/admin/keys/{made['id']}", {"name": "x"}, **sent(if_match=version))
    assert (reply.status, reply.error["param"]) == (400, "If-Match")


@pytest.mark.parametrize(
    "field", ["hash", "revoked", "version", "org", "id", "last4", "limits", "budget", "created_at"]
)
def test_no_edit_reaches_what_is_not_for_editing(house: House, field: str) -> None:
    """Mass assignment is refused by the field's name; nothing changes."""
    made = house.make()
    reply = house.call("PATCH", f"/admin/keys/{made['id']}", {field: 1})
    assert (reply.status, reply.error["param"]) == (400, field)
    assert house.stored("key#")[0]["version"] == 1


def test_what_is_revoked_stays_so(house: House) -> None:
    """It can be neither edited nor rotated back to life."""
    made = house.make()
    house.call("DELETE", f"/admin/keys/{made['id']}")
    for method, path in (("PATCH", f"/admin/keys/{made['id']}"), ("POST", f"/admin/keys/{made['id']}/rotate")):
        reply = house.call(method, path, {})
        assert (reply.status, reply.error["code"], reply.headers["x-should-retry"]) == (409, "key_state", "false")


def test_rotation_overlaps(house: House) -> None:
    """The new secret opens at once, the old one until the overlap ends, and from that second on no more."""
    made = house.make()
    reply = house.call("POST", f"/admin/keys/{made['id']}/rotate", {"overlap_seconds": 60})
    rotated = reply.body
    assert (reply.status, rotated["id"], rotated["overlap_until"]) == (200, made["id"], NOW + 60)
    assert rotated["key"] != made["key"]
    assert rotated["last4"] == rotated["key"][-4:]
    house.now += 59.9
    assert (opens(house, made["key"]), opens(house, rotated["key"])) == (True, True)
    house.now += 0.1
    assert (opens(house, made["key"]), opens(house, rotated["key"])) == (False, True)


def test_a_leaked_secret_goes_at_once(house: House) -> None:
    """Without an overlap nothing opens but the new secret, in the middle of another rotation too."""
    made = house.make()
    path = f"/admin/keys/{made['id']}/rotate"
    first = house.call("POST", path, None).body
    assert first["overlap_until"] == NOW + 86400
    again = house.call("POST", path, {"overlap_seconds": 5})
    assert (again.status, again.error["code"]) == (409, "key_state")
    last = house.call("POST", path, {"overlap_seconds": 0}).body
    assert [opens(house, key["key"]) for key in (made, first, last)] == [False, False, True]


def test_a_create_that_is_repeated_makes_one_key(house: House) -> None:
    """Under the same Idempotency-Key the lost answer comes again, key and all; the key itself is stored nowhere."""
    replies = [house.call("POST", "/admin/keys", {"name": "a"}, **sent(idempotency_key="once")) for _ in range(2)]
    assert [reply.status for reply in replies] == [201, 201]
    assert replies[0].body == replies[1].body
    assert len(house.stored("key#")) == 1
    assert len(house.lines()) == 1
    assert opens(house, replies[0].body["key"])
    secret = replies[0].body["key"].rpartition("_")[2]
    assert secret not in str(house.stored()) + str(house.lines())


def test_an_idempotency_key_is_for_one_request(house: House) -> None:
    """Another body under it is a conflict; another caller's same word is another key."""
    house.call("POST", "/admin/keys", {"name": "a"}, **sent(idempotency_key="once"))
    other = house.call("POST", "/admin/keys", {"name": "b"}, **sent(Idempotency_Key="once"))
    assert (other.status, other.error["code"]) == (409, "idempotency_conflict")
    colleague = BOSS._replace(key_id="default-bossbossbos2")
    assert house.call("POST", "/admin/keys", {"name": "b"}, colleague, **sent(idempotency_key="once")).status == 201
    assert len(house.stored("key#")) == 2


def test_an_idempotency_key_is_forgotten_after_a_day(house: House) -> None:
    """Then it makes another key, whether the table has dropped the memory yet or not."""
    first = house.call("POST", "/admin/keys", {"name": "a"}, **sent(idempotency_key="once")).body
    house.now += 86_400
    second = house.call("POST", "/admin/keys", {"name": "a"}, **sent(idempotency_key="once")).body
    assert first["id"] != second["id"]
    assert {item["forget_at"] for item in house.stored("idem#")} == {NOW + 2 * 86_400}


def test_a_rotation_that_is_repeated_rotates_once(house: House) -> None:
    """The second answer is the first; once the secret is another one, it is not shown."""
    made = house.make()
    path = f"/admin/keys/{made['id']}/rotate"
    replies = [house.call("POST", path, {}, **sent(idempotency_key="once")).body for _ in range(2)]
    assert replies[0] == replies[1]
    assert (opens(house, made["key"]), opens(house, replies[0]["key"])) == (True, True)
    house.call("POST", path, {"overlap_seconds": 0})
    assert "key" not in house.call("POST", path, {}, **sent(idempotency_key="once")).body


@pytest.mark.parametrize("token", ["", "a b", "ü", "x" * 256])
def test_an_idempotency_key_that_is_none(house: House, token: str) -> None:
    """It is refused by name, and no key is made."""
    reply = house.call("POST", "/admin/keys", {"name": "a"}, **sent(idempotency_key=token))
    assert (reply.status, reply.error["param"]) == (400, "Idempotency-Key")
    assert house.stored() == []


@pytest.mark.parametrize(("field", "name"), [("team", "nobody"), ("user", "nobody"), ("team", "gone")])
def test_an_owner_must_be_there(house: House, field: str, name: str) -> None:
    """A team or user that is none, or is deleted, is refused by its field, and nothing is written."""
    house.call("POST", "/admin/teams", {"id": "gone", "name": "Gone"})
    house.call("DELETE", "/admin/teams/gone")
    made = house.make()
    refused = [
        house.call("POST", "/admin/keys", {"name": "a key", field: name}),
        house.call("PATCH", f"/admin/keys/{made['id']}", {field: name}),
    ]
    assert [(reply.status, reply.error["param"]) for reply in refused] == [(400, field)] * 2
    assert len(house.stored("key#")) == 1
    assert house.call("POST", "/admin/keys", {"name": "a key", "user": "okta:00u1"}).status == 201
