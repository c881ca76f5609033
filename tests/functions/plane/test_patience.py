"""A provider that keeps us waiting, and connections that wait for us."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.functions.plane.acts import FULL, booked, events, raw, status
from tests.functions.plane.rig import Context, chunk, well

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functions.plane.rig import Rig
    from tests.functions.plane.upstream import Request, Wire


SLOW: list[tuple[str, Callable[..., None]]] = [
    ("before the head", lambda wire, _request: wire.hang()),
    ("within the head", raw(b"HTTP/1.1 200 OK\r\n", lambda wire: wire.hang())),
    ("before the body", raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", lambda wire: wire.hang())),
]


def _trickle(wire: Wire, _request: Request) -> None:
    wire.send(b"HTTP/1.1 200 OK\r\n")
    for number in range(2000):
        wire.send(b"x-header-%d: y\r\n" % number if number < 90 else b"x")
        wire.pause(0.01)


@pytest.mark.parametrize("fault", [*[act for _, act in SLOW], _trickle], ids=[*[name for name, _ in SLOW], "trickle"])
def test_a_hanging_provider_is_left_before_lambda_ends_us(rig: Rig, fault: Callable[..., None]) -> None:
    """Two seconds before the deadline the client gets a 504; what may be billed is booked as an estimate."""
    rig.upstream.default = fault
    context = Context(seconds=2.4)

    client = rig.chat(stream=False, context=context)

    assert client.status == 504
    assert client.json["error"]["code"] == "upstream_timeout"
    assert context.get_remaining_time_in_millis() > 500
    outcome, prompt, _, estimated = booked(rig)
    assert (outcome, estimated) == ("upstream_timeout", True)
    assert prompt > 0


@pytest.mark.parametrize("gap", [60, 0.01], ids=["hangs", "is endless"])
def test_a_stream_that_outlasts_us_ends_with_an_error_event(rig: Rig, gap: float) -> None:
    """Heard so far, then the timeout in band, settled, while there is still time to."""

    def act(wire: Wire, _request: Request) -> None:
        wire.start_events()
        for _ in range(2000):
            wire.event(chunk("la"))
            wire.pause(gap)

    rig.upstream.default = act
    context = Context(seconds=2.5)

    client = rig.chat(context=context)

    assert client.status == 200
    assert client.text.startswith("la")
    assert client.events[-1]["error"]["code"] == "upstream_timeout"
    assert context.get_remaining_time_in_millis() > 500
    assert booked(rig)[0] == "upstream_timeout"


def test_a_connection_serves_the_next_request(rig: Rig) -> None:
    """Whole, streamed and refused answers leave it usable."""
    rig.upstream.script = [well, well, status("400 Bad Request", b'{"error":{"message":"no"}}')]
    for stream in (True, False, True, True, False):
        rig.chat(stream=stream)

    assert rig.upstream.connections == 1


def test_a_connection_held_open_behind_the_end_is_not_waited_for(rig: Rig) -> None:
    """`[DONE]` is the end, whatever the provider does with its connection; the next request takes another."""
    rig.upstream.script = [events(*FULL, end=lambda wire: wire.hang())]

    context = Context(seconds=30)
    assert rig.chat(context=context).events[-1] == "[DONE]"
    assert context.get_remaining_time_in_millis() > 15_000
    assert rig.chat().events[-1] == "[DONE]"
    assert rig.upstream.connections == 2


def test_a_connection_closed_while_idle_is_not_used(rig: Rig) -> None:
    """One that was seen to close goes unnoticed; one that closes when it has the request has cost a try."""
    closed = threading.Event()

    def then_close(wire: Wire, request: Request) -> None:
        well(wire, request)
        wire.close()
        closed.set()

    rig.upstream.script = [then_close]
    assert rig.chat().status == 200
    assert closed.wait(5)
    assert rig.chat().status == 200

    assert rig.lines[-1]["tries"] == 1

    rig.upstream.script = [lambda wire, _request: wire.close()]
    assert rig.chat().status == 200
    assert rig.lines[-1]["tries"] == 2
