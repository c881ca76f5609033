"""API keys: they are made, shown once, listed and revoked, and Valkey hears of it at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from functions.authorizer import Authorizer
from shared.core import keys
from shared.core.errors import Unauthorized
from shared.edge.admission import Unprojected
from shared.edge.directory import record
from tests.functions.control.rig import NOW, PEPPER, House, Staffed

if TYPE_CHECKING:
    from functions.registry import Item
    from shared.edge.directory import KeyRecord


def test_makes_a_key_and_shows_it_once(house: House) -> None:
    """The answer holds the key and what it may; the table holds its keyed digest, and neither holds the other."""
    reply = house.call("POST", "/admin/keys", {"name": "Grüße"})
    key = keys.parse(reply.body["key"])
    assert reply.status == 201
    assert reply.headers["cache-control"] == "no-store"
    assert key is not None
    assert {name: value for name, value in reply.body.items() if name != "key"} == {
        "id": key.id,
        "object": "api_key",
        "name": "Grüße",
        "display": key.display,
        "last4": key.last4,
        "role": "developer",
        "tier": "free",
        "team": None,
        "user": None,
        "models": [],
        "limits": {},
        "budget": {},
        "created_at": NOW,
        "expires_at": NOW + 90 * 86400,
        "revoked": False,
        "rotated_at": None,
        "overlap_until": None,
        "blocked_until": None,
        "api_gateway_key": None,
        "version": 1,
    }
    [item] = house.stored()
    assert item["hash"] == keys.digest(PEPPER, key)
    assert key.secret not in json.dumps(item, default=str)
    for shown in (house.call("GET", f"/admin/keys/{key.id}"), house.call("GET", "/admin/keys")):
        assert key.secret not in json.dumps(shown.body)
        assert item["hash"] not in json.dumps(shown.body)


def test_a_key_does_what_was_asked_for(house: House) -> None:
    """Every field is kept, and comes back when the key is looked at."""
    wanted = {
        "role": "service",
        "tier": "pro",
        "team": "blue",
        "user": "ada",
        "models": ["simulated", "acme/chat:1"],
        "expires_days": 1,
        "limits": {"requests_per_minute": 7, "concurrency": 1},
        "budget": {"daily_usd": "0.000000001", "total_usd": "4000000.00"},
    }
    made = house.make(**wanted)
    shown = house.call("GET", f"/admin/keys/{made['id']}").body
    assert shown == {name: value for name, value in made.items() if name != "key"}
    assert {**shown, "expires_days": (shown["expires_at"] - NOW) // 86400}.items() >= wanted.items()


def test_a_new_key_is_known_to_valkey_at_once(house: House) -> None:
    """Its own limits lie over the preset of its tier."""
    made = house.make(tier="pro", limits={"requests_per_minute": 7}, expires_days=3650)
    assert house.admitted(made["id"]) == 7


def test_a_new_key_opens_the_door(house: House) -> None:
    """What is stored is what the authorizer checks."""
    made = house.make(role="viewer")

    def lookup(org: str, key_id: str) -> KeyRecord:
        return record(house.registry.get(org, f"key#{key_id}"))

    door = Authorizer(lookup, lambda: PEPPER, "stack", lambda: NOW)
    caller = door.identify({"headers": {"x-api-key": made["key"]}})
    assert (caller.key_id, caller.role) == (made["id"], "viewer")


def test_a_key_is_made_while_valkey_is_down(house: House) -> None:
    """It is read from the table on its first request, so nothing is lost and the key is not either."""
    made = house.without_valkey().make()
    assert house.call("GET", f"/admin/keys/{made['id']}").status == 200
    with pytest.raises(Unprojected):
        house.admitted(made["id"])


def test_a_lost_answer_makes_another_key(house: House) -> None:
    """An id that is taken, by a write of ours that boto3 repeated, is not overwritten: the key gets another."""
    first = house.make()
    repeated = House(house.table, house.audit, house.valkey)  # counts its chance from the start
    second = repeated.make()
    assert first["id"] != second["id"]
    assert len(house.stored()) == 2


def test_revokes_at_once(house: House) -> None:
    """The next request with the key is refused by the admission script, whatever the authorizer remembers."""
    made = house.make(expires_days=3650)
    house.admitted(made["id"])
    reply = house.call("DELETE", f"/admin/keys/{made['id']}")
    assert (reply.status, reply.body["revoked"]) == (200, True)
    with pytest.raises(Unauthorized):
        house.admitted(made["id"], "r-2")


def test_revoking_twice_is_revoking_once(house: House) -> None:
    """The second answer is the first, and the version counts one edit."""
    made = house.make()
    replies = [house.call("DELETE", f"/admin/keys/{made['id']}") for _ in range(2)]
    assert replies[0].body == replies[1].body
    assert house.stored()[0]["version"] == 2


class Crowd(Staffed):
    """A registry in which others edit a record, so many `times`, between the moment it is read and the next write."""

    times = 0

    def find(self, org: str, name: str) -> Item | None:
        """Read, and let somebody else write."""
        found = super().find(org, name)
        if found and self.times and "version" in found:  # not a boss
            self.times -= 1
            self._directory.update_item(
                Key={"pk": org, "sk": name},
                UpdateExpression="SET version = :version, #name = :name",
                ExpressionAttributeValues={":version": found["version"] + 1, ":name": "renamed"},
                ExpressionAttributeNames={"#name": "name"},
            )
        return found


def crowded(house: House, times: int) -> House:
    """Return the same house, with others at work in it."""
    busy = House(house.table, house.audit, house.valkey, Crowd)
    assert isinstance(busy.registry, Crowd)
    busy.registry.times = times
    return busy


def test_revokes_on_top_of_an_edit_that_came_between(house: House) -> None:
    """Neither edit is lost, and each counts in the version."""
    made = house.make()
    revoked = crowded(house, 1).call("DELETE", f"/admin/keys/{made['id']}").body
    [item] = house.stored()
    assert (item["name"], item["revoked"], item["version"]) == ("renamed", True, 3)
    assert (revoked["name"], revoked["version"]) == ("renamed", 3)
    assert [line["action"] for line in house.lines()] == ["key.create", "key.revoke"]


def test_gives_up_on_a_key_that_others_keep_editing(house: House) -> None:
    """After a few tries the caller is asked to come back; nothing was overwritten."""
    made = house.make()
    reply = crowded(house, 100).call("DELETE", f"/admin/keys/{made['id']}")
    assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (503, "store_unavailable", "1")
    assert "editing" in reply.error["message"]
    assert house.stored()[0]["revoked"] is False


def test_a_revocation_that_valkey_missed_is_told_and_can_be_repeated(house: House) -> None:
    """503 says what holds; the table has it; the repeated request reaches Valkey too."""
    made = house.make(expires_days=3650)
    reply = house.without_valkey().call("DELETE", f"/admin/keys/{made['id']}")
    assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (503, "store_unavailable", "2")
    assert "revoked in the directory" in reply.error["message"]
    assert house.stored()[0]["revoked"] is True
    house.admitted(made["id"])  # not heard of yet
    assert house.call("DELETE", f"/admin/keys/{made['id']}").status == 200
    with pytest.raises(Unauthorized):
        house.admitted(made["id"], "r-2")


def test_lists_page_by_page(house: House) -> None:
    """Each key comes once, in one order; the last page says so."""
    made = {house.make()["id"] for _ in range(5)}
    seen: list[str] = []
    page = house.call("GET", "/admin/keys?limit=2").body
    while True:
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        seen += [entry["id"] for entry in page["data"]]
        if not page["has_more"]:
            break
        page = house.call("GET", f"/admin/keys?limit=2&after={page['last_id']}").body
    assert seen == sorted(made)
    assert len(page["data"]) == 1


def test_an_empty_list_is_a_list(house: House) -> None:
    """Nothing to show is no error, and there is no id to go on from."""
    assert house.call("GET", "/admin/keys").body == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }
