"""Blocked networks, as administrators see them; that they shut out is shown in the plane's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from functions.networks import MOST
from shared.core.errors import Forbidden, RateLimited
from shared.edge.admission import Ask, Who
from tests.functions.control.rig import BOSS, NOW

if TYPE_CHECKING:
    from tests.functions.control.rig import House, Reply

FROM_HOME: Any = {"authorizer": BOSS.context(), "identity": {"sourceIp": "198.51.100.9"}}


def block(house: House, network: str, seconds: int = 60, **more: Any) -> Reply:
    """Block a network."""
    return house.call("POST", "/admin/blocks", {"kind": "ip", "id": network, "seconds": seconds}, **more)


@pytest.mark.parametrize(
    ("sent", "known"),
    [
        ("203.0.113.7", "203.0.113.7/32"),
        ("203.0.113.7/24", "203.0.113.0/24"),
        ("2001:DB8::/48", "2001:db8::/48"),
        ("::1", "::1/128"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
    ],
)
def test_a_network_has_one_spelling(house: House, sent: str, known: str) -> None:
    """It is blocked, listed and freed under that, and the audit log tells of it."""
    made = block(house, sent)
    assert (made.status, made.body["id"], made.body["until"]) == (201, f"ip:{known}", NOW + 60)
    assert [found["id"] for found in house.call("GET", "/admin/blocks").body["data"]] == [f"ip:{known}"]
    escaped = known.replace("/", "%2F")
    assert house.call("DELETE", f"/admin/blocks/ip:{escaped}").status == 200
    assert house.call("GET", "/admin/blocks").body["data"] == []
    assert house.policy("org:default")["addresses"] == ""
    assert [line["action"] for line in house.lines()] == ["block.create", "block.delete"]


@pytest.mark.parametrize(
    "sent", ["", "203.0.113", "203.0.113.7/33", "0.0.0.0/0", "::/0", "::ffff:0:0/96", "x", "1.2.3.4/-1"]
)
def test_what_is_no_network_is_refused_by_its_field(house: House, sent: str) -> None:
    """Neither is everybody one."""
    refused = block(house, sent)
    assert (refused.status, refused.error["param"]) == (400, "id")
    assert house.stored() == []


def test_nobody_shuts_themselves_out(house: House) -> None:
    """Who blocked their own address could not end it."""
    refused = block(house, "198.51.100.0/24", requestContext=FROM_HOME)
    assert (refused.status, refused.error["param"]) == (400, "id")
    assert block(house, "198.51.0.0/24", requestContext=FROM_HOME).status == 201


def test_a_blocked_administrator_is_shut_out_until_it_ends(house: House) -> None:
    """The control plane asks the Directory."""
    assert block(house, "198.51.100.0/24").status == 201
    refused = house.call("GET", "/admin/keys", requestContext=FROM_HOME)
    assert (refused.status, refused.error["code"]) == (403, "permission_denied")
    house.now += 60
    assert house.call("GET", "/admin/keys", requestContext=FROM_HOME).status == 200


def test_what_is_over_makes_room(house: House) -> None:
    """So many at once and no more; those that have ended leave with the next edit."""
    stored = {f"10.0.{number}.0/24": NOW + 10 for number in range(MOST)}
    house.table.put_item(Item={"pk": "default", "sk": "org", "version": 1, "addresses": stored})
    assert block(house, "10.1.0.0/24").status == 400
    house.now += 10
    assert block(house, "10.1.0.0/24").status == 201
    [record] = [item for item in house.stored() if item["sk"] == "org"]
    assert record["addresses"] == {"10.1.0.0/24": NOW + 70}


def test_the_script_refuses_the_blocked_and_counts_nothing(house: House) -> None:
    """As soon as the answer is out."""
    made = house.make()
    block(house, "203.0.113.0/24")
    ask = Ask("default", (f"key:{made['id']}", "org:default"), "r-1", 10)
    with pytest.raises(Forbidden, match="address"):
        house.admission.admit(ask._replace(who=Who(address="4:" + f"{0xCB007105:032b}")))
    house.admission.admit(ask._replace(who=Who(address="4:" + f"{0xCB007205:032b}")))


def test_an_edited_tier_holds_for_those_with_tokens_too(house: House) -> None:
    """They have one policy for each tier, which is told with the keys'."""
    scopes = ("key:default-jwt-free-ann", "user:ann", "org:default")
    house.call("PUT", "/admin/limits/tier:free", {"requests_per_minute": 1})
    for number in range(2):
        house.admission.tell("default", scopes[1 + number], 1, {**house.policy("key:default-jwt-free-"), "rpm": 0})
    assert house.admission.admit(Ask("default", scopes, "r-1", 10)).requests.limit == 1
    with pytest.raises(RateLimited):
        house.admission.admit(Ask("default", scopes, "r-2", 10))
    other = ("key:default-jwt-free-ben", *scopes[1:])
    assert house.admission.admit(Ask("default", other, "r-3", 10)).requests.remaining == 0
    house.call("PUT", "/admin/limits/tier:free", {"requests_per_minute": 2})
    assert house.admission.admit(Ask("default", scopes, "r-4", 10)).requests.limit == 2


def test_an_administrator_who_is_none_any_more_is_refused_at_once(house: House) -> None:
    """Whatever the authorizer remembers: the Directory is asked for the role."""
    made = house.make(role="admin")
    caller = BOSS._replace(key_id=made["id"])
    assert house.call("GET", "/admin/keys", caller=caller).status == 200
    house.call("PATCH", f"/admin/keys/{made['id']}", {"role": "developer"})
    assert house.call("GET", "/admin/keys", caller=caller).status == 403


def test_a_rotated_administrator_comes_in_by_the_new_secret_only(house: House) -> None:
    """When the overlap is over, at once."""
    made = house.make(role="admin")
    [item] = house.stored("key#")
    caller = BOSS._replace(key_id=made["id"], secret=item["hash"][:16])
    house.call("POST", f"/admin/keys/{made['id']}/rotate", {"overlap_seconds": 5})
    assert house.call("GET", "/admin/keys", caller=caller).status == 200
    house.now += 5
    assert house.call("GET", "/admin/keys", caller=caller).status == 401
