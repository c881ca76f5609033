"""Targets that fail are left alone, and found again, by all functions together; and what a client sees of that."""

from __future__ import annotations

import itertools
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.functions.plane.rig import built, well

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functions.plane.rig import Rig
    from tests.functions.plane.upstream import Request, Wire

FIRST, SECOND = "{default}:target:openai:one", "{default}:target:second:two"
REST = 60


def status(line: str, body: bytes = b"{}", **headers: str) -> Callable[[Wire, Request], None]:
    """Answer with this status."""
    return lambda wire, _request: wire.answer(body, line, **headers)


def only(model: str, act: Callable[[Wire, Request], None]) -> Callable[[Wire, Request], None]:
    """Do `act` for one of the provider's models, and behave for all others."""
    return lambda wire, request: (act if request.json["model"] == model else well)(wire, request)


def asked(rig: Rig) -> list[str]:
    """The models that the provider was asked for since the last look, by its own names."""
    found = [request.json["model"] for request in rig.upstream.requests]
    rig.upstream.requests.clear()
    return found


def told(rig: Rig) -> list[tuple[str, str]]:
    """What was said of breakers."""
    return [(line["target"], line["state"]) for line in rig.lines if line["event"] == "breaker.v1"]


def rested(rig: Rig, place: str = FIRST) -> None:
    """Let the rest of a target be over."""
    rig.valkey.hincrby(place, "until", -REST * 1000)


def break_down(rig: Rig, act: Callable[[Wire, Request], None] | None = None) -> None:
    """Have the first target of `both` fail until it rests."""
    rig.upstream.default = only("one", act or status("503 Service Unavailable"))
    for _ in range(5):
        assert rig.chat(model="both", stream=False).status == 200
    assert asked(rig) == ["one", "two"] * 5


def test_after_five_failures_a_target_is_left_alone(rig: Rig) -> None:
    """The next requests go to the other one at once; a line says so; another gateway knows it as well."""
    break_down(rig)
    other = built(rig.environment)._replace(telemetry=rig.gateway.telemetry)
    for gateway in (rig.gateway, other):
        rig.gateway = gateway
        assert rig.chat(model="both", stream=False).status == 200
        assert asked(rig) == ["two"]
    assert told(rig) == [("openai:one", "open")]
    [line] = [line for line in rig.lines if line["event"] == "breaker.v1"]
    assert (line["level"], line["failures"], line["rest_seconds"]) == ("ERROR", 5, 60)


def test_one_request_probes_a_target_that_has_rested(rig: Rig) -> None:
    """While it is out, all others go elsewhere; its success brings everybody back."""
    break_down(rig)
    rested(rig)
    probing, done = threading.Event(), threading.Event()

    def slowly(wire: Wire, request: Request) -> None:
        probing.set()
        assert done.wait(10)
        well(wire, request)

    rig.upstream.default = only("one", slowly)
    gateway = built(rig.environment)._replace(telemetry=rig.gateway.telemetry)
    other = type(rig)(gateway, rig.upstream, rig.aws, rig.valkey, rig.lines, [], rig.environment)
    probe = threading.Thread(target=lambda: other.chat(model="both", stream=False))
    probe.start()
    assert probing.wait(10)
    assert [rig.chat(model="both", stream=False).headers["x-nexus-provider"] for _ in range(3)] == ["second"] * 3
    done.set()
    probe.join()
    assert asked(rig) == ["one", "two", "two", "two"]
    rig.upstream.default = well
    assert rig.chat(model="both", stream=False).headers["x-nexus-provider"] == "openai"
    assert told(rig) == [("openai:one", state) for state in ("open", "half_open", "closed")]


def test_a_failed_probe_is_not_repeated(rig: Rig) -> None:
    """One try, then the other target; the first rests once more."""
    break_down(rig)
    rested(rig)
    assert rig.chat(model="both", stream=False).status == 200
    assert rig.chat(model="both", stream=False).status == 200
    assert asked(rig) == ["one", "two", "two"]
    assert [state for _, state in told(rig)] == ["open", "half_open", "open"]


def test_a_probe_whose_function_dies_blocks_for_a_minute_only(rig: Rig) -> None:
    """Nobody hears of it; then the next one may."""
    break_down(rig)
    rested(rig)
    ends = rig.valkey.time()[0] * 1000 + REST * 1000
    rig.valkey.hset(FIRST, mapping={"probe": "of the dead", "probe_ends": ends})
    rig.upstream.default = well
    rig.chat(model="both", stream=False)
    assert asked(rig) == ["two"]
    rig.valkey.hincrby(FIRST, "probe_ends", -REST * 1000)
    rig.chat(model="both", stream=False)
    rig.chat(model="both", stream=False)
    assert asked(rig) == ["one", "one"]


@pytest.mark.parametrize("ends", ["until", "probe_ends"])
def test_a_clock_that_was_set_back_shuts_nobody_out(rig: Rig, ends: str) -> None:
    """What would rest, or be probed, for longer than anybody can is probed at once."""
    break_down(rig)
    now = rig.valkey.time()[0] * 1000
    rig.valkey.hset(FIRST, mapping={"until": now - 1, "probe": "of before", ends: now + 3 * 3600 * 1000})
    rig.upstream.default = well
    assert [rig.chat(model="both", stream=False).headers["x-nexus-provider"] for _ in range(2)] == ["openai"] * 2
    assert told(rig)[-2:] == [("openai:one", "half_open"), ("openai:one", "closed")]


def test_a_target_that_flaps_costs_tries_and_no_answers(rig: Rig) -> None:
    """Failing every other time it is never five times in a row; everybody is served."""
    down, turns = status("503 Service Unavailable"), itertools.cycle([True, False])

    def flap(wire: Wire, request: Request) -> None:
        (down if next(turns) else well)(wire, request)

    rig.upstream.default = only("one", flap)
    assert [rig.chat(model="both", stream=False).status for _ in range(10)] == [200] * 10
    assert (asked(rig), told(rig)) == (["one", "two", "one"] * 5, [])


FAULTS: dict[str, tuple[Callable[[Wire, Request], None], bool]] = {
    "500": (status("500 Internal Server Error"), True),
    "429": (status("429 Too Many Requests"), False),
    "429 no credit": (status("429 Too Many Requests", b'{"error": {"code": "insufficient_quota"}}'), True),
    "401 of our key": (status("401 Unauthorized"), True),
    "400 of the request": (status("400 Bad Request", b'{"error": {"message": "no"}}'), False),
    "nonsense": (status("200 OK", b"<html>"), True),
    "closes": (lambda wire, _request: wire.close(), True),
    "redirect": (status("302 Found", location="http://169.254.169.254/"), True),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_counts_as_a_failure(rig: Rig, fault: str) -> None:
    """What is the target's doing: not what it finds wrong with the request, nor that it wants less of us now."""
    act, counts = FAULTS[fault]
    rig.upstream.script = [act]
    rig.chat(model="both", stream=False)
    assert rig.valkey.hget(FIRST, "fails") == (b"1" if counts else None)


@pytest.mark.parametrize("stream", [True, False])
def test_when_all_rest_nobody_is_asked(rig: Rig, stream: bool) -> None:  # noqa: FBT001 - a parameter
    """503 with the seconds until the first may be asked; nothing is admitted, booked or sent; an alert is written."""
    ends = rig.valkey.time()[0] * 1000 + 30_000
    rig.valkey.hset(FIRST, "until", ends + 20_000)
    rig.valkey.hset(SECOND, "until", ends)
    client = rig.chat(model="both", stream=stream)
    assert (client.status, client.json["error"]["code"]) == (503, "upstream_unavailable")
    assert 28 <= int(client.headers["retry-after"]) <= 30
    assert (asked(rig), rig.usage(), rig.leases()) == ([], [], 0)
    assert told(rig) == [("both", "none_left")]
    rig.valkey.hset(SECOND, "until", ends - 30_000)
    assert rig.chat(model="both", stream=stream).status == 200


@pytest.mark.parametrize("stream", [True, False])
def test_a_degraded_answer_steps_in_when_nobody_can(rig: Rig, stream: bool) -> None:  # noqa: FBT001 - a parameter
    """As the catalog has it: a complete answer that says what it is in a header, and costs nothing."""
    rig.upstream.default = status("503 Service Unavailable")
    client = rig.chat(model="careful", stream=stream)
    assert (client.status, client.headers["x-nexus-degraded"]) == (200, "true")
    said = client.text if stream else client.json["choices"][0]["message"]["content"]
    assert said == "Please come back later."
    assert not stream or client.events[-1] == "[DONE]"
    [use] = rig.usage()
    assert (use["outcome"], use["cost"], rig.lines[-1]["outcome"]) == ("upstream_unavailable", "0", "degraded")
    assert told(rig)[-1] == ("careful", "none_left")


def test_a_request_that_is_at_fault_gets_no_degraded_answer(rig: Rig) -> None:
    """Its error is worth more to whoever sent it."""
    rig.upstream.default = status("400 Bad Request", b'{"error": {"message": "no"}}')
    assert rig.chat(model="careful", stream=False).status == 400


def test_the_fastest_is_asked_first(rig: Rig) -> None:
    """Whom nobody knows is tried once; then the one with the shorter time to its first chunk has the traffic."""

    def slow(wire: Wire, request: Request) -> None:
        wire.pause(0.2)
        well(wire, request)

    rig.upstream.default = only("one", slow)
    for _ in range(5):
        assert rig.chat(model="quick").status == 200
    assert asked(rig) == ["one", "two", "two", "two", "two"]
    latencies = [int(rig.valkey.hget(place, "latency:stream")) for place in (FIRST, SECOND)]
    assert latencies[0] >= 200_000 > latencies[1] > 0


def test_the_least_loaded_is_asked_first(rig: Rig) -> None:
    """In proportion to its weight; what a request took is given back when it is settled."""
    rig.valkey.hset(FIRST, "busy", 2)
    rig.valkey.hset(SECOND, "busy", 3)
    assert rig.chat(model="idle", stream=False).headers["x-nexus-provider"] == "second"  # 3 of weight 2 are less than 2
    rig.valkey.hset(SECOND, "busy", 5)
    assert rig.chat(model="idle", stream=False).headers["x-nexus-provider"] == "openai"
    assert [rig.valkey.hget(place, "busy") for place in (FIRST, SECOND)] == [b"2", b"5"]


def test_a_stream_that_breaks_off_counts(rig: Rig) -> None:
    """Its client has an error in the stream; the target a failure."""

    def cut(wire: Wire, _request: Request) -> None:
        wire.start_events()
        wire.event(json.dumps({"choices": [{"index": 0, "delta": {"content": "Hi"}}]}).encode())
        wire.close()

    rig.upstream.default = cut
    events: list[Any] = rig.chat(model="both").events
    assert "error" in events[-1]
    assert rig.valkey.hget(FIRST, "fails") == b"1"
