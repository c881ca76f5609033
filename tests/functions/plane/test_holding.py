"""The start of a stream waits for its first word: until then another target can still serve, and nobody notices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.functions.plane.languages import LANGUAGES, ask, said
from tests.functions.plane.rig import Client, chunk, well
from tests.functions.plane.upstream import head
from tests.providers.wires import anthropic, gemini
from tests.providers.wires.wire import Story

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functions.plane.languages import Language
    from tests.functions.plane.rig import Rig
    from tests.functions.plane.upstream import Request, Wire

CLAUDE = anthropic.stream(Story(texts=("Hi",)))  # a start, a ping, an empty block, and then words
OVERLOADED = anthropic.event({"type": "error", "error": {"type": "overloaded_error", "message": "no"}})
ROLE = b"data: " + chunk("") + b"\n\n"
FAILED = b'data: {"error":{"message":"no","code":503}}\n\n'
STARTS = {  # by model: what says nothing yet, and what fails then
    "both": ([ROLE], FAILED),
    "claude": (CLAUDE[:3], OVERLOADED),
    "gemini": (
        [gemini.event({"candidates": [{"content": {"role": "model", "parts": [{"text": ""}]}}]})],
        gemini.event({"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}}),
    ),
}
WELL = {"claude": b"".join(CLAUDE), "gemini": b"".join(gemini.stream(Story(texts=("Hi",))))}

LATE = {  # by model: what says nothing yet, a sign of life, and the rest
    "gpt-4o": ((ROLE,), ROLE, (b"data: " + chunk("Hi", "stop") + b"\n\n", b"data: [DONE]\n\n")),
    "claude": (CLAUDE[:3], CLAUDE[1], CLAUDE[3:]),
}

told = pytest.mark.parametrize(
    ("name", "model"), [("chat", "gpt-4o"), ("responses", "gpt-4o"), ("messages", "gpt-4o"), ("messages", "claude")]
)
each_language = pytest.mark.parametrize("name", LANGUAGES)


def sends(*frames: bytes) -> Callable[[Wire, Request], None]:
    """Answer with this stream."""
    return lambda wire, _request: wire.answer(b"".join(frames), kind="text/event-stream")


def begun(wire: Wire, *frames: bytes, kind: str = "text/event-stream") -> None:
    """Begin to answer with this stream."""
    wire.send(head("200 OK", {"content-type": kind, "transfer-encoding": "chunked"}))
    for frame in frames:
        sent(wire, frame)


def sent(wire: Wire, frame: bytes) -> None:
    """Go on with a frame."""
    wire.send(b"%x\r\n%b\r\n" % (len(frame), frame))


def came(client: Client, wire: Wire, count: int) -> bool:
    """Wait until the client has so many chunks."""
    for _ in range(1000):
        if len(client.chunks) >= count:
            return True
        wire.pause(0.01)
    return False


def asks(rig: Rig, language: Language, model: str, client: Client) -> None:
    """Ask for a stream, with a client that somebody watches."""
    rig.call("POST", language.path, {"model": model, **language.fields, "stream": True}, client=client)


def one_answer(client: Client, language: Language) -> None:
    """Hold a stream to what a client of this language takes for one answer."""
    assert (client.status, said(client)[:2], client.body.count(language.last)) == (200, "Hi", 1)
    assert language.failed not in client.body
    for start in (b'"delta":{"role"', b'"type":"message_start"', b'"type":"response.created"'):
        assert client.body.count(start) <= 1


@each_language
@pytest.mark.parametrize("model", STARTS)
def test_a_failure_behind_a_start_is_never_seen(rig: Rig, model: str, name: str) -> None:
    """The answer is the next try's, from its own start to its end."""
    start, failure = STARTS[model]
    rig.upstream.script = [sends(*start, failure)]
    rig.upstream.default = sends(WELL[model]) if model in WELL else well
    client = ask(rig, LANGUAGES[name], model, stream=True)
    one_answer(client, LANGUAGES[name])
    assert (rig.lines[-1]["outcome"], rig.lines[-1]["tries"], rig.leases()) == ("ok", 2, 0)


@each_language
def test_the_start_leaves_with_the_first_word_and_then_all_at_once(rig: Rig, name: str) -> None:
    """The provider goes on only when the client holds what was said; what says nothing by itself is not waited for."""
    client, language = Client(), LANGUAGES[name]

    def step_by_step(wire: Wire, _request: Request) -> None:
        begun(wire, *CLAUDE[:4])
        good = came(client, wire, 1)
        sent(wire, CLAUDE[4])
        for frame in CLAUDE[5:] if good and came(client, wire, 2) else ():
            sent(wire, frame)
        wire.end_events()

    rig.upstream.default = step_by_step
    asks(rig, language, "claude", client)
    one_answer(client, language)
    assert b"H" in client.chunks[0]


def test_a_ping_behind_the_first_word_leaves_by_itself(rig: Rig) -> None:
    """It is for the client to know that nothing hangs."""
    client, language = Client(), LANGUAGES["messages"]

    def step_by_step(wire: Wire, _request: Request) -> None:
        begun(wire, *CLAUDE[:4])
        came(client, wire, 1)
        sent(wire, CLAUDE[1])
        for frame in CLAUDE[4:] if came(client, wire, 2) else ():
            sent(wire, frame)
        wire.end_events()

    rig.upstream.default = step_by_step
    asks(rig, language, "claude", client)
    one_answer(client, language)
    assert b"event: ping\n" in client.chunks[1]


@told
@pytest.mark.parametrize("silent", [True, False], ids=["silent", "pinging"])
def test_a_long_silence_is_no_hang(rig: Rig, name: str, model: str, silent: bool) -> None:  # noqa: FBT001
    """A start that is followed by no word for long enough leaves: clients wait only so long for a first byte."""
    client, language = Client(), LANGUAGES[name]
    start, sign, rest = LATE[model]

    def late(wire: Wire, _request: Request) -> None:
        begun(wire, *start)
        for _ in range(1000):
            if client.chunks:
                break
            wire.pause(0.01)
            if not silent:
                sent(wire, sign)
        for frame in rest:
            sent(wire, frame)
        wire.end_events()

    rig.upstream.default = late
    asks(rig.waiting(0.05), language, model, client)
    one_answer(client, language)
    assert b"H" not in client.chunks[0]


@told
def test_what_fails_behind_a_start_that_has_left_is_told_in_the_stream(rig: Rig, name: str, model: str) -> None:
    """Nothing is tried again then."""
    client, language = Client(), LANGUAGES[name]

    def fails(wire: Wire, _request: Request) -> None:
        begun(wire, *LATE[model][0])
        if came(client, wire, 1):
            sent(wire, FAILED if model == "gpt-4o" else OVERLOADED)
        wire.end_events()

    rig.upstream.default = fails
    asks(rig.waiting(0.05), language, model, client)
    assert (client.status, len(rig.upstream.requests)) == (200, 1)
    assert client.body.split(b"\n\n")[-2].startswith(language.failed)
    assert (rig.lines[-1]["outcome"][:9], rig.leases()) == ("upstream_", 0)


@pytest.mark.parametrize("raced", [False, True], ids=["in time", "raced"])
def test_a_hedge_that_was_won_by_a_start_is_still_served(rig: Rig, raced: bool) -> None:  # noqa: FBT001
    """Whoever begins first may fail first: then the other one is asked."""

    def act(wire: Wire, request: Request) -> None:
        if request.json["model"] == "two" and len(rig.upstream.requests) > 1 + raced:
            return well(wire, request)
        if raced and request.json["model"] == "one":
            return wire.hang(30)
        return sends(ROLE, FAILED)(wire, request)

    rig.upstream.default = act
    client = rig.chat(model="hedged")
    assert (client.status, client.text, client.headers["x-nexus-provider"]) == (200, "Hi there", "second")
    assert [request.json["model"] for request in rig.upstream.requests] == ["one", "two", "two"][: 2 + raced]
    assert rig.leases() == 0
