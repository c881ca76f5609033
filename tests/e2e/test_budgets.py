"""Budgets through the whole stack, judged by the official SDK; the provider's own log says what was really used."""

from __future__ import annotations

import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.e2e.stack import CHAT, Stack

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx2

HI: Any = [{"role": "user", "content": "Hi"}]
INPUT, OUTPUT = Decimal("0.25") / 10**6, Decimal(2) / 10**6  # of the model, dollars per token


def of(stack: Stack, key: str, retries: int = 2) -> openai.OpenAI:
    """Return the official client with this key, and the retries that it makes by itself."""
    return openai.OpenAI(base_url=f"{stack.base_url}/v1", api_key=key, max_retries=retries, timeout=30)


def test_a_spent_budget_is_one_typed_error_and_no_retry(
    stack: Stack, new_key: Callable[..., dict[str, Any]], upstream: httpx2.Client, tag: str
) -> None:
    """RateLimitError, insufficient_quota, at once: the SDK does not retry, and the provider hears nothing."""
    key = new_key(tier="pro", budget={"total_usd": "0.000001"})["key"]
    began = time.monotonic()
    with of(stack, key) as client, pytest.raises(openai.RateLimitError) as raised:
        client.chat.completions.create(model=CHAT, messages=HI, extra_body={"simulated": {"tag": tag}})
    assert time.monotonic() - began < 10  # two retries that honour retry-after would take longer than any test
    error: Any = raised.value.body
    assert (raised.value.status_code, raised.value.code, raised.value.type) == (
        429, "insufficient_quota", "insufficient_quota",
    )  # fmt: skip
    assert {name: error[name] for name in ("scope", "rule", "limit", "used", "reserved", "resets_at")} == {
        "scope": "key", "rule": "budget_total", "limit": "0.000001", "used": "0", "reserved": "0", "resets_at": None,
    }  # fmt: skip
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in raised.value.response.headers
    assert raised.value.response.request.headers["x-stainless-retry-count"] == "0"
    assert upstream.get("/_calls", params={"tag": tag}).json()["calls"] == []


def test_an_answer_tells_its_cost_and_its_bound(stack: Stack, new_key: Callable[..., dict[str, Any]]) -> None:
    """What the header says is the provider's usage at the known price; the bound that the budget set is told, too."""
    key = new_key(tier="pro", budget={"daily_usd": 1, "monthly_usd": "2.5"})["key"]
    with of(stack, key) as client:
        raw = client.chat.completions.with_raw_response.create(model=CHAT, messages=HI)
    usage = raw.parse().usage
    assert usage is not None
    assert Decimal(raw.headers["x-nexus-cost-usd"]) == usage.prompt_tokens * INPUT + usage.completion_tokens * OUTPUT
    assert raw.headers["x-nexus-max-tokens"] == "4096"


def test_many_at_once_never_spend_more_than_the_budget(
    stack: Stack, new_key: Callable[..., dict[str, Any]], upstream: httpx2.Client, tag: str
) -> None:
    """Eight clients, a budget for few answers: what the provider counted stays below it, and most of it is used."""
    budget = Decimal("0.002")
    key = new_key(tier="enterprise", budget={"total_usd": str(budget)})["key"]
    refused = []

    def work() -> None:
        with of(stack, key, retries=0) as client:
            for _ in range(12):
                try:
                    client.chat.completions.create(
                        model=CHAT, messages=HI, max_tokens=40, extra_body={"simulated": {"tag": tag, "tokens": 30}}
                    )
                except openai.RateLimitError as error:
                    refused.append(error.code)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    report = upstream.get("/_calls", params={"tag": tag}).json()
    used = report["prompt_tokens"] * INPUT + report["completion_tokens"] * OUTPUT
    assert set(refused) == {"insufficient_quota"}
    assert budget * Decimal("0.9") < used <= budget


def test_a_field_without_a_price_is_named(stack: Stack, new_key: Callable[..., dict[str, Any]]) -> None:
    """A BadRequestError whose param is the field, for a key with a budget only."""
    key = new_key(tier="pro", budget={"total_usd": 1})["key"]
    with of(stack, key) as client, pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model=CHAT, messages=HI, service_tier="priority")
    assert (raised.value.code, raised.value.param) == ("unpriced_model", "service_tier")
