"""`/metrics`: what Prometheus' own parser reads there is what the books say, and no counter ever falls."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared.core.events import EXPIRED
from shared.core.shares import Share
from tests.functions.control.rig import BOSS
from tests.functions.control.test_figures import USD, share, some, spend

if TYPE_CHECKING:
    from tests.functions.control.rig import House

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def text(house: House) -> str:
    """Return what is scraped."""
    answer = house.send("GET", "/metrics")
    assert answer["statusCode"] == 200
    assert answer["multiValueHeaders"]["Content-Type"] == ["text/plain; version=0.0.4; charset=utf-8"]
    body: str = answer["body"]
    return body


def scraped(house: House) -> Samples:
    """Return all samples as Prometheus would read them; a name, a type and a series stand once."""
    found: Samples = {}
    families = list(text_string_to_metric_families(text(house)))
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert family.type in {"counter", "gauge", "histogram"}
        assert family.documentation
        for sample in family.samples:
            series = sample.name, tuple(sorted(sample.labels.items()))
            assert series not in found
            found[series] = sample.value
    return found


def summed(samples: Samples, name: str, **labels: str) -> float:
    """Add up the samples of a name with these labels among theirs."""
    return sum(
        value for (known, own), value in samples.items() if known == name and labels.items() <= dict(own).items()
    )


def test_counters_are_the_books(house: House) -> None:
    """Requests, tokens and money by provider, model and outcome: together they are what `/admin/usage` sums up."""
    some(house)
    samples = scraped(house)
    total = house.call("GET", "/api/ai/metrics").body["total"]
    assert summed(samples, "nexus_requests_total") == total["requests"] == 5
    assert summed(samples, "nexus_requests_total", model="m1", outcome="ok") == 2
    assert summed(samples, "nexus_requests_total", provider="other", outcome="timeout") == 1
    assert summed(samples, "nexus_requests_total", provider="none", model="none") == 1
    assert summed(samples, "nexus_tokens_total", type="prompt") == total["prompt_tokens"]
    assert summed(samples, "nexus_tokens_total", type="completion") == total["completion_tokens"]
    lines = [line for line in text(house).splitlines() if line.startswith("nexus_charged_usd_total")]
    assert str(sum(Decimal(line.rpartition(" ")[2]) for line in lines)) == total["cost_usd"] == "6.000000007"


def test_durations_are_a_histogram(house: House) -> None:
    """Cumulative, by octaves, with sum and count: what took 64 ms is in the bucket of 0.064, what took 65 is not."""
    for milliseconds in (64, 65, 2_000_000):
        spend(house, share("m1", 1), ms=milliseconds)
    samples = scraped(house)
    name = "nexus_request_duration_seconds"
    within = [summed(samples, f"{name}_bucket", le=bound) for bound in ("0.032", "0.064", "0.128", "524.288", "+Inf")]
    assert within == [0, 1, 2, 2, 3]
    assert summed(samples, f"{name}_count") == 3
    assert summed(samples, f"{name}_sum") == pytest.approx(2000.129)


def test_a_correction_lowers_no_counter(house: House) -> None:
    """What was charged for want of better knowledge and taken back is counted as taken back."""
    spend(house, Share(5 * USD, 1, 0, 0, 0, "m1"), outcome=EXPIRED, provider="", served="")
    before = scraped(house)
    spend(house, Share(-4 * USD, 0, 3, 4, 0, "m1"), seq=2, held=5 * USD)
    after = scraped(house)
    for series, value in before.items():
        assert after[series] >= value, series
    charged, refunded = (summed(after, f"nexus_{name}_usd_total") for name in ("charged", "refunded"))
    assert (charged, refunded) == (6, 5)
    assert summed(after, "nexus_charged_usd_total", provider="acme", model="m1") == 1
    assert summed(after, "nexus_requests_total") == 1
    assert house.call("GET", "/api/ai/metrics").body["total"]["cost_usd"] == "1.00"


def test_budgets_and_breakers_are_as_the_store_has_them(house: House) -> None:
    """Limit, spent and reserved of the organization and of models, and who rests; of nobody without a budget."""
    house.call("PUT", "/admin/budgets/org", {"monthly_usd": "100"})
    house.call("PUT", "/admin/budgets/model:simulated", {"daily_usd": "1"})
    assert house.valkey
    with house.valkey.client() as client:
        month = time.strftime("%Y-%m", time.gmtime(house.now))
        client.set("{default}:open", 1)
        client.hset("{default}:spend:org:default", mapping={f"c:m:{month}": 5 * USD, f"r:m:{month}": USD})
        client.hset("{default}:target:acme:one", "until", int(time.time() * 1000) + 60_000)
    samples = scraped(house)
    shown = [
        summed(samples, f"nexus_budget_{name}_usd", scope="organization", period="monthly")
        for name in ("limit", "spent", "reserved")
    ]
    assert shown == [100, 5, 1]
    assert len([1 for name, _ in samples if name == "nexus_budget_limit_usd"]) == 1  # the catalog has no such model
    assert summed(samples, "nexus_breaker_open", target="acme:one") == 1
    assert summed(samples, "nexus_breaker_open", target="other:two") == 0
    assert summed(samples, "nexus_build_info", catalog="c1") == summed(samples, "nexus_store_up") == 1
    with house.valkey.client() as client:
        client.delete("{default}:open")
    assert not [name for name, _ in scraped(house) if name.startswith("nexus_budget")]  # they are being rebuilt


def test_counters_are_there_while_the_store_is_not(house: House) -> None:
    """And the same as before: a flush of the store takes nothing from them."""
    some(house)
    before = scraped(house)
    assert house.valkey
    with house.valkey.client() as client:
        client.flushall()
    after = scraped(house)
    assert {series: value for series, value in after.items() if series[0].endswith("_total")} == {
        series: value for series, value in before.items() if series[0].endswith("_total")
    }
    lost = house.without_valkey()
    down = scraped(lost)
    lost.close()
    assert summed(down, "nexus_requests_total") == 5
    assert summed(down, "nexus_store_up") == 0
    assert not [name for name, _ in down if name.startswith(("nexus_budget", "nexus_breaker"))]


def test_labels_name_no_one(house: House) -> None:
    """Neither key, user, team nor organization; and odd names of models are quoted."""
    spend(house, share('a"b\\nc#d', 1), user="ada", team="blue", alias="any")
    body = text(house)
    assert not [name for name in ("ada", "blue", "abcdefghijkl", "default") if name in body]
    assert summed(scraped(house), "nexus_requests_total", model='a"b\\nc#d') == 1


def test_another_organizations_counters_are_its_own(house: House) -> None:
    """Nobody scrapes them; and a service may not observe."""
    some(house)
    stranger = BOSS._replace(org="other", key_id="other-bossbossboss")
    assert "nexus_requests_total{" not in house.send("GET", "/metrics", caller=stranger)["body"]
    assert house.call("GET", "/metrics", caller=BOSS._replace(role="service")).status == 403
    refused = house.call("GET", "/metrics?names=nexus_requests_total")
    assert (refused.status, refused.error["param"]) == (400, "names")
