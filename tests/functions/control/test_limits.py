"""Limits, budgets, tiers and blocks: exact, of every scope, and in force on the very next request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from functions.usd import MOST_USD, nano, usd
from shared.core.errors import RateLimited
from shared.edge.admission import Ask
from tests.functions.control.rig import BOSS, NOW

if TYPE_CHECKING:
    from tests.functions.control.rig import House


def populated(house: House) -> str:
    """Make a key, a user and a team; returns the key's id."""
    house.call("POST", "/admin/users", {"id": "ada", "name": "Ada"})
    house.call("POST", "/admin/teams", {"id": "blue", "name": "Blue"})
    key_id: str = house.make()["id"]
    return key_id


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        ("key:{key}", "key:{key}"),
        ("user:ada", "user:ada"),
        ("team:blue", "team:blue"),
        ("org", "org:default"),
        ("model:simulated", "model:simulated"),
        ("model:acme%2Fchat%3A1", "model:acme/chat:1"),
    ],
)
def test_every_scope_has_limits_and_a_budget(house: House, scope: str, told: str) -> None:
    """What is put is what is read, and what Valkey knows at once; the second put does not undo the first."""
    key = populated(house)
    scope, told = scope.format(key=key), told.format(key=key)
    limited = house.call("PUT", f"/admin/limits/{scope}", {"requests_per_minute": 3})
    paid = house.call("PUT", f"/admin/budgets/{scope}", {"monthly_usd": "12.000000001", "total_usd": 0})
    assert (limited.status, paid.status) == (200, 200)
    assert limited.body["limits"] == {"requests_per_minute": 3}
    assert paid.body["budget"] == {"monthly_usd": "12.000000001", "total_usd": "0.00"}
    assert house.call("GET", f"/admin/limits/{scope}").body["limits"] == {"requests_per_minute": 3}
    nothing = {"daily_usd": "0.00", "monthly_usd": "0.00", "total_usd": "0.00"}
    assert house.call("GET", f"/admin/budgets/{scope}").body == {**paid.body, "spent": nothing}
    policy = house.policy(told)
    assert [policy[field] for field in ("rpm", "daily", "monthly", "total")] == ["3", "", "12000000001", "0"]
    house.call("PUT", f"/admin/budgets/{scope}", {})
    assert house.policy(told)["monthly"] == ""
    assert [line["action"] for line in house.lines()[-3:]] == ["limits.put", "budget.put", "budget.put"]
    assert house.lines()[-1]["before"] == {"monthly_usd": "12.000000001", "total_usd": "0.00"}


def test_the_next_request_feels_a_limit(house: House) -> None:
    """One request was let in; the limit is lowered to one; the next is refused."""
    key = populated(house)
    house.admitted(key, "r-1")
    house.call("PUT", f"/admin/limits/key:{key}", {"requests_per_minute": 1})
    refusal = house.refusal(key, "r-2")
    assert refusal is not None
    assert (refusal.status, refusal.details["limit"]) == (429, 1)


def test_a_tier_is_edited_without_a_deployment(house: House) -> None:
    """All keys of the tier have the new preset at once, their own limits over it; other tiers and later keys too."""
    plain, own, other = house.make(), house.make(limits={"requests_per_minute": 2}), house.make(tier="pro")
    reply = house.call("PUT", "/admin/limits/tier:free", {"requests_per_minute": 4})
    assert reply.body["effective"]["requests_per_minute"] == 4
    assert reply.body["effective"]["concurrency"] == 5
    later = house.make()
    assert [house.admitted(key["id"]) for key in (plain, own, other, later)] == [4, 2, 600, 4]
    effective = house.call("GET", f"/admin/limits/key:{own['id']}").body["effective"]
    assert (effective["requests_per_minute"], effective["concurrency"]) == (2, 5)
    house.call("PUT", "/admin/limits/tier:free", {})
    assert house.admitted(plain["id"], "r-2") == 10


def test_a_key_may_move_to_a_tier_that_was_edited_less_often(house: House) -> None:
    """What is done to it from then on reaches the store: its new limits, and its revocation."""
    key = house.make()
    for limit in (3, 4, 5):
        house.call("PUT", "/admin/limits/tier:free", {"requests_per_minute": limit})
    assert house.admitted(key["id"], "r-1") == 5
    assert house.call("PATCH", f"/admin/keys/{key['id']}", {"tier": "pro"}).status == 200
    assert house.admitted(key["id"], "r-2") == 600
    assert house.call("DELETE", f"/admin/keys/{key['id']}").status == 200
    refusal = house.refusal(key["id"], "r-3")
    assert refusal is not None
    assert refusal.status == 401


def test_puts_on_top_of_the_version_that_was_read(house: House) -> None:
    """Also where there was no record before: that is version 0."""
    assert house.call("GET", "/admin/budgets/org").body["version"] == 0
    first = house.call("PUT", "/admin/budgets/org", {"daily_usd": 1}, headers={"if-match": "0"})
    assert (first.status, first.headers["etag"]) == (200, '"1"')
    assert house.call("PUT", "/admin/budgets/org", {"daily_usd": 9}, headers={"if-match": "0"}).status == 412
    assert house.call("GET", "/admin/budgets/org").body["budget"] == {"daily_usd": "1.00"}


@pytest.mark.parametrize("topic", ["limits", "budgets"])
@pytest.mark.parametrize(
    "scope",
    ["key:other-abcdefghijkl", "key:x", "user:eve", "team:red", "model:nothing", "moon:x", "user:A%23", "tier:x"],
)
def test_an_unknown_scope_is_not_there(house: House, topic: str, scope: str) -> None:
    """Neither to read nor to write; nothing is made on the way."""
    for method in ("GET", "PUT"):
        assert house.call(method, f"/admin/{topic}/{scope}", {}).status == 404
    assert house.stored() == []


def test_an_endpoint_has_a_limit_for_each_key(house: House) -> None:
    """As data with a default, edited without a deploy; it has no budget."""
    shown = house.call("GET", "/admin/limits/class:ensemble").body
    assert (shown["limits"], shown["effective"]["requests_per_minute"]) == ({}, 20)
    edited = house.call("PUT", "/admin/limits/class:ensemble", {"requests_per_minute": 1}).body
    assert (edited["limits"], edited["effective"]["requests_per_minute"]) == ({"requests_per_minute": 1}, 1)
    keys = [house.make(tier="enterprise")["id"] for _ in range(2)]
    for number, key in enumerate(keys):
        scopes = (f"key:{key}", f"class:ensemble:{key}")
        assert house.admission.admit(Ask("default", scopes, f"r-{number}", 10)).requests.limit == 1
        with pytest.raises(RateLimited, match="endpoint"):
            house.admission.admit(Ask("default", scopes, f"again-{number}", 10))
    for name in ("class:nothing", "class:"):
        assert house.call("GET", f"/admin/limits/{name}").status == 404
    assert house.call("PUT", "/admin/budgets/class:ensemble", {}).status == 404


def test_a_foreign_scope_is_an_unknown_one(house: House) -> None:
    """The same words for a key of another organization as for none; its limits stay."""
    key = populated(house)
    stranger = BOSS._replace(org="other", key_id="other-bossbossboss")
    for scope in (f"key:{key}", "user:ada", "team:blue"):
        kind = scope.partition(":")[0]
        foreign = house.call("PUT", f"/admin/limits/{scope}", {"concurrency": 1}, caller=stranger)
        unknown = house.call("PUT", f"/admin/limits/{kind}:other-zzzzzzzzzzzz", {"concurrency": 1}, caller=stranger)
        assert (foreign.status, foreign.body) == (404, unknown.body)
    house.call("PUT", "/admin/limits/org", {"concurrency": 1}, caller=stranger)
    assert house.call("GET", "/admin/limits/org").body["limits"] == {}


@pytest.mark.parametrize(
    ("text", "amount"),
    [("0", 0), (1, 10**9), (0.1, 10**8), ("0.000000001", 1), (3_999_999.999999999, 3_999_999_999_999_999), ("1e-9", 1)],
)
def test_dollars_are_exact(text: Any, amount: int) -> None:
    """Every decimal is the whole number of nano-dollars that it says, and is written as it was meant."""
    assert nano(text) == amount
    assert nano(usd(amount)) == amount


@pytest.mark.parametrize(
    "text", ["", "x", "NaN", "1e999999", -0.1, MOST_USD + 1, 1e-10, "1" * 41, True, None, [1], " "]
)
def test_what_is_no_amount(text: Any) -> None:
    """Is refused, not rounded."""
    with pytest.raises(ValueError, match=r"amount|dollars"):
        nano(text)


@pytest.mark.parametrize("kind", ["key", "user"])
def test_a_block_holds_for_its_time(house: House, kind: str) -> None:
    """Admission knows when it ends; the list shows it; ending it early ends it at once."""
    key = populated(house)
    name = {"key": key, "user": "ada"}[kind]
    asked = {"kind": kind, "id": name, "seconds": 60, "reason": "abuse"}
    reply = house.call("POST", "/admin/blocks", asked)
    assert (reply.status, reply.body["id"], reply.body["until"]) == (201, f"{kind}:{name}", NOW + 60)
    assert reply.body["over"] is False
    assert house.policy(f"{kind}:{name}")["blocked_until"] == str(NOW + 60)
    [listed] = house.call("GET", "/admin/blocks").body["data"]
    assert (listed["id"], listed["reason"], listed["over"]) == (f"{kind}:{name}", "abuse", False)
    house.now += 60
    assert house.call("GET", "/admin/blocks").body["data"][0]["over"] is True
    assert house.call("DELETE", f"/admin/blocks/{kind}:{name}").status == 200
    assert house.policy(f"{kind}:{name}")["blocked_until"] == "0"
    assert house.call("GET", "/admin/blocks").body["data"] == []
    assert house.call("DELETE", f"/admin/blocks/{kind}:{name}").status == 404
    assert [line["action"] for line in house.lines()[-2:]] == ["block.create", "block.delete"]


def test_a_blocked_key_is_refused_on_its_next_request(house: House) -> None:
    """And served again once the block is gone; a longer block takes the place of a shorter one."""
    key = populated(house)
    house.admitted(key, "r-1")
    for seconds in (1, 60):
        assert house.call("POST", "/admin/blocks", {"kind": "key", "id": key, "seconds": seconds}).status == 201
    refusal = house.refusal(key, "r-2")
    assert refusal is not None
    assert refusal.status == 403
    house.call("DELETE", f"/admin/blocks/key:{key}")
    house.admitted(key, "r-3")


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("kind", "ip", 400),
        ("seconds", 0, 400),
        ("seconds", 10**9, 400),
        ("id", "other-abcdefghijkl", 404),
        ("x", 1, 400),
    ],
)
def test_a_block_of_nothing(house: House, field: str, value: object, status: int) -> None:
    """Unknown and foreign targets, other kinds and senseless times are refused."""
    asked = {"kind": "key", "id": populated(house), "seconds": 5, field: value}
    assert house.call("POST", "/admin/blocks", asked).status == status
    assert house.stored("block#") == []
