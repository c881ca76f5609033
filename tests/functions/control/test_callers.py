"""Who may not call the data plane at this moment administers nothing either, whatever the authorizer remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.core.principals import Principal, token_key_id
from tests.functions.control.rig import BOSS, NOW

if TYPE_CHECKING:
    from tests.functions.control.rig import House


def hired(house: House, how: str) -> Principal:
    """Make an administrator with a key of their own, or one who has logged in."""
    key = house.make(role="admin", user="ada", team="blue")
    assert house.call("PATCH", "/admin/users/ada", {"role": "admin", "team": "blue"}).status == 200
    name = key["id"] if how == "key" else token_key_id("default", "free", "ada")
    return Principal(name, "default", "admin", "free", (), NOW + 100, "ada", "blue", issued_at=NOW + 100)


def status(house: House, caller: Principal) -> int:
    """Have `caller` look at the keys."""
    return house.call("GET", "/admin/keys", caller=caller).status


@pytest.mark.parametrize(("kind", "how"), [("key", "key"), ("user", "key"), ("user", "token")])
def test_who_is_blocked_is_shut_out_until_it_ends(house: House, kind: str, how: str) -> None:
    """So that nobody ends their own block."""
    caller = hired(house, how)
    assert status(house, caller) == 200
    block = {"kind": kind, "id": caller.key_id if kind == "key" else "ada", "seconds": 60}
    assert house.call("POST", "/admin/blocks", block).status == 201
    refused = house.call("DELETE", f"/admin/blocks/{kind}:{block['id']}", caller=caller)
    assert (refused.status, refused.error["code"]) == (403, "permission_denied")
    house.now += 60
    assert status(house, caller) == 200


@pytest.mark.parametrize("how", ["key", "token"])
def test_a_user_who_left_left_for_good(house: House, how: str) -> None:
    """Also where the user's keys are still there."""
    caller = hired(house, how)
    assert house.call("PATCH", "/admin/users/ada", {"disabled": True}).status == 200
    assert status(house, caller) == 401
    assert house.call("PATCH", "/admin/users/ada", {"disabled": False}).status == 200
    assert status(house, caller) == 200
    assert house.call("DELETE", "/admin/users/ada").status == 200
    assert status(house, caller) == 401


@pytest.mark.parametrize("how", ["key", "token"])
def test_a_team_that_is_no_more_has_no_administrators(house: House, how: str) -> None:
    """As the data plane has it."""
    caller = hired(house, how)
    assert house.call("DELETE", "/admin/teams/blue").status == 200
    assert status(house, caller) == 403


def test_nobody_blocks_the_hand_they_block_with(house: House) -> None:
    """Perhaps nobody else could end it."""
    for caller, kind, name in (
        (BOSS, "key", BOSS.key_id),
        (hired(house, "key"), "user", "ada"),
        (hired(house, "token"), "user", "ada"),
    ):
        refused = house.call("POST", "/admin/blocks", {"kind": kind, "id": name, "seconds": 5}, caller=caller)
        assert (refused.status, refused.error["param"]) == (400, "id")
    assert house.stored("block#") == []


@pytest.mark.parametrize(
    ("edit", "status_then"),
    [({"expires_at": NOW}, 401), ({"expires_at": NOW + 1}, 200), ({"hash": "1" * 64}, 401)],
    ids=["expired", "lives", "rotated"],
)
def test_a_key_that_is_over_is_over_at_once(house: House, edit: dict[str, object], status_then: int) -> None:
    """Its end was brought forward, or its secret changed, since the authorizer looked."""
    made = house.make(role="admin")
    [known] = house.stored("key#")
    caller = BOSS._replace(key_id=made["id"], secret=known["hash"][:16])
    house.table.put_item(Item={**known, **edit})
    assert status(house, caller) == status_then


def test_a_token_that_was_ended_administers_nothing(house: House) -> None:
    """A new password ends those of before; one that is given then is good."""
    caller = hired(house, "token")._replace(issued_at=NOW + 1)
    assert status(house, caller) == 200
    assert house.call("PATCH", "/admin/users/ada", {"password": "correct horse battery staple"}).status == 200
    house.now += 9
    assert house.call("PATCH", "/admin/users/ada", {"password": "battery staple correct horse"}).status == 200
    assert status(house, caller) == 401
    [known] = house.stored("user#")
    assert status(house, caller._replace(issued_at=int(known["tokens_since"]))) == 200
