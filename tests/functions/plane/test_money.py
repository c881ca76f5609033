"""Money on the way of a request: what is held, what is charged, what the client is told, and who is not asked again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from shared.core.pricing import NANO, Price, Rates
from tests.functions.plane.acts import CUT, events, raw, status
from tests.functions.plane.rig import ANSWER, Context, chunk, item, well
from tests.functions.plane.test_gateway import refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.functions.plane.rig import Rig
    from tests.functions.plane.upstream import Request, Wire

COST = 9 * 2500 + 2 * 10_000  # nano-dollars of 9 tokens of a prompt and 2 of an answer of gpt-4o
SPEND = "{default}:spend:key:default-abcdefghijkl"


@pytest.fixture(autouse=True)
def _open(rig: Rig) -> None:
    rig.valkey.set("{default}:open", 1)


@pytest.fixture
def budget(rig: Rig) -> Iterator[Any]:
    """Give the key so many nano-dollars in all."""

    def give(nano: int, period: str = "total", **changes: Any) -> None:
        rig.aws.item = item(budget={f"{period}_nano": nano}, **changes)

    yield give
    assert int(rig.valkey.hget(SPEND, "r:t") or 0) == 0  # nothing stays reserved
    assert rig.valkey.zcard("{default}:holds") == 0


def spent(rig: Rig) -> int:
    """Nano-dollars that the key has spent; the stream of usage says the same."""
    total = int(rig.valkey.hget(SPEND, "c:t") or 0)
    assert sum(int(use["cost"]) for use in rig.usage()) == total
    return total


def test_an_answer_costs_what_was_used_and_says_so(rig: Rig, budget: Any) -> None:
    """Whole answers tell their cost; event, line and counters agree with it, to the nano-dollar."""
    budget(NANO)

    client = rig.chat(stream=False, fields={"max_tokens": 100})

    assert client.headers["x-nexus-cost-usd"] == "0.0000425"
    assert spent(rig) == COST
    assert rig.lines[-1]["cost_nano"] == COST
    [use] = rig.usage()
    assert (use["target"], use["key"], use["org"], use["seq"]) == (
        "gpt-4o-2024",
        "default-abcdefghijkl",
        "default",
        "1",
    )
    assert int(use["held"]) > COST


def test_a_stream_is_charged_before_its_last_byte(rig: Rig, budget: Any) -> None:
    """The cost is not known when the headers leave; it is booked when the end does."""
    budget(NANO)
    client = rig.chat()
    assert "x-nexus-cost-usd" not in client.headers
    assert spent(rig) == COST


def test_without_a_bound_the_budget_sets_one(rig: Rig, budget: Any) -> None:
    """No max_tokens, or one that may be lowered: the provider is told what is affordable, and so is the client."""
    budget(2_000_000)
    client = rig.chat(stream=False)
    most = int(client.headers["x-nexus-max-tokens"])
    assert 100 < most < 200  # of 10,000 nano-dollars each
    assert rig.upstream.requests[-1].json["max_completion_tokens"] == most

    fitted: dict[str, Any] = {"headers": {"X-Nexus-Fit-Budget": "true"}, "fields": {"max_tokens": 5000}}
    client = rig.chat(stream=False, **fitted)
    assert rig.upstream.requests[-1].json["max_tokens"] == int(client.headers["x-nexus-max-tokens"]) < 200
    assert "max_completion_tokens" not in rig.upstream.requests[-1].json


def test_without_a_budget_nothing_is_changed(rig: Rig) -> None:
    """The request leaves as it came; what it cost is counted and told all the same."""
    client = rig.chat(stream=False)
    assert not {"max_tokens", "max_completion_tokens"} & rig.upstream.requests[-1].json.keys()
    assert "x-nexus-max-tokens" not in client.headers
    assert spent(rig) == COST


def test_a_spent_budget_is_told_and_asks_nobody(rig: Rig, budget: Any) -> None:
    """429 insufficient_quota that no SDK tries again, with all that is known; the provider hears nothing."""
    budget(1000, "daily")
    client = rig.chat(fields={"max_tokens": 5})

    error = refused(client, 429, "insufficient_quota")
    assert client.headers["x-should-retry"] == "false"
    assert 0 < int(client.headers["retry-after"]) <= 86_400
    told = {name: error[name] for name in ("type", "scope", "rule", "limit", "used", "reserved")}
    assert told == {
        "type": "insufficient_quota", "scope": "key", "rule": "budget_daily",
        "limit": "0.000001", "used": "0", "reserved": "0",
    }  # fmt: skip
    assert error["resets_at"] % 86_400 <= 1
    assert rig.upstream.requests == []
    assert rig.usage() == []


def test_what_has_no_price_is_refused_by_name(rig: Rig, budget: Any) -> None:
    """A field that nothing bounds, and a model without a price: a 400 that says so; without a budget they pass."""
    priority: dict[str, Any] = {"fields": {"service_tier": "priority"}}
    assert rig.chat(stream=False, **priority).status == 200
    budget(NANO)
    rig.valkey.delete("{default}:policy:key:default-abcdefghijkl")
    refused(rig.chat(**priority), 400, "unpriced_model", "service_tier")
    del rig.gateway.catalog.prices["openai"]
    refused(rig.chat(), 400, "unpriced_model", "model")


def test_a_budget_waits_for_the_books(rig: Rig, budget: Any) -> None:
    """After a flush, until somebody has counted anew: 503 with a hint when to retry; who has no budget is served."""
    budget(NANO)
    rig.valkey.flushall()
    client = rig.chat()
    refused(client, 503, "store_rebuilding")
    assert int(client.headers["retry-after"]) >= 1
    rig.aws.item = item(version=2)
    rig.valkey.delete("{default}:policy:key:default-abcdefghijkl")
    assert rig.chat().status == 200


def test_the_directory_is_asked_for_every_scope(rig: Rig) -> None:
    """After a flush a budget of the team is not forgotten, though only the key is sure to be projected."""
    rig.valkey.flushall()
    rig.aws.item = item(team="blue")
    rig.aws.others = [item(sk="team#blue", budget={"total_nano": 5})]
    client = rig.chat(identity={"team": "blue"})
    refused(client, 503, "store_rebuilding")
    rig.valkey.set("{default}:open", 1)
    assert refused(rig.chat(identity={"team": "blue"}), 429, "insufficient_quota")["scope"] == "team"


def test_a_try_that_may_be_billed_is_charged_beside_the_one_that_answered(rig: Rig, budget: Any) -> None:
    """The reservation is topped up before the further try; the lost one costs all that was held for it."""
    budget(NANO)
    rig.upstream.script = [CUT]
    held: list[int] = []

    def look(wire: Wire, request: Request) -> None:
        held.append(int(rig.valkey.hget(SPEND, "r:t")))
        well(wire, request)

    rig.upstream.default = look
    assert rig.chat(stream=False, fields={"max_tokens": 10}).status == 200
    [use] = rig.usage()
    assert held == [int(use["held"])]
    assert spent(rig) == COST + held[0] // 2


def test_no_further_try_is_made_that_the_budget_cannot_bear(rig: Rig, budget: Any) -> None:
    """Enough for one worst case, not for two: the client gets the provider's failure, and is charged once."""
    budget(700_000)
    rig.upstream.script = [CUT]
    client = rig.chat(stream=False, fields={"max_tokens": 30})
    refused(client, 502, "upstream_error")
    assert len(rig.upstream.requests) == 1
    assert 0 < spent(rig) <= 700_000


ENDS_EARLY = events(chunk("Hi"))  # behind a word


def test_what_was_heard_of_a_broken_stream_is_charged(rig: Rig, budget: Any) -> None:
    """The longest prompt that the bytes allow, and each piece that came; never more than was held."""
    budget(NANO)
    rig.upstream.script = [ENDS_EARLY]
    rig.chat(fields={"max_tokens": 500})
    [use] = rig.usage()
    assert COST < spent(rig) < int(use["held"])


@pytest.mark.parametrize(
    ("effort", "whole"), [({}, True), ({"reasoning_effort": "low"}, True), ({"reasoning_effort": "none"}, False)]
)
def test_a_broken_stream_of_a_model_that_thinks_is_charged_whole(
    rig: Rig,
    budget: Any,
    effort: dict[str, str],
    whole: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Its thoughts are billed and not in the stream, so what was heard says too little; unless it was not to think."""
    budget(NANO)
    models = rig.gateway.catalog.models
    models["gpt-4o"] = msgspec.structs.replace(models["gpt-4o"], capabilities=("stream", "reasoning"))
    rig.upstream.script = [ENDS_EARLY]
    rig.chat(fields={"max_tokens": 500, **effort})
    [use] = rig.usage()
    assert (spent(rig) == int(use["held"])) is whole


WORDLESS = {
    "ends behind the head": events(),
    "breaks off behind the role": events(chunk(""), end=lambda wire: wire.reset()),
    "tells an error": events(b'{"error": {"message": "overloaded"}}'),
}
UNHEARD = {
    "what nobody can read": events(b"Hi there"),
    "no stream": status("200 OK", json.dumps(ANSWER).encode()),
    "no head": raw(b""),
    "no more than a beginning": events(end=lambda wire: wire.hang()),
}


@pytest.mark.parametrize("act", WORDLESS.values(), ids=WORDLESS)
def test_a_stream_that_ended_before_any_word_costs_its_prompt(rig: Rig, budget: Any, act: Any) -> None:
    """The provider was done with it, and had said nothing that it could charge; each of the three tries counts."""
    budget(NANO)
    rig.upstream.default = act
    client = rig.chat(fields={"max_tokens": 500})
    assert client.status == 502
    longest = len(rig.upstream.requests[0].body) + 50  # tokens; at most one a byte
    assert 0 < spent(rig) <= len(rig.upstream.requests) * longest * 2500
    [use] = rig.usage()
    assert int(use["held"]) > 500 * 10_000


@pytest.mark.parametrize("act", WORDLESS.values(), ids=WORDLESS)
def test_the_same_of_a_model_that_thinks_costs_all_that_was_held(rig: Rig, budget: Any, act: Any) -> None:
    """It may have thought before."""
    budget(NANO)
    models = rig.gateway.catalog.models
    models["gpt-4o"] = msgspec.structs.replace(models["gpt-4o"], capabilities=("stream", "reasoning"))
    rig.upstream.default = act
    rig.chat(fields={"max_tokens": 500})
    assert spent(rig) == int(rig.usage()[0]["held"])


@pytest.mark.parametrize("act", UNHEARD.values(), ids=UNHEARD)
def test_what_may_have_been_written_unheard_costs_all_that_was_held(rig: Rig, budget: Any, act: Any) -> None:
    """No stream that can be read to its end says how little it was."""
    budget(NANO)
    rig.upstream.default = act
    rig.chat(fields={"max_tokens": 500}, context=Context(seconds=2.6))
    assert rig.upstream.requests
    [use] = rig.usage()
    assert spent(rig) == int(use["held"]) > 500 * 10_000


def test_what_is_held_counts_as_spent(rig: Rig, budget: Any) -> None:
    """While one request is being served, a budget for less than two worst cases lets no second one pass."""
    budget(900_000)
    refusals = []

    def meanwhile(wire: Wire, _request: Request) -> None:
        inner = rig.chat(stream=False, fields={"max_tokens": 30}, context=Context(seconds=30))
        refusals.append(inner.status)
        wire.answer(json.dumps(ANSWER).encode())

    rig.upstream.script = [meanwhile]
    assert rig.chat(stream=False, fields={"max_tokens": 30}).status == 200
    assert refusals == [429]
    assert spent(rig) == COST


@pytest.mark.parametrize(("meta", "searches"), [({"billed_units": {"search_units": 1}}, 1), (None, 2)])
def test_a_ranking_costs_its_searches(rig: Rig, budget: Any, meta: Any, searches: int) -> None:
    """What the provider says it charges, and if it does not, what it may charge: that much was held."""
    rig.gateway.catalog.prices["openai"]["verdict-1"] = Price(Rates(0, 0, 0), per_request=2_000_000)
    documents = ["a"] * 150
    ranked = {"results": [{"index": 0, "relevance_score": 0.5}], "meta": meta}
    rig.upstream.script = [lambda wire, _request: wire.answer(json.dumps(ranked).encode())] * 2
    budget(2 * 2_000_000 - 1)
    fields = {"model": "org/rank", "query": "q", "documents": documents}
    refused(rig.call("POST", "/v1/rerank", fields), 429, "insufficient_quota")
    budget(2 * 2_000_000, version=2)
    rig.valkey.delete("{default}:policy:key:default-abcdefghijkl")
    assert rig.call("POST", "/v1/rerank", fields).status == 200
    assert spent(rig) == searches * 2_000_000


def test_the_list_of_models_costs_nothing(rig: Rig, budget: Any) -> None:
    """A spent budget does not hide what there is."""
    budget(0)
    assert rig.call("GET", "/v1/models").status == 200
    refused(rig.chat(), 429, "insufficient_quota")
    assert spent(rig) == 0


def test_what_an_idle_connection_took_may_be_billed(rig: Rig, budget: Any) -> None:
    """It read the request, and closed without a word: a try as any other, reserved again and charged."""
    budget(NANO)
    assert rig.chat(stream=False).status == 200
    rig.upstream.script = [lambda wire, _request: wire.close()]
    client = rig.chat(stream=False, fields={"max_tokens": 100})
    assert (client.status, rig.lines[-1]["tries"]) == (200, 2)
    assert len(rig.upstream.requests) == 3
    held = int(rig.usage()[-1]["held"])
    assert int(rig.usage()[-1]["cost"]) == held // 2 + COST
    assert spent(rig) == held // 2 + 2 * COST
