"""Users of another identity provider: of whom there is no record until somebody limits them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from shared.core.errors import Forbidden, RateLimited
from shared.core.principals import Principal, token_key_id
from shared.edge.admission import Ask
from tests.functions.control.rig import NOW
from tests.functions.control.test_usage import spend

if TYPE_CHECKING:
    from tests.functions.control.rig import House

USER = "okta:auth0|00u#1/x"  # what issuers call their users is theirs to choose
URL = quote(USER, safe=":")
CALLER = Principal(token_key_id("default", "free", USER), "default", "admin", "free", (), NOW + 100, USER)


def admit(house: House, number: int) -> None:
    """Ask the admission script for one request of the user's."""
    scopes = (f"key:{CALLER.key_id}", f"user:{USER}", "org:default")
    house.admission.tell("default", f"key:{token_key_id('default', 'free', '')}", 1, NO_LIMITS)
    house.admission.admit(Ask("default", scopes, f"r-{number}", 10))


NO_LIMITS: dict[str, str | int] = {
    "state": "active",
    "expires_at": 0,
    "blocked_until": 0,
    **dict.fromkeys(("rpm", "rph", "tpm", "concurrency"), 0),
    **dict.fromkeys(("daily", "monthly", "total"), ""),
}


def test_limits_and_budgets_hold_for_them(house: House) -> None:
    """From the next request on; they are listed then, by the id that their tokens give them."""
    house.admission.open_new("default")
    admit(house, 1)
    limits = house.call("PUT", f"/admin/limits/user:{URL}", {"requests_per_minute": 1})
    assert (limits.status, limits.body["scope"]) == (200, f"user:{USER}")
    budget = house.call("PUT", f"/admin/budgets/user:{URL}", {"daily_usd": "2.50"})
    assert (budget.status, budget.body["budget"]) == (200, {"daily_usd": "2.50"})
    assert house.policy(f"user:{USER}")["daily"] == "2500000000"
    admit(house, 2)
    with pytest.raises(RateLimited):
        admit(house, 3)
    house.call("POST", "/admin/users", {"id": "zoe", "name": "Zoe"})
    page = house.call("GET", "/admin/users?limit=1").body
    assert (page["last_id"], page["has_more"]) == (USER, True)
    assert house.call("GET", f"/admin/users?limit=1&after={quote(USER)}").body["last_id"] == "zoe"


def test_a_record_of_limits_says_nothing_of_what_they_may(house: House) -> None:
    """Their tokens do: an administrator stays one, and no edit makes one."""
    house.call("PUT", f"/admin/limits/user:{URL}", {"requests_per_minute": 9})
    assert house.call("GET", "/admin/keys", caller=CALLER).status == 200
    assert house.call("GET", "/admin/keys", caller=CALLER._replace(role="viewer")).status == 403
    assert house.policy(f"user:{USER}")["identity"] == ""
    assert house.call("PATCH", f"/admin/users/{URL}", {"role": "admin"}).status == 400


def test_a_block_holds_for_them(house: House) -> None:
    """Here and at the data plane, until it ends."""
    house.admission.open_new("default")
    blocked = house.call("POST", "/admin/blocks", {"kind": "user", "id": USER, "seconds": 60})
    assert (blocked.status, blocked.body["id"]) == (201, f"user:{USER}")
    assert house.call("GET", "/admin/keys", caller=CALLER).status == 403
    with pytest.raises(Forbidden):
        admit(house, 1)
    assert house.call("GET", f"/admin/blocks?after={quote('user:' + USER)}").body["data"] == []
    assert house.call("DELETE", f"/admin/blocks/user:{URL}").status == 200
    assert house.call("GET", "/admin/keys", caller=CALLER).status == 200
    admit(house, 2)


def test_what_is_held_of_them_is_shown_and_erased(house: House) -> None:
    """Also where there is no record: they have spent something."""
    key = house.make()
    assert house.call("PATCH", f"/admin/keys/{key['id']}", {"user": USER}).status == 200
    spend(house, user=USER, cost=10**9)
    export = house.call("GET", f"/admin/users/{URL}/export").body
    assert (export["id"], [row["cost_usd"] for row in export["usage"]]) == (USER, ["1.00"])
    assert [found["id"] for found in export["keys"]] == [key["id"]]
    assert house.call("POST", f"/admin/users/{URL}/erase").body["keys_revoked"] == 1
    assert house.refusal(key["id"]) is not None
    house.call("PUT", f"/admin/limits/user:{URL}", {"requests_per_minute": 9})
    assert house.call("POST", f"/admin/users/{URL}/erase").status == 200
    assert house.policy(f"user:{USER}")["state"] == "revoked"


@pytest.mark.parametrize("name", ["okta:", ":x", "Okta:x", "okta:a b", f"okta:{'x' * 129}", "okta:\u00e9"])
def test_what_no_issuer_calls_anybody_is_unknown(house: House, name: str) -> None:
    """As any other id that can be none."""
    assert house.call("PUT", f"/admin/limits/user:{quote(name)}", {"concurrency": 1}).status == 404
    assert house.call("GET", f"/admin/users/{quote(name)}/export").status == 404
