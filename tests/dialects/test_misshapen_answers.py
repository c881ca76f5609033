"""Valid JSON of the wrong shape: whatever a provider puts where, it is an answer or an error of theirs, never ours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from shared.core.catalog import Provider, Target
from shared.core.errors import UpstreamFailed
from shared.dialects import anthropic, completions, generate, openai, responses
from shared.providers.adapter import Head
from shared.providers.registry import adapter_for
from tests.providers.exchange import DONE, events, piece, streaming
from tests.providers.exchange import streamed as told
from tests.providers.wires import anthropic as claude
from tests.providers.wires import gemini
from tests.providers.wires.wire import HELLO, MOMENT, SECRET, Story

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.core.catalog import Kind
    from shared.dialects.dialect import Dialect, Writer
    from shared.providers.adapter import Adapter

STORY = Story(texts=("Hi",), calls=(("c1", "f", {"a": 1}),), thoughts=("Hm",), finish="tool_calls")
WRONG: tuple[Any, ...] = (None, {}, "x", 2**70, 1.5, True, [None], [["x"]], "\ud83d\n")
CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
TOKEN = {"token": "H", "logprob": -0.5, "bytes": [72]}
LOGPROBS = {"content": [{**TOKEN, "top_logprobs": [TOKEN]}]}
THOUGHTS = [{"type": "reasoning.text", "text": "Hm", "signature": "s"}]
MESSAGE = {"content": "Hi", "refusal": None, "reasoning_details": THOUGHTS, "tool_calls": [CALL]}


class Spoken(NamedTuple):
    """An answer in one provider's language: whole, and as the documents of a stream."""

    whole: Any
    stream: list[Any]
    end: bytes = b""


def spoken(found: list[bytes]) -> list[Any]:
    """Return the documents in the events of a stream."""
    return [json.loads(event.partition(b"data: ")[2]) for event in found]


WIRES = {
    "openai": Spoken(
        {**piece(), "choices": [{"message": MESSAGE, "finish_reason": "tool_calls", "logprobs": LOGPROBS}]},
        [piece({"content": "Hi"}), piece(MESSAGE), piece(finish="tool_calls"), {**piece(usage=USAGE), "choices": []}],
        DONE,
    ),
    "anthropic": Spoken(claude.message(STORY), spoken(claude.stream(STORY))),
    "gemini": Spoken(gemini.whole(STORY), spoken(gemini.stream(STORY))),
}
DIALECTS: dict[str, tuple[Dialect, dict[str, Any]]] = {
    "chat": (openai.CHAT, {"messages": HELLO}),
    "messages": (anthropic.MESSAGES, {"messages": HELLO, "max_tokens": 9}),
    "responses": (responses.RESPONSES, {"input": "x"}),
    "generate": (generate.GENERATE, {"prompt": "x"}),
    "completions": (completions.COMPLETIONS, {"prompt": "x", "echo": True}),
}


OTHERS: dict[str, tuple[Kind, Dialect, dict[str, Any], dict[str, Any]]] = {
    "vectors": (
        "embedding",
        openai.EMBEDDINGS,
        {"input": "x"},
        {"data": [{"index": 0, "embedding": [0.5, 1]}], "model": "m", "usage": USAGE},
    ),
    "verdicts": (
        "moderation",
        openai.MODERATIONS,
        {"input": "x"},
        {"id": "1", "results": [{"flagged": False, "categories": {"a": False}, "category_scores": {"a": 0.1}}]},
    ),
    "rankings": (
        "rerank",
        openai.RERANK,
        {"query": "q", "documents": ["a"]},
        {"results": [{"index": 0, "relevance_score": 0.5, "document": {"text": "a"}}], "usage": USAGE},
    ),
}
REFUSAL = {
    "error": {"message": "m", "type": "t", "code": "c", "param": "p", "details": [{"reason": "r", "retryDelay": "3s"}]},
    "message": "m",
}


def misshapen(value: Any) -> Iterator[Any]:
    """Yield `value` with each of its members, however deep, gone or replaced by something that has no place there."""
    yield from WRONG
    if isinstance(value, dict):
        for name, inner in value.items():
            yield {other: kept for other, kept in value.items() if other != name}
            yield from ({**value, name: wrong} for wrong in misshapen(inner))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from ([*value[:at], wrong, *value[at + 1 :]] for wrong in misshapen(inner))


def asked(wire: str, dialect: str, *, stream: bool, kind: Kind = "chat") -> tuple[Adapter, Writer]:
    """Return the adapter that has sent the request of such a client, and what writes the answer."""
    language, fields = DIALECTS[dialect] if kind == "chat" else OTHERS[dialect][1:3]
    request = language.parse(json.dumps({"model": "m", **({"stream": True} if stream else {}), **fields}).encode())
    adapter = adapter_for(wire, kind)(request, Target(wire, "m-1", max_output=99), Provider(wire, wire, "x"), MOMENT)
    adapter.request(SECRET)
    return adapter, language.writer(request)


def answered(wire: str, dialect: str, body: bytes, *, stream: bool, kind: Kind = "chat") -> bytes:
    """Return what a client gets of this answer, or of its refusal."""
    adapter, writer = asked(wire, dialect, stream=stream, kind=kind)
    try:
        if not stream:
            return writer.whole(adapter.reply(body), adapter.usage)
        said = b"".join(map(writer.chunk, adapter.chunk(body)))
        return said + b"".join(map(writer.chunk, adapter.end())) + writer.end(adapter.usage)
    except UpstreamFailed as error:
        return writer.failed(error)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("wire", WIRES)
def test_a_misshapen_whole_answer_is_no_mistake_of_ours(wire: str, dialect: str) -> None:
    """An exception of another kind would be a 500, and no other target would be asked."""
    for found in misshapen(WIRES[wire].whole):
        assert answered(wire, dialect, json.dumps(found).encode(), stream=False)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("wire", WIRES)
def test_a_misshapen_event_is_no_mistake_of_ours(wire: str, dialect: str) -> None:
    """Every event of a stream in its turn; no name of one breaks out of its line."""
    _, stream, end = WIRES[wire]
    for at, document in enumerate(stream):
        for wrong in misshapen(document):
            data = events([*stream[:at], wrong, *stream[at + 1 :]], done=False) + end
            out = answered(wire, dialect, data, stream=True)
            assert {line.partition(b":")[0] for line in out.split(b"\n")} <= {b"", b"data", b"event"}


@pytest.mark.parametrize("what", OTHERS)
def test_other_misshapen_answers_are_no_mistake_of_ours(what: str) -> None:
    """Vectors, verdicts and rankings."""
    kind, *_, good = OTHERS[what]
    for found in misshapen(good):
        assert answered("openai", what, json.dumps(found).encode(), stream=False, kind=kind)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("wire", [*WIRES, "bedrock"])
def test_a_misshapen_refusal_is_still_one(wire: str, dialect: str) -> None:
    """With the status that its line has, but for what is our own trouble."""
    adapter, _ = asked(wire, dialect, stream=False)
    for found in (*misshapen(REFUSAL), *misshapen([REFUSAL])):  # Gemini's may come in a list
        for status in (400, 429, 500):
            error = adapter.error(Head(status, {}), json.dumps(found).encode())
            assert error.status in {status, 502}
            assert DIALECTS[dialect][0].envelope(error)


@pytest.mark.parametrize("content", [[{"type": "text", "text": "Hi"}], ["H", {"text": "i"}, None]])
def test_a_stream_may_come_in_parts(content: list[Any]) -> None:
    """Some providers send lists of parts where OpenAI sends text."""
    chunks = told(streaming(), events([piece({"content": content}), piece(finish="stop")]))
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == "Hi"
