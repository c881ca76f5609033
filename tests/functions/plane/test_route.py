"""`POST /api/ai/route` over real sockets: who is chosen, what a dry run does not do, and who may choose what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.functions.plane.rig import item

if TYPE_CHECKING:
    from tests.functions.plane.rig import Rig

PATH = "/api/ai/route"


def restrict(rig: Rig, model: str) -> None:
    """Let the key use one model, and Valkey know it."""
    rig.aws.item = {**item(), "models": {"L": [{"S": model}]}}
    rig.valkey.flushall()


def test_somebody_answers_and_is_named(rig: Rig) -> None:
    """With the bill, in the body and in the headers."""
    restrict(rig, "gpt-4o")
    client = rig.call("POST", PATH, {"query": "Hello", "costPriority": "cheap"})
    assert client.status == 200, client.body
    assert client.json["answer"] == "Hi there"
    assert client.json["model"] in rig.gateway.catalog.models
    assert client.json["usage"]["total_tokens"] == 11
    assert len(rig.upstream.requests) == 1
    assert len(rig.usage()) == 1


def test_an_answer_can_be_streamed(rig: Rig) -> None:
    """Piece by piece, and at the end who it was."""
    client = rig.call("POST", PATH, {"query": "Hello", "stream": True})
    assert client.status == 200, client.body
    assert "".join(event.get("answer", "") for event in client.events if event != "[DONE]") == "Hi there"
    assert client.events[-2]["model"] in rig.gateway.catalog.models


def test_a_dry_run_asks_nobody_and_costs_nothing(rig: Rig) -> None:
    """It shows the targets in order, with prices, and how demanding the query looks."""
    client = rig.call("POST", PATH, {"query": "Prove it step by step.", "dry_run": True, "max_tokens": 100})
    assert client.status == 200, client.body
    assert client.json["strategy"] == "complexity"
    assert client.json["targets"]
    assert client.json["complexity"]["score"] > 0
    assert rig.upstream.requests == []
    assert all(int(event["cost"]) == 0 for event in rig.usage())


def test_a_key_for_some_models_chooses_among_those(rig: Rig) -> None:
    """And one for none of them gets the answer for what does not exist."""
    body = {"query": "Hello", "dry_run": True}
    restrict(rig, "gpt-4o")
    client = rig.call("POST", PATH, body, identity={"models": "gpt-4o"})
    assert {target["model"] for target in client.json["targets"]} == {"gpt-4o"}
    client = rig.call("POST", PATH, {"query": "Hello"})  # the authorizer does not know of it yet
    assert client.json["model"] == "gpt-4o"
    restrict(rig, "org/embed")
    client = rig.call("POST", PATH, body, identity={"models": "org/embed"})
    assert (client.status, client.json["error"]["code"]) == (404, "model_not_found")
    client = rig.call("POST", PATH, {**body, "model": "gpt-4o"})
    assert (client.status, client.json["error"]["param"]) == (404, "model")
