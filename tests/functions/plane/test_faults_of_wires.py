"""Faults that only one provider's language has, on their way to clients of every language."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.functions.plane.faults import TRIES
from tests.functions.plane.languages import LANGUAGES, ask, kind, said
from tests.providers.wires import anthropic, bedrock, gemini
from tests.providers.wires.wire import Story

if TYPE_CHECKING:
    from tests.functions.plane.rig import Rig
    from tests.functions.plane.upstream import Request, Wire

STORY = Story(texts=("Hi there",))
TARGETS = {
    "claude": ("claude:claude-1", "text/event-stream"),
    "gemini": ("gemini:gemini-1", "text/event-stream"),
    "nova": ("bedrock:us.nova-1:0", "application/vnd.amazon.eventstream"),
}
CODES = {429: "rate_limit_exceeded", 502: "upstream_error", 503: "upstream_unavailable"}
CLAUDE, GEMINI, NOVA = anthropic.stream(STORY), gemini.stream(STORY), bedrock.stream(STORY)


def overloaded(type_: str = "overloaded_error") -> bytes:
    """Write Anthropic's event of a failure."""
    return anthropic.event({"type": "error", "error": {"type": type_, "message": "Overloaded"}})


def unwell(status: str) -> bytes:
    """Write Gemini's."""
    return gemini.event({"error": {"code": 503, "message": "no", "status": status}})


def exception(kind: str) -> bytes:
    """Write Bedrock's."""
    return bedrock.frame({"message": "no"}, message_type="exception", exception_type=kind)


EMPTY = gemini.event({"candidates": [{"content": {"role": "model", "parts": [{"text": ""}]}, "index": 0}]})


class Fault(NamedTuple):
    """What a model's provider streams, each time, and the status that stands for what becomes of it."""

    model: str
    stream: list[bytes]
    status: int
    fails: int = TRIES


def before(model: str, status: int, *stream: bytes, fails: int = TRIES) -> Fault:
    """Fail before anything was said."""
    return Fault(model, list(stream), status, fails)


BEFORE = {
    "overloaded": before("claude", 503, overloaded()),
    "overloaded behind a start and a ping": before("claude", 503, *CLAUDE[:2], overloaded()),
    "overloaded behind an empty block": before("claude", 503, *CLAUDE[:3], overloaded()),
    "limited behind a start": before("claude", 429, CLAUDE[0], overloaded("rate_limit_error"), fails=0),
    "cut behind an empty block": before("claude", 502, *CLAUDE[:3]),
    "limited": before("claude", 429, overloaded("rate_limit_error"), fails=0),
    "another error": before("claude", 502, overloaded("api_error")),
    "nothing but pings": before("claude", 502, *CLAUDE[:2]),
    "no candidates": before("gemini", 502, gemini.event({"candidates": []})),
    "an error at first": before("gemini", 503, unwell("UNAVAILABLE")),
    "an error behind an empty candidate": before("gemini", 503, EMPTY, unwell("UNAVAILABLE")),
    "cut behind an empty candidate": before("gemini", 502, EMPTY),
    "exhausted": before("gemini", 429, unwell("RESOURCE_EXHAUSTED"), fails=0),
    "throttled": before("nova", 429, exception("throttlingException"), fails=0),
    "not ready": before("nova", 503, NOVA[0], exception("modelNotReadyException")),
    "a sum that is wrong": before("nova", 502, NOVA[0][:-1] + b"?"),
}
WHILE = {
    "overloaded": Fault("claude", [*CLAUDE[:5], overloaded()], 503),
    "another error": Fault("claude", [*CLAUDE[:5], overloaded("api_error")], 502),
    "cut": Fault("claude", CLAUDE[:5], 502),
    "cut before the last event": Fault("claude", CLAUDE[:-1], 502),
    "an error": Fault("gemini", [*GEMINI[:2], unwell("UNAVAILABLE")], 503),
    "a reason to stop that is none": Fault(
        "gemini", [*GEMINI[:2], gemini.event({"candidates": [{"finishReason": "MALFORMED_RESPONSE"}]})], 502
    ),
    "no reason to stop": Fault("gemini", GEMINI[:2], 502),
    "an exception": Fault("nova", [*NOVA[:3], exception("modelStreamErrorException")], 502),
    "unavailable": Fault("nova", [*NOVA[:3], exception("serviceUnavailableException")], 503),
    "a sum that is wrong": Fault("nova", [*NOVA[:3], NOVA[3][:-1] + b"?"], 502),
    "half a frame": Fault("nova", [*NOVA[:3], NOVA[3][:20]], 502),
}
GOOD = {
    "pings and what nobody knows": ("claude", [p for one in CLAUDE for p in (anthropic.WIRE.unknown, one)]),
    "events of unknown kinds": ("nova", [p for one in NOVA for p in (bedrock.WIRE.unknown, one)]),
    "signs of life": ("gemini", [p for one in GEMINI for p in (gemini.WIRE.unknown, one)]),
}

each_language = pytest.mark.parametrize("name", LANGUAGES)


def streams(rig: Rig, model: str, frames: list[bytes]) -> None:
    """Have the provider answer so, whatever it is asked."""

    def act(wire: Wire, _request: Request) -> None:
        wire.answer(b"".join(frames), kind=TARGETS[model][1])

    rig.upstream.default = act


def state(rig: Rig, model: str) -> tuple[str, int, int]:
    """Return the one outcome, the failures that were counted, and how often was asked; no slot is held."""
    [use] = rig.usage()
    assert rig.leases() == 0
    fails = rig.valkey.hget(f"{{default}}:target:{TARGETS[model][0]}", "fails")
    return use["outcome"], int(fails or 0), len(rig.upstream.requests)


@each_language
@pytest.mark.parametrize("fault", BEFORE)
def test_a_fault_before_the_first_word(rig: Rig, fault: str, name: str) -> None:
    """It is a status, as other targets are asked; a limit does not count as a failure."""
    model, frames, status, fails = BEFORE[fault]
    streams(rig, model, frames)
    client = ask(rig, LANGUAGES[name], model, stream=True)
    assert (client.status, client.json["error"]["type"]) == (status, kind(LANGUAGES[name], status))
    assert state(rig, model) == (CODES[status], fails, TRIES)


@each_language
@pytest.mark.parametrize("fault", WHILE)
def test_a_fault_behind_the_first_word(rig: Rig, fault: str, name: str) -> None:
    """It is an event in the client's own language, behind what was said; nothing is tried again."""
    model, frames, status, _ = WHILE[fault]
    streams(rig, model, frames)
    client = ask(rig, LANGUAGES[name], model, stream=True)
    assert (client.status, said(client)[:2]) == (200, "Hi")
    last = client.body.split(b"\n\n")[-2]
    assert last.startswith(LANGUAGES[name].failed)
    assert json.loads(last.partition(b"data: ")[2])["error"]["code"] == CODES[status]
    assert LANGUAGES[name].last not in client.body
    assert state(rig, model) == (CODES[status], 1, 1)
    [use] = rig.usage()
    assert int(use["completion"]) > 0


@each_language
@pytest.mark.parametrize("oddity", GOOD)
def test_what_is_new_there_is_passed_over(rig: Rig, oddity: str, name: str) -> None:
    """All that was said arrives, with its end."""
    model, frames = GOOD[oddity]
    streams(rig, model, frames)
    client = ask(rig, LANGUAGES[name], model, stream=True)
    assert (client.status, said(client)) == (200, "Hi there")
    assert client.body.count(LANGUAGES[name].last) == 1
    assert state(rig, model) == ("ok", 0, 1)


@each_language
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_prompt_that_gemini_blocks_is_refused(rig: Rig, name: str, stream: bool) -> None:  # noqa: FBT001
    """By the model, as it were: an answer, which nobody else is asked for, and no failure."""
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 7}}
    if stream:
        streams(rig, "gemini", [gemini.event(blocked)])
    else:
        rig.upstream.default = lambda wire, _request: wire.answer(json.dumps(blocked).encode())
    client = ask(rig, LANGUAGES[name], "gemini", stream=stream)
    assert client.status == 200
    assert b"refuses this prompt" in client.body
    assert LANGUAGES[name].failed not in client.body
    assert state(rig, "gemini") == ("ok", 0, 1)
    assert rig.usage()[0]["prompt"] == "7"
