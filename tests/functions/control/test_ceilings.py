"""Ceilings: the most that an organization may spend, which its own administrators see and cannot move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.core.errors import BudgetExhausted
from shared.core.policies import policy
from shared.core.pricing import NANO, Worst
from shared.edge.admission import Ask, Bound
from tests.functions.control.rig import BOSS

if TYPE_CHECKING:
    from tests.functions.control.rig import House

OWN = BOSS._replace(org="acme", key_id="acme-bossbossboss")
PLACE = "/admin/organizations/acme/ceiling"
NO_BUDGET: dict[str, str] = {}


@pytest.fixture(autouse=True)
def _acme(house: House) -> None:
    for name in ("acme", "umbrella"):
        assert house.call("POST", "/admin/organizations", {"id": name, "name": name}).status == 201


def worth(house: House, cost: int, request_id: str) -> None:
    """Ask admission for a request of the organization that costs so many nano-dollars."""
    house.admission.admit(Ask("acme", ("org:acme",), request_id, 10, (Bound("m", Worst(cost, 0, 0)),)))


def test_only_operators_set_it_and_its_own_see_it(house: House) -> None:
    """The organization's administrators are told so; of another one they learn nothing."""
    put = house.call("PUT", PLACE, {"monthly_usd": "100"})
    assert (put.status, put.body["ceiling"], put.headers["etag"]) == (200, {"monthly_usd": "100.00"}, '"1"')
    for wanted in (NO_BUDGET, {"monthly_usd": "200"}, {"monthly_usd": "1"}):
        refused = house.call("PUT", PLACE, wanted, caller=OWN)
        assert (refused.status, refused.error["code"]) == (403, "permission_denied")
    assert house.call("GET", PLACE, caller=OWN).body == put.body
    assert house.call("GET", "/admin/budgets/org", caller=OWN).body["ceiling"] == {"monthly_usd": "100.00"}
    for method in ("GET", "PUT"):
        assert house.call(method, "/admin/organizations/umbrella/ceiling", NO_BUDGET, caller=OWN).status == 404
        assert house.call(method, "/admin/organizations/nobody/ceiling", NO_BUDGET).status == 404
    for caller in (BOSS, OWN):
        lines = house.call("GET", "/admin/audit", caller=caller).body["data"]
        [line] = [line for line in lines if line["action"] == "ceiling.put"]
        assert (line["who"], line["target"], line["after"]) == (BOSS.key_id, "acme", {"monthly_usd": "100.00"})


def test_a_budget_above_it_is_refused_by_name(house: House) -> None:
    """Up to it any budget is good; what has no ceiling is free; the operators' own wish stays where it is."""
    house.call("PUT", PLACE, {"daily_usd": "5", "monthly_usd": "100"})
    put: dict[str, Any] = {"url": "/admin/budgets/org", "method": "PUT", "caller": OWN}
    above = house.call(**put, body={"daily_usd": "5", "monthly_usd": "100.000000001", "total_usd": "9"})
    assert (above.status, above.error["param"]) == (400, "monthly_usd")
    assert "100.00 US dollars" in above.error["message"]
    assert house.call("GET", "/admin/budgets/org", caller=OWN).body["budget"] == {}
    assert house.call(**put, body={"monthly_usd": "100", "total_usd": "900"}).status == 200
    assert house.call(**put, body={}).body["ceiling"] == {"daily_usd": "5.00", "monthly_usd": "100.00"}
    house.call("PUT", "/admin/limits/org", {"concurrency": 9}, caller=OWN)
    house.call("POST", "/admin/blocks", {"kind": "ip", "id": "203.0.113.0/24", "seconds": 9}, caller=OWN)
    assert house.call("GET", PLACE).body["ceiling"] == {"daily_usd": "5.00", "monthly_usd": "100.00"}
    assert house.policy("org:acme", "acme")["monthly"] == str(100 * NANO)


def test_the_lower_of_both_counts_on_the_next_request(house: House) -> None:
    """Below a budget that was set before, without one, and above one that is lower."""
    house.admission.tell("acme", "model:m", 1, policy({}))
    house.call("PUT", "/admin/budgets/org", {"total_usd": "0.0000002"}, caller=OWN)
    worth(house, 150, "r-2")
    house.call("PUT", PLACE, {"total_usd": "0.0000001"})
    with pytest.raises(BudgetExhausted) as refused:
        worth(house, 1, "r-3")
    assert (refused.value.details["scope"], refused.value.details["limit"]) == ("organization", "0.0000001")
    house.call("PUT", "/admin/budgets/org", {}, caller=OWN)
    with pytest.raises(BudgetExhausted):
        worth(house, 1, "r-4")
    house.call("PUT", PLACE, {"total_usd": "5"})
    house.call("PUT", "/admin/budgets/org", {"total_usd": "0.0000002"}, caller=OWN)
    with pytest.raises(BudgetExhausted):
        worth(house, 51, "r-5")
    worth(house, 50, "r-6")


def test_who_has_a_ceiling_does_not_choose_to_serve_unlimited(house: House) -> None:
    """Requests that nobody can count would pass it; the operators may allow them."""
    house.call("PUT", PLACE, {"total_usd": "5"})
    refused = house.call("PATCH", "/admin/organizations/acme", {"on_store_loss": "serve"}, caller=OWN)
    assert (refused.status, refused.error["param"]) == (403, "on_store_loss")
    assert house.call("PATCH", "/admin/organizations/acme", {"name": "A"}, caller=OWN).status == 200
    assert house.call("PATCH", "/admin/organizations/acme", {"on_store_loss": "serve"}).status == 200


def test_it_is_an_edit_like_any_other(house: House) -> None:
    """On top of the version that was read, strict, and described."""
    assert house.call("GET", PLACE).body == {"object": "ceiling", "id": "acme", "ceiling": {}, "version": 0}
    assert house.call("PUT", PLACE, {"daily_usd": 1}, headers={"if-match": "0"}).status == 200
    assert house.call("PUT", PLACE, {"daily_usd": 2}, headers={"if-match": "0"}).status == 412
    wrong = house.call("PUT", PLACE, {"weekly_usd": 2})
    assert (wrong.status, wrong.error["param"]) == (400, "weekly_usd")
    described = house.call("GET", "/openapi.json", caller=None).body["paths"]
    assert set(described["/admin/organizations/{org_id}/ceiling"]) >= {"get", "put"}
