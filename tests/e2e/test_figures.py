"""Figures of a running stack: what an official client has spent is the same to the last digit wherever it is told."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import httpx2
import openai
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e import bookkeeping
from tests.e2e.stack import CHAT, PRICED

if TYPE_CHECKING:
    from tests.e2e.stack import Stack

NAMES = ("metrics", "analytics/summary", "analytics/model-comparison")


def counted(text: str) -> tuple[Decimal, int]:
    """Return what was spent, and how many requests there were, by the samples' own digits."""
    assert {family.type for family in text_string_to_metric_families(text)} == {"counter", "gauge", "histogram"}
    sums: dict[str, Decimal] = {}
    for line in text.splitlines():
        name, _, rest = line.partition("{")
        if rest:
            sums[name] = sums.get(name, Decimal(0)) + Decimal(rest.rpartition(" ")[2])
    spent = sums["nexus_charged_usd_total"] - sums["nexus_refunded_usd_total"]
    return spent, int(sums["nexus_requests_total"])


def test_all_figures_agree_to_the_last_digit(stack: Stack, admin: httpx2.Client, tag: str) -> None:
    """An organization of its own spends with the OpenAI SDK: usage, metrics, summary, comparison, Prometheus."""
    made = admin.post("/admin/organizations", json={"id": f"o{tag[:12]}", "name": "Figures"}).json()
    bearer = {"authorization": f"Bearer {made['admin_key']['key']}"}
    with httpx2.Client(base_url=stack.base_url, headers=bearer, timeout=30) as own:
        key = own.post("/admin/keys", json={"name": "app", "role": "service"}).json()["key"]
        with openai.OpenAI(base_url=f"{stack.base_url}/v1", api_key=key, max_retries=0, timeout=30) as client:
            for model in (CHAT, CHAT, PRICED):
                client.chat.completions.create(model=model, messages=[{"role": "user", "content": "What did it cost?"}])
        with bookkeeping.clerk(stack.process) as clerk:
            clerk.books.keep(made["id"], lambda: True)
        total = own.get("/admin/usage").json()["total"]
        assert total["requests"] == 3
        assert Decimal(total["cost_usd"]) > 0
        met, summary, compared, text = (own.get(path) for path in (*(f"/api/ai/{name}" for name in NAMES), "/metrics"))
        assert met.json()["total"] == total
        assert summary.json()["total"] == total
        assert [row["id"] for row in summary.json()["top_models"]] == [row["id"] for row in compared.json()["models"]]
        for rows in (compared.json()["models"], compared.json()["providers"], met.json()["served"]):
            assert sum(Decimal(row["cost_usd"]) for row in rows) == Decimal(total["cost_usd"])
            assert all(row["latency_ms"]["p95"] > 0 for row in rows)
        assert text.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert counted(text.text) == (Decimal(total["cost_usd"]), 3)
        assert met.headers["x-ratelimit-limit-requests"] == "60"
    service = {"authorization": f"Bearer {key}"}
    with httpx2.Client(base_url=stack.base_url, headers=service, timeout=30) as app:
        assert app.get("/api/ai/metrics").json()["total"] == total
        assert app.get("/metrics").status_code == 403
        wrong = app.get("/api/ai/analytics/summary?from=2026-02-30")
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "from")
