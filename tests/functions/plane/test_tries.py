"""A provider that fails, refuses or makes no sense: who is asked again, what the client hears, what is booked."""

from __future__ import annotations

import gzip
import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.functions.plane.acts import FULL, booked, events, raw, status
from tests.functions.plane.rig import ANSWER, chunk

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functions.plane.rig import Rig
    from tests.functions.plane.upstream import Wire


CUT = [
    ("a clean close", lambda wire: wire.end_events()),
    ("a close in the body", lambda wire: wire.close()),
    ("a reset", lambda wire: wire.reset()),
    ("half an event", lambda wire: (wire.send(b'20\r\ndata: {"choices":[{"index":0,'), wire.close())),
    ("a broken chunk", lambda wire: (wire.send(b"zz\r\n"), wire.close())),
    ("an error event", lambda wire: wire.event(b'{"error":{"message":"overloaded","type":"server_error"}}')),
    ("bad JSON", lambda wire: wire.event(b"{nonsense")),
]


@pytest.mark.parametrize("end", [end for _, end in CUT], ids=[name for name, _ in CUT])
def test_a_stream_that_breaks_says_so_in_band(rig: Rig, end: Callable[[Wire], None]) -> None:
    """What was heard has left; then comes an error event and no `[DONE]`; what was heard is booked; no further try."""
    rig.upstream.script = [events(chunk("Hi"), chunk(" there"), end=end)]

    client = rig.chat()

    assert client.status == 200
    assert client.text == "Hi there"
    assert client.events[-1]["error"]["code"]
    assert client.events[-1]["error"].keys() >= {"message", "type", "code", "param"}
    assert len(rig.upstream.requests) == 1
    outcome, prompt, completion, estimated = booked(rig)
    assert outcome == client.events[-1]["error"]["code"]
    assert estimated
    assert prompt > 0
    assert completion >= 2


FAULTS: list[tuple[str, Callable[..., None], int]] = [
    ("closes before the head", lambda wire, _request: wire.close(), 502),
    ("resets before the head", lambda wire, _request: wire.reset(), 502),
    ("is no HTTP", raw(b"SSH-2.0-OpenSSH\r\n"), 502),
    ("half a head", raw(b"HTTP/1.1 200 OK\r\ncontent-ty"), 502),
    ("200 headers", raw(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n"), 502),
    ("a page", status("200 OK", b"<html>down</html>", "text/html"), 502),
    ("a redirect", status("302 Found", location="http://169.254.169.254/"), 502),
    ("compressed", status("200 OK", gzip.compress(bytes(1_000_000)), **{"content-encoding": "gzip"}), 502),
    ("a 500", status("500 Internal Server Error", b"oops", "text/plain"), 502),
    ("a 503", status("503 Service Unavailable", b"<html>", "text/html"), 503),
]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("fault", "code"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_a_fault_before_the_first_chunk_is_a_real_http_error(
    rig: Rig, fault: Callable[..., None], code: int, *, stream: bool
) -> None:
    """Three tries with growing pauses, then the envelope with the right status; booked once."""
    rig.upstream.script = [fault] * 3

    client = rig.chat(stream=stream)

    assert client.status == code, client.body
    assert client.json["error"].keys() >= {"message", "type", "code", "param"}
    assert len(rig.upstream.requests) == 3
    assert [0 <= pause <= most for pause, most in zip(rig.pauses, [1, 2], strict=True)] == [True, True]
    assert booked(rig)[0] == client.json["error"]["code"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("name", "fault"), [fault[:2] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_a_passing_fault_is_not_seen(rig: Rig, name: str, fault: Callable[..., None], *, stream: bool) -> None:
    """Once or twice wrong, then right: the client gets the answer; a try that no status refused may be billed too."""
    rig.upstream.script = [fault, fault]

    client = rig.chat(stream=stream)

    assert client.status == 200
    outcome, prompt, completion, estimated = booked(rig)
    assert (outcome, completion) == ("ok", 2)
    assert (prompt == 9, estimated) == ((True, False) if name in {"a 500", "a 503"} else (False, True))
    assert rig.lines[-1]["tries"] == 3


def test_a_lost_answer_is_not_forgotten_over_a_refusal(rig: Rig) -> None:
    """The first try may be billed, though the last was refused."""
    rig.upstream.script = [lambda wire, _request: wire.reset(), *[status("503 Service Unavailable")] * 2]

    rig.chat(stream=False)

    outcome, prompt, completion, estimated = booked(rig)
    assert (outcome, completion, estimated) == ("upstream_unavailable", 0, True)
    assert prompt > 0


def test_json_for_a_stream_is_an_error(rig: Rig) -> None:
    """An SDK would take it for an empty answer."""
    rig.upstream.script = [status("200 OK", json.dumps(ANSWER).encode())] * 3

    assert rig.chat().status == 502


def test_a_stream_for_json_is_an_error(rig: Rig) -> None:
    """Likewise."""
    rig.upstream.script = [events(*FULL)] * 3

    assert rig.chat(stream=False).status == 502


@pytest.mark.parametrize("line", ["400 Bad Request", "404 Not Found", "422 Unprocessable Entity"])
def test_a_refusal_by_the_provider_is_passed_on_and_not_repeated(rig: Rig, line: str) -> None:
    """The request itself is at fault; nothing is billed for it."""
    body = {"error": {"message": "Unknown parameter", "type": "invalid_request_error", "param": "foo", "code": "bad"}}
    rig.upstream.script = [status(line, json.dumps(body).encode())]

    client = rig.chat()

    assert client.status == int(line[:3]), client.body
    assert client.json["error"]["code"] == "bad"
    assert len(rig.upstream.requests) == 1
    assert booked(rig)[:3] == ("upstream_refused", 0, 0)  # what a provider makes up is no dimension of a metric


def test_a_rate_limit_of_the_provider_that_lasts_is_passed_on_at_once(rig: Rig) -> None:
    """Whoever wants us to wait 20 s is not asked again; the client learns how long."""
    rig.upstream.script = [status("429 Too Many Requests", b"{}", **{"retry-after": "20"})]

    client = rig.chat()

    assert client.status == 429
    assert client.headers["retry-after"] == "20"
    assert len(rig.upstream.requests) == 1


def test_a_pause_between_tries_is_no_overhead_of_ours(rig: Rig) -> None:
    """What is waited before asking again counts as the provider's time."""
    waited: list[float] = []

    def pause(_seconds: float) -> None:
        began = time.perf_counter()
        time.sleep(0.05)
        waited.append(time.perf_counter() - began)

    rig.gateway = rig.gateway._replace(pause=pause)
    rig.upstream.script = [status("503 Service Unavailable")] * 3

    began = time.perf_counter()
    rig.chat()

    assert len(waited) == 2
    assert rig.lines[-1]["Overhead"] <= (time.perf_counter() - began - sum(waited)) * 1000


def test_the_next_target_is_asked_without_a_pause(rig: Rig) -> None:
    """A model with two targets: the second serves, and is named."""
    rig.upstream.script = [status("503 Service Unavailable")]

    client = rig.chat(model="both")

    assert client.text == "Hi there"
    assert [request.path for request in rig.upstream.requests] == ["/v1/chat/completions", "/second/chat/completions"]
    assert client.headers["x-nexus-provider"] == "second"
    assert rig.pauses == []


def test_a_provider_that_is_not_there_costs_nothing(rig: Rig) -> None:
    """Connection refused, three times: 503, booked with no tokens."""
    rig.upstream.stop()

    client = rig.chat()

    assert client.status == 503
    assert client.json["error"]["code"] == "upstream_unavailable"
    assert booked(rig) == ("upstream_unavailable", 0, 0, False)
