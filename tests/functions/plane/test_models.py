"""A model's own budget and limits over HTTP, however a request comes to it: by an alias, as a fallback, as a hedge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.core import events, shares
from shared.core.policies import policy
from shared.core.pricing import NANO
from tests.functions.plane.acts import CUT
from tests.functions.plane.rig import item, well
from tests.functions.plane.test_gateway import refused
from tests.functions.plane.test_hedging import asked, by_model, fails, hang
from tests.functions.plane.test_journal import written
from tests.functions.plane.test_money import COST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.core.shares import Share
    from tests.functions.plane.rig import Rig
    from tests.functions.plane.upstream import Request, Wire

MINI_COST = COST // 10
BOTH = ("gpt-4o-2024", "mini-1")  # as the provider calls them


@pytest.fixture(autouse=True)
def _agree(rig: Rig) -> Iterator[None]:
    """In the end nothing is held, and each scope has spent what the stream of usage says."""
    rig.valkey.set("{default}:open", 1)
    yield
    total: dict[str, int] = {}
    for use in rig.usage():
        found = shares.read(use["models"])
        assert sum(share.cost for share in found) == int(use["cost"])
        for share in found:
            total[f"model:{share.model}"] = total.get(f"model:{share.model}", 0) + share.cost
        alias = f"alias:{use['alias']}"
        total[alias] = total.get(alias, 0) + int(use["cost"])
    total.pop("alias:", None)
    assert {scope: spent(rig, scope) for scope in total} == total
    assert rig.valkey.zcard("{default}:holds") == 0
    assert not any(b"r:t" in rig.valkey.hgetall(place) for place in rig.valkey.keys("{default}:spend:*"))


def spent(rig: Rig, scope: str) -> int:
    """Nano-dollars that a scope has spent."""
    return int(rig.valkey.hget(f"{{default}}:spend:{scope}", "c:t") or 0)


def limit(rig: Rig, model: str, **record: Any) -> None:
    """Edit what holds for a model, or for an alias of this name."""
    assert rig.gateway.admission.tell("default", f"model:{model}", 1, policy(record))


def took(rig: Rig) -> dict[str, Share]:
    """What each model took of the one request."""
    [use] = rig.usage()
    return {share.model: share for share in shares.read(use["models"])}


@pytest.mark.parametrize("stream", [True, False])
def test_an_alias_is_served_by_the_model_that_has_money(rig: Rig, *, stream: bool) -> None:
    """The other one is not asked, and what it costs is booked to whom it was paid for."""
    limit(rig, "gpt-4o", budget={"total_nano": 1000})
    limit(rig, "mini", budget={"total_nano": NANO})
    client = rig.chat(model="pair", stream=stream)
    assert (client.status, client.headers["x-nexus-model"], asked(rig)) == (200, "mini", ["mini-1"])
    assert {name: share.cost for name, share in took(rig).items()} == {"mini": MINI_COST}
    assert spent(rig, "alias:pair") == MINI_COST


def test_when_none_has_any_left_the_refusal_names_one(rig: Rig) -> None:
    """And nobody is asked."""
    for model in ("gpt-4o", "mini"):
        limit(rig, model, budget={"daily_nano": 10})
    error = refused(rig.chat(model="pair"), 429, "insufficient_quota")
    assert (error["scope"], error["model"], error["rule"]) == ("model", "gpt-4o", "budget_daily")
    assert rig.upstream.requests == []


def test_what_is_chosen_by_complexity_pays_as_well(rig: Rig) -> None:
    """`auto` is made of all models; whichever answers, its budget is the one that falls."""
    client = rig.call("POST", "/api/ai/route", {"query": "Hello", "costPriority": "quality", "stream": False})
    assert client.status == 200
    served = client.headers["x-nexus-model"]
    assert list(took(rig)) == [served]
    rig.upstream.reset()
    limit(rig, served, limits={"requests_per_minute": 1})
    rig.call("POST", "/api/ai/route", {"query": "Hello", "costPriority": "quality", "stream": False})
    again = rig.call("POST", "/api/ai/route", {"query": "Hello", "costPriority": "quality", "stream": False})
    assert (again.status, again.headers["x-nexus-model"] != served) == (200, True)


def test_a_fallback_is_booked_to_the_model_that_answered(rig: Rig) -> None:
    """A refusal costs its own model nothing but a request."""
    rig.aws.item = item(budget={"total_nano": NANO})
    rig.upstream.default = by_model(**{"gpt-4o-2024": fails})
    assert rig.chat(model="backed").status == 200
    assert [(name, share.cost, share.requests) for name, share in took(rig).items()] == [
        ("backed", 0, 1), ("mini", MINI_COST, 1)
    ]  # fmt: skip
    [line] = written(rig, events.RESERVED)
    assert line["models"].keys() == {"backed", "mini"}
    assert line["models"]["mini"] < line["models"]["backed"] == line["held"]


def test_a_lost_answer_costs_its_own_model(rig: Rig) -> None:
    """All that was held for it there; the fallback what it took."""
    limit(rig, "backed", budget={"total_nano": NANO})
    rig.upstream.script = [CUT]
    assert rig.chat(model="backed", stream=False, fields={"max_tokens": 10}).status == 200
    found, [first, _] = took(rig), written(rig, events.RESERVED)
    assert (found["backed"].cost, found["mini"].cost) == (first["models"]["backed"], MINI_COST)
    assert (found["backed"].completion, found["mini"].completion) == (0, 2)


def test_a_fallback_that_is_spent_is_not_asked(rig: Rig) -> None:
    """The model itself is tried again, and then the client hears of the failure."""
    limit(rig, "mini", limits={"tokens_per_minute": 1})
    rig.upstream.default = by_model(**{"gpt-4o-2024": fails})
    assert rig.chat(model="backed").status == 503
    assert asked(rig) == ["gpt-4o-2024"] * 3


def test_a_model_that_was_never_asked_gives_all_back(rig: Rig) -> None:
    """Its place in the minute, its tokens, its slot and its money serve the next."""
    only = {"requests_per_minute": 1, "concurrency": 1, "tokens_per_minute": 10_000}
    limit(rig, "mini", limits=only, budget={"total_nano": NANO})
    for _ in range(3):
        assert rig.chat(model="pair").headers["x-nexus-model"] == "gpt-4o"
    assert rig.valkey.llen("{default}:rate:model:mini") == 0
    assert rig.valkey.zcard("{default}:leases:model:mini") == 0
    assert int(rig.valkey.hget("{default}:tokencounts:model:mini", "sum")) == 0
    assert rig.chat(model="mini").status == 200
    refused(rig.chat(model="mini"), 429, "rate_limit_exceeded")


@pytest.mark.parametrize("slow", BOTH)
def test_a_hedge_is_booked_to_both(rig: Rig, slow: str) -> None:
    """Who was cut off may bill all that was held for it; whose answer came, what it said."""
    rig.aws.item = item(budget={"total_nano": NANO})
    rig.upstream.default = by_model(**{slow: hang, **({} if slow == BOTH[0] else {BOTH[0]: _late})})
    client = rig.chat(model="raced", stream=False, fields={"max_tokens": 10})
    served = client.headers["x-nexus-model"]
    found, first = took(rig), written(rig, events.RESERVED)[0]
    assert (client.status, asked(rig)) == (200, list(BOTH))
    assert found[served].cost == (COST if served == "gpt-4o" else MINI_COST)
    [other] = found.keys() - {served}
    assert found[other].cost == first["models"][other]


def _late(wire: Wire, request: Request) -> None:
    wire.pause(0.5)
    well(wire, request)


def test_each_model_may_say_as_much_as_the_money_allows(rig: Rig) -> None:
    """The cheaper one ten times as much; the header tells of the one that answered."""
    rig.aws.item = item(budget={"total_nano": 2_000_000})
    client = rig.chat(model="pair", stream=False)
    most = int(client.headers["x-nexus-max-tokens"])
    assert rig.upstream.requests[-1].json["max_completion_tokens"] == most < 200
    limit(rig, "gpt-4o", budget={"total_nano": 0})
    client = rig.chat(model="pair", stream=False)
    assert int(client.headers["x-nexus-max-tokens"]) > 5 * most
    assert rig.upstream.requests[-1].json["max_completion_tokens"] == int(client.headers["x-nexus-max-tokens"])


def test_tokens_of_a_further_try_count_before_it_is_made(rig: Rig) -> None:
    """Enough for one prompt at its longest, not for two: nobody is asked again, as with money."""
    rig.aws.item = item(limits={"tokens_per_minute": 150})
    rig.upstream.script = [CUT]
    refused(rig.chat(stream=False, fields={"max_tokens": 10}), 502, "upstream_error")
    assert len(rig.upstream.requests) == 1
    rig.valkey.flushall()
    rig.valkey.set("{default}:open", 1)
    rig.aws.item = item(limits={"tokens_per_minute": 1500})
    rig.upstream.reset()
    rig.upstream.script = [CUT]
    assert rig.chat(stream=False, fields={"max_tokens": 10}).status == 200
    assert len(rig.upstream.requests) == 2


def test_an_alias_keeps_limits_of_its_own(rig: Rig) -> None:
    """They hold for all who ask by that name, and for nobody who asks for its models."""
    limit(rig, "pair", limits={"requests_per_minute": 1})
    assert rig.chat(model="pair").status == 200
    error = refused(rig.chat(model="pair"), 429, "rate_limit_exceeded")
    assert (error["scope"], error["model"]) == ("model", "pair")
    assert rig.chat(model="gpt-4o").status == 200
