"""The dry run: who would serve, who was passed over and why, and what it would cost."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from shared.core import chat, routing
from shared.core.catalog import Alias, Catalog, Member, Model, Priority, Provider, Serving, Target
from shared.core.errors import Unsupported
from shared.core.planning import plan
from shared.core.pricing import NANO, Price, Rates

PROVIDERS = {name: Provider(name, "openai", "https://x.invalid") for name in ("a", "b")}
SMALL = Model("small", "chat", (Target("a", "small", region="eu"),), "me", quality=20, context=9000, max_output=100)
LARGE = Model("large", "chat", (Target("b", "large"),), "me", quality=90, capabilities=("stream",))
PRIORITIES: tuple[Priority, ...] = ("cheap", "balanced", "quality")
PRICES = {
    "a": {"small": Price(Rates(NANO, NANO, 2 * NANO))},
    "b": {"large": Price(Rates(10 * NANO, 10 * NANO, 20 * NANO))},
}
AUTO = Alias("auto", "chat", (Member("small"), Member("large")), "me", serving=Serving("complexity"))
CATALOG = Catalog("1", PROVIDERS, {"small": SMALL, "large": LARGE}, {}, PRICES, {"auto": AUTO})
HARD = "Prove step by step, analyze, compare, derive:\n```\ndef f(): return 1\n```\n" * 40


def planned(text: str = "Hi", model: str = "auto", **fields: Any) -> dict[str, Any]:
    """The plan of a chat of one message; `name` and the like are the planner's."""
    options = {name: fields.pop(name) for name in ("name", "may_use") if name in fields}
    body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
    request = chat.parse(json.dumps(body).encode())
    found = plan(request, CATALOG, PROVIDERS, random.Random(1).random, **options)
    assert json.loads(json.dumps(found)) == json.loads(json.dumps(found))
    return found


def test_an_easy_chat_goes_to_the_cheap_model_and_a_hard_one_to_the_good() -> None:
    """The score is told with what made it."""
    easy, hard = planned(), planned(HARD, reasoning_effort=None)
    assert (easy["model"], hard["model"]) == ("small", "large")
    assert easy["complexity"]["score"] == 0
    assert hard["complexity"]["score"] == pytest.approx(sum(hard["complexity"]["parts"].values()))
    assert "reasoning" in hard["complexity"]["parts"]
    assert [target["model"] for target in hard["targets"]] == ["large", "small"]


def test_priorities_take_the_place_of_the_alias() -> None:
    """`routing.auto` makes one of all chat models."""
    models = [
        planned(HARD, name=routing.auto(CATALOG, priority))["model"] for priority in ("cheap", "balanced", "quality")
    ]
    assert models == ["large", "large", "large"]
    easy = [planned(name=routing.auto(CATALOG, priority))["model"] for priority in ("cheap", "balanced", "quality")]
    assert easy == ["small", "small", "large"]


def test_the_price_is_told_without_calling() -> None:
    """Expected for what was asked for; at worst as admission would reserve it."""
    [first, *_] = planned(max_tokens=50)["targets"]
    assert (first["provider"], first["region"], first["max_output"]) == ("a", "eu", 100)
    size = len(json.dumps({"model": "auto", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 50}))
    assert float(first["cost_usd"]["expected"]) == pytest.approx((-(-size // 4) + 2 * 50) / 1e6)
    assert float(first["cost_usd"]["worst"]) == pytest.approx((size + 2 * 50) / 1e6)
    unbounded = planned()["targets"][1]
    assert (unbounded["model"], unbounded["cost_usd"]["worst"]) == ("large", None)


def test_who_is_passed_over_is_told_with_the_reason() -> None:
    """By the field that asks for too much."""
    found = planned(tools=[{"type": "function", "function": {"name": "f"}}])
    assert [(one["model"], one["param"]) for one in found["passed_over"]] == [("large", "tools")]
    found = planned("word " * 8_000)
    assert [(one["model"], one["param"]) for one in found["passed_over"]] == [("small", "messages")]


def test_a_plan_that_cannot_be_is_refused_like_the_request() -> None:
    """With the same error."""
    with pytest.raises(Unsupported):
        planned(model="large", tools=[{"type": "function", "function": {"name": "f"}}])
