"""The fault matrix: whatever a provider does, streamed or whole, it ends in time, honestly, and leaves nothing held.

Each fault hits every try. The answer is the right error, or a stream that says that it broke; the slot is free, the
money that was reserved is given back or charged, one settlement keeps the usage, and the breaker has counted what is
the provider's doing. `tests/e2e/test_silent_damage.py` has the official SDKs look at more of them.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from shared.core.pricing import NANO
from tests.functions.plane.rig import ANSWER, KEY, chunk, item

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functions.plane.rig import Rig
    from tests.functions.plane.upstream import Request, Wire

    Act = Callable[[Wire, Request], None]

SECRET = "sk-provider-secret"
LONGEST = 20.0  # seconds, for three tries of at most 0.6 each on a slow machine
TRIES = 3
ECHO = json.dumps({"error": {"message": f"Incorrect API key provided: {SECRET}"}}).encode()


class Fault(NamedTuple):
    """What the provider does; what a whole answer and a stream become; how many failures the breaker counts."""

    act: Act
    whole: int
    stream: int
    fails: int = TRIES


def status(line: str, body: bytes = b"{}", kind: str = "application/json", **headers: str) -> Act:
    """Answer with a status."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda wire, _request: wire.answer(body, line, kind, **told)


def raw(data: bytes, *, close: bool = True) -> Act:
    """Send bytes, then close or hang."""

    def act(wire: Wire, _request: Request) -> None:
        wire.send(data)
        if close:
            wire.close()
        else:
            wire.hang()

    return act


def head(kind: str, size: int = 100) -> bytes:
    """Begin an answer of so many bytes."""
    return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {size}\r\n\r\n".encode()


def endless(wire: Wire, _request: Request) -> None:
    """Trickle spaces for ever, on whichever kind of answer."""
    wire.send(head("application/json" if not _request.json.get("stream") else "text/event-stream", 10**6))
    while True:
        wire.send(b" ")
        wire.pause(0.02)


JSON, EVENTS = "application/json", "text/event-stream"
FAULTS: dict[str, Fault] = {
    "429": Fault(status("429 Too Many Requests"), 429, 429, 0),
    "429 in seconds": Fault(status("429 Too Many Requests", retry_after="1"), 429, 429, 0),
    "429 in milliseconds": Fault(status("429 Too Many Requests", retry_after_ms="1"), 429, 429, 0),
    "429 for 1e308 s": Fault(status("429 Too Many Requests", retry_after="1e308"), 429, 429, 0),
    "no credit": Fault(status("429 Too Many Requests", b'{"error":{"code":"insufficient_quota"}}'), 502, 502, 1),
    "500": Fault(status("500 Internal Server Error"), 502, 502),
    "502": Fault(status("502 Bad Gateway", b"<html>", "text/html"), 502, 502),
    "503": Fault(status("503 Service Unavailable"), 503, 503),
    "504": Fault(status("504 Gateway Timeout"), 504, 504),
    "529": Fault(status("529 Overloaded"), 503, 503),
    "401 that echoes the key": Fault(status("401 Unauthorized", ECHO), 502, 502, 1),
    "408": Fault(status("408 Request Timeout"), 504, 504),
    "400": Fault(status("400 Bad Request", b'{"error":{"message":"no"}}'), 400, 400, 0),
    "404": Fault(status("404 Not Found"), 404, 404, 0),
    "html with 200": Fault(status("200 OK", b"<html></html>", "text/html"), 502, 502),
    "nothing with 200": Fault(status("200 OK", b""), 502, 502),
    "an error with 200": Fault(status("200 OK", ECHO), 502, 502),
    "half JSON": Fault(status("200 OK", json.dumps(ANSWER).encode()[:50]), 502, 502),
    "no choices": Fault(status("200 OK", b'{"choices":[]}'), 502, 502),
    "redirect inside": Fault(status("302 Found", location="http://169.254.169.254/"), 502, 502),
    "compressed": Fault(status("200 OK", b"x", content_encoding="gzip"), 502, 502),
    "reset": Fault(lambda wire, _request: wire.reset(), 502, 502),
    "close": Fault(lambda wire, _request: wire.close(), 502, 502),
    "bad status line": Fault(raw(b"HTTP/9.9 what\r\n\r\n"), 502, 502),
    "a short body": Fault(raw(head(JSON) + b"{"), 502, 502),
    "hang before the head": Fault(raw(b"", close=False), 504, 504),
    "hang in the body": Fault(raw(head(JSON) + b" ", close=False), 504, 502),
    "hang in a stream": Fault(raw(head(EVENTS) + b": ", close=False), 502, 504),
    "trickle": Fault(endless, 504, 504),
}


def settled(rig: Rig) -> dict[str, str]:
    """Return the one settlement: nothing is held any more."""
    [use] = rig.usage()
    spend = {name.decode(): int(value) for name, value in rig.valkey.hgetall(f"{{default}}:spend:key:{KEY}").items()}
    assert (rig.leases(), rig.valkey.zcard("{default}:holds")) == (0, 0)
    assert not [name for name, value in spend.items() if name.startswith("r:") and value]
    assert spend.get("c:t", 0) == int(use["cost"])
    assert rig.lines[-1]["settled"] is True
    return use


@pytest.fixture
def frail(rig: Rig) -> Rig:
    """The rig with a key that has a budget, so that money is held; its model gives a try 0.3 s to begin, 0.6 in all."""
    rig.valkey.set("{default}:open", 1)
    rig.aws.item = item(budget={"total_nano": NANO})
    return rig


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_before_the_first_byte(frail: Rig, fault: str, stream: bool) -> None:  # noqa: FBT001 - a parameter
    """A status of its own, in bounded time; nothing of ours in the message; counted as it should be."""
    found = FAULTS[fault]
    frail.upstream.default = found.act
    began = time.monotonic()
    client = frail.chat(model="frail", stream=stream, fields={"max_tokens": 9})
    assert time.monotonic() - began < LONGEST
    assert client.status == (found.stream if stream else found.whole)
    assert {"type", "message", "code", "param"} <= client.json["error"].keys()
    assert SECRET.encode() not in client.body
    use = settled(frail)
    assert use["outcome"] == frail.lines[-1]["outcome"] != "ok"
    assert int(frail.valkey.hget("{default}:target:openai:gpt-4o-2024", "fails") or 0) == found.fails
    asked = found.fails or (TRIES if client.status == 429 else 1)
    assert len(frail.upstream.requests) == asked or "1e308" in fault


HI = b"data: " + chunk("Hi") + b"\n\n"
BREAKS: dict[str, tuple[bytes, bool]] = {
    "close": (HI, True),
    "hang": (HI, False),
    "half an event": (HI + b'data: {"choices"', True),
    "bad JSON": (HI + b"data: {nonsense\n\n", True),
    "an error event": (HI + b'event: error\ndata: {"error": {"message": "overloaded"}}\n\n', True),
    "an error member": (HI + b'data: {"error": {"message": "%b"}}\n\n' % SECRET.encode(), True),
    "bad UTF-8": (HI + b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n', True),
}


@pytest.mark.parametrize("fault", BREAKS)
def test_a_fault_behind_the_first_byte(frail: Rig, fault: str) -> None:
    """What was heard has left and is kept; an error event ends it; nothing is tried again; it counts once."""
    data, close = BREAKS[fault]
    frail.upstream.default = raw(head(EVENTS, 10**6) + data, close=close)
    began = time.monotonic()
    client = frail.chat(model="frail", fields={"max_tokens": 9})
    assert time.monotonic() - began < LONGEST
    events: list[Any] = client.events
    assert (client.status, events[0]["choices"][0]["delta"]["content"]) == (200, "Hi")
    assert events[-1]["error"]["code"] in {"upstream_error", "upstream_timeout"}
    assert SECRET.encode() not in client.body
    use = settled(frail)
    assert (use["estimated"], int(use["completion"]) > 0, int(use["cost"]) > 0) == ("1", True, True)
    assert len(frail.upstream.requests) == 1
    assert frail.valkey.hget("{default}:target:openai:gpt-4o-2024", "fails") == b"1"


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_flaky_provider_is_forgiven(frail: Rig, times: int, stream: bool) -> None:  # noqa: FBT001 - a parameter
    """What fails once or twice and then answers is an answer, and no failure is remembered."""
    frail.upstream.script = [status("500 Internal Server Error")] * times
    client = frail.chat(model="frail", stream=stream, fields={"max_tokens": 9})
    assert client.status == 200
    assert (settled(frail)["outcome"], len(frail.upstream.requests)) == ("ok", times + 1)
    assert frail.valkey.hget("{default}:target:openai:gpt-4o-2024", "fails") is None
