"""A second target is asked beside one that is slow: the faster one serves, the other is cut off and charged."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING

import pytest

from shared.core.pricing import NANO
from tests.functions.plane.rig import KEY, item, well

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functions.plane.rig import Rig
    from tests.functions.plane.upstream import Request, Wire

HANGS = 30.0  # seconds: far more than a test may take


def by_model(**acts: Callable[[Wire, Request], None]) -> Callable[[Wire, Request], None]:
    """Do what is said for the provider's model."""
    return lambda wire, request: acts.get(request.json["model"], well)(wire, request)


def hang(wire: Wire, _request: Request) -> None:
    """Take the request, and say nothing."""
    wire.hang(HANGS)


def head_only(wire: Wire, _request: Request) -> None:
    """Begin to answer, and say nothing."""
    wire.start_events()
    wire.hang(HANGS)


def slow(wire: Wire, request: Request) -> None:
    """Behave, but late."""
    wire.pause(0.6)
    well(wire, request)


def late(wire: Wire, request: Request) -> None:
    """Behave, a little late."""
    wire.pause(0.3)
    well(wire, request)


def fails(wire: Wire, _request: Request) -> None:
    """Be down."""
    wire.answer(b"{}", "503 Service Unavailable")


def asked(rig: Rig) -> list[str]:
    """The models that the provider was asked for."""
    return [request.json["model"] for request in rig.upstream.requests]


@pytest.mark.parametrize(("stream", "act"), [(True, hang), (True, head_only), (False, hang)], ids=["a", "b", "c"])
def test_the_faster_one_serves(rig: Rig, stream: bool, act: Callable[[Wire, Request], None]) -> None:  # noqa: FBT001
    """After the hedge's delay, not after the target's own patience."""
    rig.upstream.default = by_model(one=act)
    began = time.monotonic()
    client = rig.chat(model="hedged", stream=stream)
    assert time.monotonic() - began < HANGS / 3
    assert (client.status, client.headers["x-nexus-provider"], asked(rig)) == (200, "second", ["one", "two"])
    assert client.text == "Hi there" if stream else client.json["choices"]
    assert rig.valkey.hget("{default}:target:openai:one", "fails") == b"1"
    assert (rig.lines[-1]["tries"], rig.lines[-1]["outcome"], rig.leases()) == (2, "ok", 0)


def test_a_target_in_time_is_not_doubled(rig: Rig) -> None:
    """Nobody else is asked, and its connection serves the next request."""
    for stream in (True, False, True):
        assert rig.chat(model="hedged", stream=stream).status == 200
    assert asked(rig) == ["one"] * 3
    assert rig.upstream.connections == 1


def test_the_first_may_still_win(rig: Rig) -> None:
    """Its latency counts from when it was asked; that the one beside it was cut off says nothing of that."""
    rig.upstream.default = by_model(one=slow, two=hang)
    client = rig.chat(model="hedged")
    assert (client.headers["x-nexus-provider"], client.text) == ("openai", "Hi there")
    assert int(rig.valkey.hget("{default}:target:openai:one", "latency:stream")) >= 600_000
    assert rig.valkey.hget("{default}:target:second:two", "fails") is None


def test_a_spare_that_is_always_later_is_left_in_peace(rig: Rig) -> None:
    """It never fails, so it never rests: it is there when it is needed."""
    rig.upstream.default = by_model(one=late, two=slow)
    for _ in range(6):
        assert rig.chat(model="hedged").headers["x-nexus-provider"] == "openai"
    assert asked(rig) == ["one", "two"] * 6
    assert not [line for line in rig.lines if line["event"] == "breaker.v1"]


@pytest.mark.parametrize(("one", "two", "winner"), [(slow, fails, "openai"), (fails, well, "second")], ids=["a", "b"])
def test_one_that_fails_leaves_the_other(
    rig: Rig, one: Callable[[Wire, Request], None], two: Callable[[Wire, Request], None], winner: str
) -> None:
    """An error is no answer: the other one is waited for; one that fails at once is no case for a hedge."""
    rig.upstream.default = by_model(one=one, two=two)
    client = rig.chat(model="hedged", stream=False)
    assert (client.status, client.headers["x-nexus-provider"]) == (200, winner)
    assert asked(rig)[:2] == ["one", "two"]  # what has failed beside a slow one is asked again later, once


def test_one_target_alone_is_asked_twice(rig: Rig) -> None:
    """Tail latency is often the single request's bad luck; its prompt is charged for the one that was cut off."""
    rig.upstream.script = [hang]
    client = rig.chat(model="alone")
    assert (client.status, asked(rig)) == (200, ["gpt-4o-2024"] * 2)
    [use] = rig.usage()
    size = len(rig.upstream.requests[0].body)
    counted = 9 * 2_500 + 2 * 10_000  # nano-dollars of the answer that came
    prompt = int(use["cost"]) - counted
    assert 0 < prompt <= 2_500 * (size + 50)  # at most a token a byte
    assert use["estimated"] == "1"


def test_a_whole_answer_that_was_cut_off_is_charged_at_its_worst(rig: Rig) -> None:
    """Nobody knows how much of it was written."""
    rig.upstream.script = [hang]
    rig.chat(model="alone", stream=False, fields={"max_tokens": 100})
    [use] = rig.usage()
    assert int(use["cost"]) > 100 * 10_000


def test_money_is_reserved_before_a_second_is_asked(rig: Rig) -> None:
    """Where a budget affords one try only, the slow one is waited for."""
    rig.valkey.set("{default}:open", 1)
    body = {"model": "alone", "messages": [{"role": "user", "content": "Hello"}], "stream": True, "max_tokens": 10}
    worst = (len(json.dumps(body)) + 10) * 2_500 + 10 * 10_000
    rig.aws.item = item(budget={"total_nano": worst * 3 // 2})
    rig.upstream.script = [slow]
    assert rig.chat(model="alone", fields={"max_tokens": 10}).status == 200
    assert len(rig.upstream.requests) == 1
    assert rig.valkey.hget(f"{{default}}:spend:key:{KEY}", "r:t") in {None, b"0"}
    rig.aws.item = item(budget={"total_nano": NANO}, version=2)
    rig.valkey.delete(f"{{default}}:policy:key:{KEY}")
    rig.upstream.script = [slow]
    assert rig.chat(model="alone", fields={"max_tokens": 10}).status == 200
    assert len(rig.upstream.requests) == 3


def test_a_connection_that_closed_while_idle_is_replaced_unseen(rig: Rig) -> None:
    """Its end had not taken the request; one that had is a try like any other, and charged."""
    assert rig.chat(model="hedged", stream=False).status == 200
    [far] = rig.upstream._sockets
    far.shutdown(socket.SHUT_RDWR)
    [[wire]] = rig.gateway.http._idle.values()
    wire.readable = lambda: False  # type: ignore[method-assign] # as while the end is on its way
    assert rig.chat(model="hedged", stream=False).status == 200
    assert (rig.lines[-1]["tries"], asked(rig)) == (1, ["one", "one"])
    rig.upstream.script = [lambda closing, _request: closing.close()]
    assert rig.chat(model="hedged", stream=False).status == 200
    assert (rig.lines[-1]["tries"], asked(rig)) == (2, ["one", "one", "one", "two"])
