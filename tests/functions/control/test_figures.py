"""Figures for people with keys: what they add up to, whose they are, and what cannot be asked."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from shared.core.events import Usage
from shared.core.periods import DAY_SECONDS, day_at, day_of, number_of
from shared.core.principals import token_key_id
from shared.core.shares import Share
from tests.functions.control.rig import BOSS, NOW

if TYPE_CHECKING:
    from tests.functions.control.rig import House

METRICS, SUMMARY, COMPARISON = (
    f"/api/ai/{name}" for name in ("metrics", "analytics/summary", "analytics/model-comparison")
)
TODAY = day_at(NOW * 1000)
USD = 10**9
KEY = "default-abcdefghijkl"


def ago(days: int) -> str:
    """Return the day so many days before today."""
    return day_of(number_of(TODAY) - days)


def spend(house: House, *shares: Share, **facts: Any) -> None:
    """Book one request that asked these models in turn."""
    cursor = house.ledger.cursor("default") or house.ledger.begin("default", NOW * 1000)
    number = int(cursor.last.partition("-")[0]) + 1
    served = {"provider": "acme", "served": shares[-1].model} if shares else {}
    sums = {name: sum(getattr(share, name) for share in shares) for name in ("cost", "prompt", "completion")}
    known = {"seq": 1, "day": TODAY, "key": KEY, "outcome": "ok", "ms": 100, **sums, **served, **facts}
    assert house.ledger.book(
        "default", cursor, [Usage(f"r-{number}", org="default", models=shares, **known)], f"{number}-0"
    )


def share(model: str, cost: int, tokens: int = 10) -> Share:
    """Return what one model took."""
    return Share(cost, 1, tokens, tokens, 0, model)


def some(house: House) -> None:
    """Spend in several ways: another model answers, nobody does, nobody is asked, long ago, last month."""
    spend(house, share("m1", 2 * USD + 1), user="ada", team="blue")
    spend(house, share("m1", 1), share("m2", 3 * USD), user="eve", ms=900)
    spend(house, share("m2", 5), outcome="timeout", provider="other", key="default-lkjihgfedcba")
    spend(house, day=ago(2))
    spend(house, share("m1", USD), day=ago(35), user="ada")


def test_all_figures_are_those_of_the_books(house: House) -> None:
    """The same money, requests and tokens by `/admin/usage`, by the summary, by models, and by providers."""
    some(house)
    usage = house.call("GET", "/admin/usage").body
    summary = house.call("GET", SUMMARY).body
    compared = house.call("GET", COMPARISON).body
    assert usage["total"]["cost_usd"] == "5.000000007"
    assert summary["total"] == usage["total"]
    assert {name: summary[name] for name in ("from", "to")} == {name: usage[name] for name in ("from", "to")}
    assert [day for day in summary["days"] if day["requests"]] == usage["data"]
    assert len(summary["days"]) == 30
    assert summary["top_models"] == house.call("GET", "/admin/usage?by=model").body["data"]
    assert summary["top_users"] == house.call("GET", "/admin/usage?by=user").body["data"]
    for rows in (compared["models"], compared["providers"]):
        assert sum(Decimal(row["cost_usd"]) for row in rows) == Decimal("5.000000007")
    assert sum(row["requests"] for row in compared["providers"]) == usage["total"]["requests"] == 4
    plain = [{name: row[name] for name in summary["top_models"][0]} for row in compared["models"]]
    assert plain == summary["top_models"]


def test_compares_models(house: House) -> None:
    """By what they cost and how often they answered, and how long the good answers took."""
    some(house)
    two, one = house.call("GET", COMPARISON).body["models"]
    assert (two["id"], two["requests"], two["errors"], two["success_rate"]) == ("m2", 2, 1, 0.5)
    assert (one["id"], one["requests"], one["errors"], one["success_rate"]) == ("m1", 2, 1, 0.5)
    assert (two["latency_ms"]["mean"], one["latency_ms"]["mean"]) == (900, 100)
    assert two["latency_ms"]["p50"] == two["latency_ms"]["p95"] == pytest.approx(900, rel=1 / 8)
    assert one["cost_per_request_usd"] == "1.000000001"
    assert one["cost_per_1k_tokens_usd"] == "50.00000005"
    assert (one["share_of_cost"], one["share_of_requests"]) == (0.4, 0.5)
    providers = {row["id"]: row for row in house.call("GET", COMPARISON).body["providers"]}
    assert {name: row["success_rate"] for name, row in providers.items()} == {"acme": 1, "other": 0, "none": 1}
    assert providers["other"]["latency_ms"] == {"mean": None, "p50": None, "p95": None}
    assert providers["none"]["cost_per_1k_tokens_usd"] is None


def test_tells_what_became_of_the_days_requests(house: House) -> None:
    """Of today, this month and ever; and of today by provider, model and outcome."""
    some(house)
    found = house.call("GET", METRICS).body
    assert found["scope"] == "org:default"
    assert (found["today"]["cost_usd"], found["total"]["cost_usd"]) == ("5.000000007", "6.000000007")
    assert (found["today"]["errors"], found["total"]["requests"]) == (1, 5)
    rows = [(row["provider"], row["model"], row["outcome"], row["requests"]) for row in found["served"]]
    assert rows == [("acme", "m1", "ok", 1), ("acme", "m2", "ok", 1), ("other", "m2", "timeout", 1)]
    assert sum(row["requests"] for row in found["served"]) == found["today"]["requests"]


def test_compares_with_the_time_before_and_looks_ahead(house: House) -> None:
    """As many days before; the month as it goes on at this pace, of which nothing is known on its first day."""
    some(house)
    summary = house.call("GET", SUMMARY).body
    assert summary["previous"]["to"] == ago(30)
    assert summary["previous"]["cost_usd"] == "1.00"
    assert summary["change"] == {"cost": 4.0, "requests": 3.0, "errors": None}
    first = number_of(f"{TODAY[:7]}-01") * DAY_SECONDS
    passed, whole = NOW - first, 31 * DAY_SECONDS
    expected = Decimal(summary["forecast"]["spent_usd"]) * whole / passed
    assert TODAY[5:7] in {"01", "03", "05", "07", "08", "10", "12"}
    assert abs(Decimal(summary["forecast"]["expected_usd"]) - expected) < Decimal("0.00000001")
    house.now = float(first + DAY_SECONDS - 1)
    assert house.call("GET", SUMMARY).body["forecast"]["expected_usd"] is None


@pytest.mark.parametrize("role", ["admin", "developer", "viewer", "service"])
def test_who_may_not_observe_sees_its_own(house: House, role: str) -> None:
    """A key's own figures; nobody else's, and no list of others. A user may have had another's id, so it sees none."""
    some(house)
    spend(house, share("m1", 7), key=BOSS.key_id, user="bob")
    caller = BOSS._replace(role=role)
    met, told = (house.call("GET", path, caller=caller).body for path in (METRICS, SUMMARY))
    user = caller._replace(key_id=token_key_id("default", "free", "eve"), user="eve")
    statuses = [house.call("GET", path, caller=user).status for path in (METRICS, SUMMARY)]
    if role == "service":
        assert (met["scope"], met["today"]["cost_usd"], met["served"]) == (f"key:{BOSS.key_id}", "0.000000007", [])
        assert (told["scope"], told["total"]["cost_usd"]) == (f"key:{BOSS.key_id}", "0.000000007")
        assert not {"top_keys", "top_users", "top_teams", "top_models"} & told.keys()
        assert house.call("GET", COMPARISON, caller=caller).status == 403
        assert statuses == [403, 403]
    else:
        assert met["scope"] == told["scope"] == "org:default"
        assert told["top_keys"]
        assert house.call("GET", COMPARISON, caller=caller).status == 200
        assert statuses == [200, 200]


def test_another_organizations_figures_are_its_own(house: House) -> None:
    """Nobody sees them."""
    some(house)
    stranger = BOSS._replace(org="other", key_id="other-bossbossboss")
    assert house.call("GET", METRICS, caller=stranger).body["total"]["requests"] == 0
    assert house.call("GET", SUMMARY, caller=stranger).body["top_models"] == []
    empty = house.call("GET", COMPARISON, caller=stranger).body
    assert (empty["models"], empty["providers"]) == ([], [])


@pytest.mark.parametrize("path", [SUMMARY, COMPARISON])
@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("form=2026-11-01", "form"),
        ("from=yesterday", "from"),
        ("from=", "from"),
        ("to=2026-02-30", "to"),
        ("from=0000-01-02&to=0000-01-03", "to"),
        (f"from={TODAY}&to={ago(1)}", "from"),
        (f"from={ago(92)}", "from"),
    ],
)
def test_refuses_a_question_without_an_answer(house: House, path: str, query: str, param: str) -> None:
    """What is no parameter, no day, and ranges that are empty or too long are named."""
    reply = house.call("GET", f"{path}?{query}")
    assert (reply.status, reply.error["param"]) == (400, param)
    assert house.call("GET", f"{path}?from={ago(91)}").status == 200


def test_metrics_take_no_parameter(house: House) -> None:
    """It is of now."""
    reply = house.call("GET", f"{METRICS}?from={TODAY}")
    assert (reply.status, reply.error["param"]) == (400, "from")


def test_a_key_may_ask_sixty_times_a_minute(house: House) -> None:
    """Of all figures together, beside its other limits, whatever others ask; none of it is a request in the books."""
    key = house.make(role="viewer", tier="enterprise")["id"]
    viewer = BOSS._replace(key_id=key, role="viewer", models=())
    replies = [house.call("GET", path, caller=viewer) for path in (METRICS, SUMMARY, COMPARISON) * 20]
    assert {reply.status for reply in replies} == {200}
    assert replies[0].headers["x-ratelimit-limit-requests"] == "60"
    assert replies[-1].headers["x-ratelimit-remaining-requests"] == "0"
    refused = house.call("GET", METRICS, caller=viewer)
    assert (refused.status, refused.error["scope"], refused.error["limit"]) == (429, "endpoint", 60)
    assert refused.headers["retry-after"]
    assert house.call("GET", METRICS).status == 200
    assert house.valkey
    with house.valkey.client() as client:
        assert not client.exists("{default}:usage", "{default}:holds", "{default}:hold:request-1")
    house.call("PUT", "/admin/limits/class:metrics", {"requests_per_minute": 61})
    assert house.call("GET", METRICS, caller=viewer).status == 200
    assert house.call("GET", METRICS, caller=viewer).status == 429


def test_figures_are_there_while_the_store_is_not(house: House) -> None:
    """They cost nothing, so there is nothing to hold."""
    some(house)
    lost = house.without_valkey()
    assert lost.call("GET", SUMMARY).body["total"]["cost_usd"] == "5.000000007"
    lost.close()


def test_a_key_that_is_blocked_sees_nothing(house: House) -> None:
    """From the next request on."""
    key = house.make(role="viewer")["id"]
    viewer = BOSS._replace(key_id=key, role="viewer", tier="free")
    assert house.call("GET", METRICS, caller=viewer).status == 200
    house.call("POST", "/admin/blocks", {"kind": "key", "id": key, "seconds": 60})
    assert house.call("GET", METRICS, caller=viewer).status == 403
