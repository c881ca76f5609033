"""Of two targets that are asked the first to say a word serves: no role, empty block or ping decides."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.functions.plane.languages import LANGUAGES, ask, said
from tests.functions.plane.rig import ANSWER, Client, chunk
from tests.functions.plane.test_holding import ROLE, begun, came, one_answer, sent
from tests.providers.wires import anthropic, bedrock, gemini
from tests.providers.wires.wire import Story

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functions.plane.rig import Rig
    from tests.functions.plane.upstream import Request, Wire

    Act = Callable[[Wire, Request], None]

HANGS = 30.0  # seconds: far more than a test may take
HI = Story(texts=("Hi",))
CLAUDE, NOVA, GEMINI = anthropic.stream(HI), bedrock.stream(HI), gemini.stream(HI)
STARTS = {  # by model: what its provider's path has in it, what says nothing yet, and all of an answer
    "raced-gpt": ("/v1/chat", [ROLE], [b"data: " + chunk("Hi", "stop") + b"\n\n", b"data: [DONE]\n\n"]),
    "raced-claude": ("/v1/messages", CLAUDE[:3], CLAUDE),
    "raced-gemini": (
        ":streamGenerate",
        [gemini.event({"candidates": [{"content": {"role": "model", "parts": [{"text": ""}]}, "index": 0}]})],
        GEMINI,
    ),
    "raced-nova": ("/converse-stream", NOVA[:1], NOVA),
}
CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
WORDS = {  # what may come first, as OpenAI has it
    "a text": {"content": "Hi"},
    "a call": {"tool_calls": [CALL]},
    "a thought": {"reasoning_content": "Hm"},
    "an end": {},
}
NOTHING_LEFT = b'data: {"error":{"message":"no","code":503}}\n\n'

each_start = pytest.mark.parametrize("model", STARTS)


def by_path(*acts: tuple[str, Act]) -> Act:
    """Do what is said for who asks at a path with this in it."""

    def act(wire: Wire, request: Request) -> None:
        [found] = [one for part, one in acts if part in request.path]
        found(wire, request)

    return act


def streams(frames: list[bytes], wire: Wire, request: Request) -> None:
    """Answer so at once."""
    wire.answer(b"".join(frames), kind=type_at(request.path))


def type_at(path: str) -> str:
    """Return the content type of streams there."""
    return bedrock.WIRE.stream_type if "converse" in path else "text/event-stream"


def stalls(frames: list[bytes], wire: Wire, request: Request) -> None:
    """Begin at once, and say no word."""
    begun(wire, *frames, kind=type_at(request.path))
    wire.hang(HANGS)


def asked(rig: Rig) -> list[str]:
    """The first parts of the paths that were asked, in their order."""
    return [request.path for request in rig.upstream.requests]


def failures(rig: Rig, target: str) -> int:
    """How often in a row this target has failed."""
    return int(rig.valkey.hget(f"{{default}}:target:{target}", "fails") or 0)


@each_start
@pytest.mark.parametrize("name", ["chat", "responses", "messages"])
def test_a_start_that_stalls_does_not_win(rig: Rig, model: str, name: str) -> None:
    """Whoever speaks serves, from its own start to its end; the other one is settled, and counts as failed."""
    path, start, _ = STARTS[model]
    spare = [b"data: " + chunk("Hi", "stop") + b"\n\n", b"data: [DONE]\n\n"]
    rig.upstream.default = by_path((path, partial(stalls, start)), ("/second", partial(streams, spare)))
    client = ask(rig, LANGUAGES[name], model, stream=True)
    one_answer(client, LANGUAGES[name])
    assert (client.headers["x-nexus-provider"], len(asked(rig))) == ("second", 2)
    assert [failures(rig, one.id) for one in rig.gateway.catalog.models[model].targets] == [1, 0]
    assert (rig.lines[-1]["outcome"], rig.lines[-1]["tries"], rig.leases(), len(rig.usage())) == ("ok", 2, 0, 1)


@each_start
def test_a_spare_that_only_starts_does_not_win_either(rig: Rig, model: str) -> None:
    """The first one speaks late, and is passed on whole, what came of it before included; no try is doubled."""
    path, start, rest = STARTS[model]

    def late(wire: Wire, request: Request) -> None:
        begun(wire, *rest[: len(start)] if rest[0] == start[0] else start, kind=type_at(request.path))
        for _ in range(1000):
            if len(rig.upstream.requests) > 1:
                break
            wire.pause(0.01)
        wire.pause(0.05)
        for frame in rest[len(start) :] if rest[0] == start[0] else rest:
            sent(wire, frame)
        wire.end_events()

    rig.upstream.default = by_path((path, late), ("/second", partial(stalls, [ROLE, ROLE])))
    client = ask(rig, LANGUAGES["chat"], model, stream=True)
    one_answer(client, LANGUAGES["chat"])
    assert (client.headers["x-nexus-model"], len(asked(rig))) == (model, 2)
    assert client.headers["x-nexus-provider"] != "second"
    assert failures(rig, "second:two") == 0


@pytest.mark.parametrize("word", WORDS)
def test_every_kind_of_word_decides(rig: Rig, word: str) -> None:
    """And leaves at once: the provider goes on only when the client has it."""
    client = Client()
    said_first = {"choices": [{"index": 0, "delta": WORDS[word], "finish_reason": None if WORDS[word] else "stop"}]}

    def step_by_step(wire: Wire, _request: Request) -> None:
        begun(wire, b"data: " + json.dumps({**json.loads(chunk()), **said_first}).encode() + b"\n\n")
        if came(client, wire, 1):
            sent(wire, b"data: " + chunk(finish="stop") + b"\n\n")
            sent(wire, b"data: [DONE]\n\n")
        wire.end_events()

    rig.upstream.default = by_path(("/v1/chat", partial(stalls, [ROLE])), ("/second", step_by_step))
    rig.chat(model="raced-gpt", client=client)
    assert (client.status, client.headers["x-nexus-provider"]) == (200, "second")
    assert client.events[-1] == "[DONE]"


def test_a_failure_behind_a_start_does_not_end_the_race(rig: Rig) -> None:
    """A slow one that is good is waited for while the one asked beside it fails: nothing of the failure is seen."""

    def slow(wire: Wire, request: Request) -> None:
        for _ in range(1000):
            if len(asked(rig)) > 2:
                break
            wire.pause(0.01)
        streams(STARTS["raced-gpt"][2], wire, request)

    rig.upstream.default = by_path(("/v1/chat", slow), ("/second", partial(streams, [ROLE, NOTHING_LEFT])))
    client = rig.chat(model="raced-gpt")
    assert (client.status, client.text, client.headers["x-nexus-provider"]) == (200, "Hi", "openai")
    assert len([path for path in asked(rig) if "second" in path]) == 2  # after as long again, once more, and no oftener
    assert (rig.lines[-1]["tries"], rig.lines[-1]["outcome"], rig.leases()) == (3, "ok", 0)
    assert failures(rig, "openai:one") == 0


@pytest.mark.parametrize("fault", ["HTML", "nonsense", "half"])
def test_a_whole_answer_that_is_none_does_not_win(rig: Rig, fault: str) -> None:
    """It must be complete, and one that can be read."""
    good = json.dumps(ANSWER).encode()

    def slow(wire: Wire, _request: Request) -> None:
        while len(asked(rig)) < 2:
            wire.pause(0.01)
        wire.pause(0.1)
        wire.answer(good)

    def bad(wire: Wire, _request: Request) -> None:
        if fault == "half":
            wire.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n" + good[:20])
            wire.hang(HANGS)
        wire.answer(
            b"{nonsense" if fault == "nonsense" else good, kind="text/html" if fault == "HTML" else "application/json"
        )

    rig.upstream.default = by_path(("/v1/chat", slow), ("/second", bad))
    client = rig.chat(model="raced-gpt", stream=False)
    assert (client.status, client.headers["x-nexus-provider"]) == (200, "openai")
    assert client.json["choices"][0]["message"]["content"] == "Hi there"


def test_nobody_waits_longer_for_a_first_byte_than_before(rig: Rig) -> None:
    """When no one speaks the start of one leaves in time, and it is that one that goes on; the other is cut off."""
    client = Client()

    def late(wire: Wire, request: Request) -> None:
        begun(wire, ROLE, kind=type_at(request.path))
        if came(client, wire, 1):
            sent(wire, b"data: " + chunk("Hi", "stop") + b"\n\n")
        wire.end_events()

    rig.upstream.default = by_path(("/v1/chat", late), ("/second", partial(stalls, [])))
    rig.waiting(0.5).chat(model="raced-gpt", client=client)
    assert (said(client), client.headers["x-nexus-provider"], len(asked(rig))) == ("Hi", "openai", 2)
    assert failures(rig, "second:two") == 0


def test_the_loser_pays_its_prompt_and_no_more(rig: Rig) -> None:
    """One that has begun and said nothing is charged as one that was cut off before it had begun."""
    costs = []
    for start in ([], [ROLE]):
        rig.valkey.delete("{default}:usage")
        rig.upstream.script = [partial(stalls, start)]
        assert rig.chat(model="alone").status == 200
        costs.append(int(rig.usage()[0]["cost"]))
    assert costs[0] == costs[1] > 9 * 2_500 + 2 * 10_000
