"""Organizations: made by the first one, each with a key of its own, and closed to one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.core import keys
from shared.core.errors import BudgetExhausted, StoreRebuilding
from shared.core.policies import policy
from shared.core.pricing import Worst
from shared.edge.admission import Ask, Bound
from tests.functions.control.rig import BOSS

if TYPE_CHECKING:
    from shared.core.principals import Principal
    from tests.functions.control.rig import House

STRANGER = BOSS._replace(org="acme", key_id="acme-bossbossboss")


def test_an_organization_begins_with_an_administrators_key(house: House) -> None:
    """The key is of the new organization, and everything made with it is too."""
    reply = house.call("POST", "/admin/organizations", {"id": "acme", "name": "ACME"})
    assert reply.status == 201
    made = reply.body["admin_key"]
    assert (keys.org_of(made["id"]), made["role"]) == ("acme", "admin")
    assert keys.parse(made["key"]) is not None
    caller = BOSS._replace(org="acme", key_id=made["id"])
    listed = house.call("GET", "/admin/keys", caller=caller).body["data"]
    assert [entry["id"] for entry in listed] == [made["id"]]
    assert house.call("GET", f"/admin/keys/{made['id']}").status == 404


def test_a_repeated_create_makes_one(house: House) -> None:
    """Under one Idempotency-Key organization and key are the same; without it the id is taken."""
    once: Any = {"headers": {"idempotency-key": "once"}}
    wanted = {"id": "acme", "name": "ACME"}
    first = house.call("POST", "/admin/organizations", wanted, **once)
    assert house.call("POST", "/admin/organizations", wanted, **once).body == first.body
    assert len(house.stored("key#")) == 1
    assert house.call("POST", "/admin/organizations", wanted).status == 409


def test_others_see_only_their_own(house: House) -> None:
    """They make none, and a foreign one answers like one that is not there."""
    for name in ("acme", "umbrella"):
        house.call("POST", "/admin/organizations", {"id": name, "name": name})
    assert house.call("POST", "/admin/organizations", {"id": "mine", "name": "m"}, caller=STRANGER).status == 403
    assert [o["id"] for o in house.call("GET", "/admin/organizations", caller=STRANGER).body["data"]] == ["acme"]
    assert house.call("GET", "/admin/organizations/acme", caller=STRANGER).body["name"] == "acme"
    unknown = house.call("GET", "/admin/organizations/nobody", caller=STRANGER)
    for name in ("umbrella", "default", "A%23"):
        for method in ("GET", "PATCH"):
            foreign = house.call(method, f"/admin/organizations/{name}", {"name": "x"}, caller=STRANGER)
            assert (foreign.status, foreign.body) == (404, unknown.body)
    assert len(house.call("GET", "/admin/organizations").body["data"]) == 2


def test_an_organization_is_renamed(house: House) -> None:
    """By its own administrators too, and the first one as well, which nobody had to make."""
    house.call("POST", "/admin/organizations", {"id": "acme", "name": "ACME"})
    assert house.call("PATCH", "/admin/organizations/acme", {"name": "Acme"}, caller=STRANGER).body["name"] == "Acme"
    assert house.call("PATCH", "/admin/organizations/default", {"name": "Us"}).body["version"] == 1
    assert house.call("GET", "/admin/organizations/default").body["name"] == "Us"


def test_an_organization_chooses_what_a_lost_store_means(house: House) -> None:
    """Refusing is the default; its own administrators choose, the audit log has it, and nothing else is a choice."""
    house.call("POST", "/admin/organizations", {"id": "acme", "name": "ACME"})
    assert house.call("GET", "/admin/organizations/acme").body["on_store_loss"] == "refuse"
    for name, caller in (("acme", STRANGER), ("default", BOSS)):
        place = f"/admin/organizations/{name}"
        assert house.call("PATCH", place, {"on_store_loss": "serve"}, caller=caller).body["on_store_loss"] == "serve"
        assert house.call("PATCH", place, {"name": "x"}, caller=caller).body["on_store_loss"] == "serve"
        assert house.call("PATCH", place, {"on_store_loss": "refuse"}, caller=caller).body["name"] == "x"
    for wrong in ("Serve", "", None, True):
        reply = house.call("PATCH", "/admin/organizations/acme", {"on_store_loss": wrong})
        assert (reply.status, reply.error["param"]) == (400, "on_store_loss")
    for caller in (STRANGER, BOSS):
        found = house.call("GET", "/admin/audit", caller=caller).body["data"]
        changes = [line for line in found if line["action"] == "organization.edit"]
        assert sorted(line["after"]["on_store_loss"] for line in changes) == ["refuse", "serve", "serve"]


def test_each_log_has_what_concerns_it(house: House) -> None:
    """What an organization does with itself is in its own; what is done with it, in its own and the operators'."""
    house.call("POST", "/admin/organizations", {"id": "acme", "name": "ACME"})
    house.call("POST", "/admin/organizations", {"id": "umbrella", "name": "U"})
    house.call("PATCH", "/admin/organizations/acme", {"name": "Own"}, caller=STRANGER)
    house.call("PATCH", "/admin/organizations/acme", {"name": "Theirs"})

    def told(caller: Principal) -> list[tuple[str, ...]]:
        lines = house.call("GET", "/admin/audit", caller=caller).body["data"]
        return [tuple(line[name] for name in ("action", "target", "who")) for line in reversed(lines)]

    made, edited = "organization.create", "organization.edit"
    own, theirs = (edited, "acme", STRANGER.key_id), (edited, "acme", BOSS.key_id)
    assert [line for line in told(STRANGER) if line[0] != "key.create"] == [(made, "acme", BOSS.key_id), own, theirs]
    assert told(BOSS) == [(made, "acme", BOSS.key_id), (made, "umbrella", BOSS.key_id), theirs]
    assert [line[1] for line in told(STRANGER._replace(org="umbrella")) if line[0] == made] == ["umbrella"]


@pytest.mark.parametrize("name", ["", "A", "a-b", "a" * 21, 5])
def test_an_id_that_is_none(house: House, name: object) -> None:
    """It becomes part of every key, so it is short and plain."""
    reply = house.call("POST", "/admin/organizations", {"id": name, "name": "x"})
    assert (reply.status, reply.error["param"]) == (400, "id")


def test_budgets_count_at_once_in_a_new_organization(house: House) -> None:
    """It has no past that its counters could lack; one that exists is opened by nobody but who keeps the books."""
    key = house.call("POST", "/admin/organizations", {"id": "acme", "name": "ACME"}).body["admin_key"]["id"]
    caller = BOSS._replace(org="acme", key_id=key)
    made = house.call("POST", "/admin/keys", {"name": "k", "budget": {"total_usd": "0.000001"}}, caller=caller).body
    ask = Ask("acme", (f"key:{made['id']}",), "r-1", 10, (Bound("m", Worst(1_001, 0, 0)),))
    with pytest.raises(BudgetExhausted):
        house.admission.admit(ask)
    assert house.valkey
    with house.valkey.client() as client:
        client.delete("{acme}:open")
    assert house.call("POST", "/admin/organizations", {"id": "acme", "name": "ACME"}).status == 409
    house.admission.tell("acme", "model:m", 0, policy({}))
    with pytest.raises(StoreRebuilding):
        house.admission.admit(ask)


def test_an_organization_is_made_without_the_store(house: House) -> None:
    """Its budgets then count within a minute; its first key is told to the store when it is used."""
    reply = house.without_valkey().call("POST", "/admin/organizations", {"id": "acme", "name": "ACME"})
    assert reply.status == 201
    assert [entry["id"] for entry in house.call("GET", "/admin/organizations").body["data"]] == ["acme"]
