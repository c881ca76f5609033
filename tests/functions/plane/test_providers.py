"""Providers that speak otherwise, on the whole way of a request: several keys, signatures, prices, refusals of ours."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from shared.core.pricing import NANO
from shared.edge import answer as answers
from tests.functions.plane.acts import status
from tests.functions.plane.rig import item
from tests.functions.plane.upstream import head
from tests.providers.wires import anthropic, bedrock
from tests.providers.wires.wire import Story

if TYPE_CHECKING:
    import pytest

    from tests.functions.plane.rig import Rig
    from tests.functions.plane.upstream import Request, Wire

HELLO = Story(texts=("Hi there",))
COST = 50 * 2000 + 40 * 200 + 4 * 2500 + 6 * 4000 + 20 * 10_000  # nano-dollars: fresh, read, written, for an hour, said


def claude(wire: Wire, request: Request) -> None:
    """Answer as Anthropic does."""
    if request.json.get("stream"):
        wire.answer(b"".join(anthropic.stream(HELLO)), kind="text/event-stream")
    else:
        wire.answer(json.dumps(anthropic.message(HELLO)).encode())


def keyed(good: str) -> object:
    """Answer well to one key, and limit all others."""

    def act(wire: Wire, request: Request) -> None:
        if request.headers["x-api-key"] == good:
            return claude(wire, request)
        return wire.answer(b"{}", "429 Too Many Requests")

    return act


def spent(rig: Rig) -> list[int]:
    """Nano-dollars of each booked request."""
    return [int(use["cost"]) for use in rig.usage()]


def test_what_a_claude_took_is_charged_by_its_own_rates(rig: Rig) -> None:
    """Whole and streamed: what was written into its cache costs more, what was read from it less."""
    rig.upstream.default = claude
    assert rig.chat(stream=False, model="claude").json["choices"][0]["message"]["content"] == "Hi there"
    assert rig.chat(model="claude").text == "Hi there"
    assert spent(rig) == [COST, COST]
    assert rig.upstream.requests[0].path == "/v1/messages"


def test_a_key_that_is_limited_or_refused_is_not_the_only_one(rig: Rig) -> None:
    """The next one serves, now and from then on; nothing is charged for the refusals."""
    rig.upstream.default = keyed("key-2")  # type: ignore[assignment]
    assert rig.chat(model="claude").text == "Hi there"
    assert rig.chat(model="claude").text == "Hi there"
    assert [request.headers["x-api-key"] for request in rig.upstream.requests] == ["key-1", "key-2", "key-2"]
    assert spent(rig) == [COST, COST]
    rig.upstream.reset()
    rig.upstream.default = status("401 Unauthorized")
    client = rig.chat(model="claude", stream=False)
    assert len(rig.upstream.requests) == 2  # once with each key, and not again
    assert (client.status, client.headers["x-should-retry"]) == (502, "false")
    assert sum(spent(rig)) == 2 * COST


def test_a_request_that_cannot_be_translated_costs_nothing(rig: Rig) -> None:
    """It is refused with the client's own word for the field; nobody was called."""
    rig.valkey.set("{default}:open", 1)
    rig.aws.item = item(budget={"total_nano": NANO})
    client = rig.chat(model="claude", fields={"logit_bias": {"1": 2}, "max_tokens": 9})
    assert (client.status, client.json["error"]["param"]) == (400, "logit_bias")
    assert rig.upstream.requests == []
    assert sum(spent(rig)) == 0
    assert int(rig.valkey.hget("{default}:spend:key:default-abcdefghijkl", "r:t") or 0) == 0


def test_bedrock_is_asked_with_the_roles_signature(rig: Rig) -> None:
    """For the target's region and its service; the frames of its stream become the client's events."""

    def answer(wire: Wire, _request: Request) -> None:
        wire.answer(b"".join(bedrock.stream(HELLO)), kind="application/vnd.amazon.eventstream")

    rig.upstream.default = answer
    assert rig.chat(model="nova").text == "Hi there"
    [request] = rig.upstream.requests
    assert request.path == "/model/us.nova-1%3A0/converse-stream"
    assert (
        "/eu-west-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date,"
        in (request.headers["authorization"])
    )


def test_a_refusal_without_its_body_is_one_all_the_same(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next target is asked soon, and not when the first one's patience is over; nothing is charged for it."""
    monkeypatch.setattr(answers, "ERROR_SECONDS", 0.1)
    began = time.monotonic()

    def half(wire: Wire, _request: Request) -> None:
        wire.send(head("503 Service Unavailable", {"content-length": "99"}) + b"{")
        wire.hang()

    rig.upstream.script = [half]
    assert rig.chat(model="both").status == 200
    assert rig.lines[-1]["tries"] == 2
    assert time.monotonic() - began < 8
