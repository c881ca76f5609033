"""Usage by whom and when, out of the ledger; what is held of a user, and its erasure; the description of it all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from functions.admin import serve
from shared.core.events import Usage
from shared.core.periods import day_at
from shared.core.shares import Share
from tests.functions.control.rig import BOSS, NOW, Context

if TYPE_CHECKING:
    from tests.functions.control.rig import House

TODAY = day_at(NOW * 1000)
YESTERDAY = day_at((NOW - 86_400) * 1000)
LONG_AGO = day_at((NOW - 60 * 86_400) * 1000)


def spend(house: House, **facts: Any) -> None:
    """Book one charge."""
    cursor = house.ledger.cursor("default")
    if cursor is None:
        house.ledger.begin("default", NOW * 1000)
        cursor = house.ledger.cursor("default")
    assert cursor
    number = int(cursor.last.partition("-")[0]) + 1
    plain: dict[str, Any] = {"day": TODAY, "key": "default-abcdefghijkl", "cost": 1, "prompt": 2, "completion": 3}
    model = facts.pop("model", "")
    known = {**plain, **facts}
    known["models"] = (Share(known["cost"], 1, 2, 3, 0, model),) if model else ()
    charge = Usage(f"r-{number}", 1, "default", **known)
    assert house.ledger.book("default", cursor, [charge], f"{number}-0")


def test_sums_up_by_each_dimension(house: House) -> None:
    """The dearest come first, days in their order; the total is that of all, whatever is shown."""
    spend(house, user="ada", team="blue", model="m1", cost=10**9 + 1)
    spend(house, user="eve", team="blue", model="m2", alias="any", cost=2 * 10**9)
    spend(house, user="ada", model="m1", day=YESTERDAY, cost=10**8)
    spend(house, user="old", day=LONG_AGO)
    rows = {}
    for by in ("user", "team", "model", "key", "day"):
        reply = house.call("GET", f"/admin/usage?by={by}")
        assert reply.body["total"]["cost_usd"] == ("3.000000001" if by == "team" else "3.100000001")
        rows[by] = [(row["id"], row["cost_usd"], row["requests"]) for row in reply.body["data"]]
    assert rows["user"] == [("eve", "2.00", 1), ("ada", "1.100000001", 2)]
    assert rows["team"] == [("blue", "3.000000001", 2)]
    assert rows["model"] == [("m2", "2.00", 1), ("m1", "1.100000001", 2)]
    told = house.call("GET", "/admin/usage?by=alias").body["data"]
    assert [(row["id"], row["cost_usd"]) for row in told] == [("any", "2.00")]
    assert rows["day"] == [(YESTERDAY, "0.10", 1), (TODAY, "3.000000001", 2)]
    first = house.call("GET", "/admin/usage?by=user&top=1").body
    assert ([row["id"] for row in first["data"]], first["has_more"]) == (["eve"], True)
    assert first["total"]["requests"] == 3
    assert first["data"][0]["prompt_tokens"] == 2


def test_both_ends_of_a_range_are_in_it(house: House) -> None:
    """A range of one day is that day."""
    spend(house, day=YESTERDAY)
    spend(house, day=TODAY)
    for day in (YESTERDAY, TODAY):
        assert [row["id"] for row in house.call("GET", f"/admin/usage?from={day}&to={day}").body["data"]] == [day]
    assert len(house.call("GET", f"/admin/usage?from={YESTERDAY}").body["data"]) == 2


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("by=colour", "by"),
        ("top=0", "top"),
        ("from=yesterday", "from"),
        ("to=2026-02-30", "to"),
        (f"from={TODAY}&to={YESTERDAY}", "from"),
        (f"from=2020-01-01&to={TODAY}", "from"),
    ],
)
def test_refuses_a_question_without_an_answer(house: House, query: str, param: str) -> None:
    """Unknown dimensions, days that are none, and ranges that are empty or too long are named."""
    reply = house.call("GET", f"/admin/usage?{query}")
    assert (reply.status, reply.error["param"]) == (400, param)


def test_a_budget_knows_what_its_model_or_alias_has_spent(house: House) -> None:
    """A name is either; who asked for an alias paid for it, too."""
    spend(house, model="simulated", cost=5 * 10**9)
    spend(house, model="m1", alias="simulated", cost=10**9)
    assert house.call("GET", "/admin/budgets/model:simulated").body["spent"]["total_usd"] == "6.00"


@pytest.mark.parametrize(("role", "status"), [("admin", 200), ("viewer", 200), ("developer", 200), ("service", 403)])
def test_usage_may_be_observed_by_others(house: House, role: str, status: int) -> None:
    """It takes the permission to observe; everything else takes an administrator."""
    assert house.call("GET", "/admin/usage", caller=BOSS._replace(role=role)).status == status


def test_another_organizations_spending_is_its_own(house: House) -> None:
    """Nobody sees it."""
    spend(house, user="ada")
    stranger = BOSS._replace(org="other", key_id="other-bossbossboss")
    assert house.call("GET", "/admin/usage?by=user", caller=stranger).body["data"] == []


def test_a_budget_tells_what_of_it_is_booked(house: House) -> None:
    """Today, this month and ever, of the scope alone."""
    house.call("POST", "/admin/users", {"id": "ada", "name": "Ada"})
    spend(house, user="ada", cost=3 * 10**9)
    spend(house, user="ada", cost=10**9, day=LONG_AGO)
    spend(house, user="eve", cost=5 * 10**9)
    spent = house.call("GET", "/admin/budgets/user:ada").body["spent"]
    assert spent == {"daily_usd": "3.00", "monthly_usd": "3.00", "total_usd": "4.00"}
    assert house.call("GET", "/admin/budgets/org").body["spent"]["daily_usd"] == "8.00"


def test_exports_all_that_is_held_of_a_user(house: House) -> None:
    """Record, keys and spending, without secrets, and nothing of anybody else."""
    house.call("POST", "/admin/users", {"id": "ada", "name": "Ada", "email": "ada@example.com", "password": "p" * 12})
    mine, other = house.make(user="ada", name="Ada's"), house.make(user="eve")
    house.call("POST", "/admin/blocks", {"kind": "user", "id": "ada", "seconds": 1, "reason": "asked us to"})
    spend(house, user="ada", cost=10**9)
    spend(house, user="eve")
    export = house.call("GET", "/admin/users/ada/export").body
    assert export["user"]["email"] == "ada@example.com"
    assert export["block"] == {"until": NOW + 1, "reason": "asked us to"}
    assert [key["id"] for key in export["keys"]] == [mine["id"]]
    assert [(row["day"], row["cost_usd"]) for row in export["usage"]] == [(TODAY, "1.00")]
    changes = {(line["action"], line["target"]) for line in export["audit"]}
    assert changes == {("user.create", "ada"), ("key.create", mine["id"]), ("block.create", "user:ada")}
    written = json.dumps(export)
    for secret in (other["id"], "argon2", "hash", mine["key"].rpartition("_")[2]):
        assert secret not in written.replace("has_password", "")


@pytest.mark.parametrize(("method", "place"), [("POST", "/admin/users/ada/erase"), ("DELETE", "/admin/users/ada")])
def test_nobody_is_shown_what_another_had_under_the_same_id(house: House, method: str, place: str) -> None:
    """Of the day that both had it, the sums are shown to neither: who spent how much of them nobody can tell."""

    def exported() -> tuple[list[str], list[str], list[str]]:
        export = house.call("GET", "/admin/users/ada/export").body
        return (
            [row["day"] for row in export["usage"]],
            [line["action"] for line in export["audit"]],
            [key["name"] for key in export["keys"]],
        )

    def spend_on(day: float) -> None:
        spend(house, user="ada", day=day_at(int(day * 1000)))

    house.call("POST", "/admin/users", {"id": "ada", "name": "Ada"})
    house.make(user="ada", name="old")
    spend_on(house.now)
    house.now += 86_400
    spend_on(house.now)
    house.call(method, place)
    house.call("POST", "/admin/users", {"id": "ada", "name": "Another"})
    spend_on(house.now)
    assert exported() == ([], ["user.create"], [])
    house.now += 86_400
    spend_on(house.now)
    house.make(user="ada", name="new")
    assert exported() == ([day_at(int(house.now * 1000))], ["key.create", "user.create"], ["new"])
    house.call(method, place)
    house.now += 86_400
    house.call("POST", "/admin/users", {"id": "ada", "name": "A third one"})
    spend_on(house.now)
    assert exported() == ([day_at(int(house.now * 1000))], ["user.create"], [])


def test_erases_a_person_and_keeps_the_sums(house: House) -> None:
    """Name and address are nowhere any more, the keys are shut at once, what was spent still adds up."""
    house.call("POST", "/admin/users", {"id": "ada", "name": "Lovelace", "email": "ada@example.com"})
    key = house.make(user="ada", name="laptop of Lovelace")
    spend(house, user="ada", cost=10**9)
    for kind, name in (("user", "ada"), ("key", key["id"])):
        house.call("POST", "/admin/blocks", {"kind": kind, "id": name, "seconds": 60, "reason": "left us"})
    reply = house.call("POST", "/admin/users/ada/erase")
    assert (reply.status, reply.body["keys_revoked"]) == (200, 1)
    assert house.call("GET", "/admin/users/ada").status == 404
    assert house.call("POST", "/admin/users/ada/erase").status == 404
    assert house.refusal(key["id"]) is not None
    assert house.policy("user:ada")["state"] == "revoked"
    assert house.call("GET", "/admin/usage?by=user").body["data"][0]["cost_usd"] == "1.00"
    assert house.call("GET", "/admin/blocks").body["data"] == []
    written = json.dumps([*house.stored(), *house.lines()], default=str)
    assert "Lovelace" not in written
    assert "left us" not in written
    assert "example.com" not in written
    assert house.lines()[-1]["action"] == "user.erase"


@pytest.mark.parametrize(("kind", "end"), [("user", "erase"), ("user", "delete"), ("team", "delete")])
def test_who_is_made_anew_in_a_later_month_begins_at_zero(house: House, kind: str, end: str) -> None:
    """In the same month, by the same id, what was spent goes on counting, in total too, however often that is done."""
    place = f"/admin/{kind}s"

    def remake() -> tuple[str, str | None]:
        if end == "erase":
            house.call("POST", f"{place}/ada/erase")
        else:
            house.call("DELETE", f"{place}/ada")
        made = house.call("POST", place, {"id": "ada", "name": "A", "budget": {"total_usd": "5"}})
        assert made.status == 201
        spent = house.call("GET", f"/admin/budgets/{kind}:ada").body["spent"]["total_usd"]
        return spent, house.policy(f"{kind}:ada").get("before")

    house.call("POST", place, {"id": "ada", "name": "A"})
    spend(house, **{kind: "ada"}, cost=10**9)
    assert remake() == ("1.00", None)
    house.call("DELETE", f"{place}/ada")
    house.now += 31 * 86_400
    assert remake() == ("0.00", "1000000000")
    spend(house, **{kind: "ada"}, cost=2 * 10**9)
    assert remake() == ("2.00", "1000000000")
    house.call("PUT", f"/admin/budgets/{kind}:ada", {"total_usd": "9"})
    assert house.policy(f"{kind}:ada")["before"] == "1000000000"
    house.call("DELETE", f"{place}/ada")
    house.now += 31 * 86_400
    assert remake() == ("0.00", "3000000000")
    assert house.call("POST", place, {"id": "new", "name": "N"}).status == 201
    assert "before" not in house.policy(f"{kind}:new")


def test_describes_itself_to_anybody(house: House) -> None:
    """Without a key: every route with its fields, made of what serves it, and nothing of what is stored."""
    house.make(name="do not tell")
    event = {"httpMethod": "GET", "path": "/openapi.json", "headers": {}, "requestContext": {}}
    answer = serve(event, Context(), house.control)
    described = json.loads(answer["body"])
    assert (answer["statusCode"], described["openapi"][:2]) == (200, "3.")
    assert {"/admin/keys", "/admin/keys/{key_id}/rotate", "/admin/limits/{name}"} <= described["paths"].keys()
    assert {"/v1/messages", "/v1/responses", "/api/llm/generate"} <= described["paths"].keys()
    assert {"post", "get"} == described["paths"]["/admin/keys"].keys()
    new_key = described["components"]["schemas"]["NewKey"]
    assert (new_key["required"], new_key["additionalProperties"]) == (["name"], False)
    assert "do not tell" not in answer["body"]
