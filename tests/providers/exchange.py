"""One exchange with an adapter and OpenAI's writer, as the pipeline has it; the official SDK's models judge it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from shared.core import chat
from shared.core.catalog import Provider, Target
from shared.core.sse import Decoder
from shared.dialects.openai import ChatWriter
from shared.providers.adapter import Head, Moment
from shared.providers.openai import OpenAIChat

if TYPE_CHECKING:
    from collections.abc import Iterable

DONE = b"data: [DONE]\n\n"
SECRET = "sk-proj-verysecret0123456789"
PROVIDER = Provider(name="openai", dialect="openai", base_url="https://api.openai.com/v1", secret="OPENAI_API_KEY")
MOMENT = Moment(request_id="req1", now=1_700_000_000)
JSON_HEAD = Head(200, {"content-type": "application/json"})
STREAM_HEAD = Head(200, {"content-type": "text/event-stream; charset=utf-8"})


def adapter(*, provider: Provider = PROVIDER, **fields: Any) -> OpenAIChat:
    """Make the adapter for a request with these fields, its request sent."""
    body = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}], **fields}
    made = OpenAIChat(chat.parse(json.dumps(body).encode()), Target("openai", "gpt-5-2025-08-07"), provider, MOMENT)
    made.request(SECRET)
    return made


def streaming(*, usage: bool = False, **fields: Any) -> OpenAIChat:
    """Make the adapter for a stream."""
    options = {"stream_options": {"include_usage": True}} if usage else {}
    return adapter(stream=True, **{**options, **fields})


def piece(
    delta: dict[str, Any] | None = None, finish: str | None = None, index: int = 0, **members: Any
) -> dict[str, Any]:
    """Write a chunk as OpenAI does."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_690_000_000,
        "model": "gpt-5-2025-08-07",
        "choices": [{"index": index, "delta": {} if delta is None else delta, "finish_reason": finish}],
        **members,
    }


def events(chunks: Iterable[Any], *, done: bool = True) -> bytes:
    """Write chunks as a stream."""
    written = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    return written + (b"data: [DONE]\n\n" if done else b"")


def streamed(made: OpenAIChat, stream: bytes, *, step: int = 0) -> list[dict[str, Any]]:
    """Feed the stream in pieces of `step` bytes (0: all at once); return the chunks that the client gets, checked."""
    made.check(STREAM_HEAD)
    return heard(made, stream, step=step)


def heard(made: Any, stream: bytes, *, step: int = 0) -> list[dict[str, Any]]:
    """Do the same with any adapter."""
    pieces = [stream[at : at + step] for at in range(0, len(stream), step)] if step else [stream]
    writer = ChatWriter(made._chat)
    out = b"".join(writer.chunk(chunk) for data in pieces for chunk in made.chunk(data))
    out += b"".join(map(writer.chunk, made.end())) + writer.end(made.usage)
    assert out.endswith(DONE)
    out = out.removesuffix(DONE)
    found = [json.loads(event.data) for event in Decoder().feed(out)]
    for chunk in found:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    return found


def accumulated(chunks: Iterable[dict[str, Any]]) -> ChatCompletion:
    """Add the chunks up as the official SDK does."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks:
        list(state.handle_chunk(ChatCompletionChunk.model_validate(chunk)))
    return state.current_completion_snapshot


def replied(made: OpenAIChat, answer: Any) -> dict[str, Any]:
    """Give the adapter a whole answer; return what the client gets, checked."""
    made.check(JSON_HEAD)
    return completed(made, json.dumps(answer).encode())


def completed(made: Any, body: bytes) -> dict[str, Any]:
    """Do the same with any adapter."""
    found: dict[str, Any] = json.loads(ChatWriter(made._chat).whole(made.reply(body), made.usage))
    ChatCompletion.model_validate(found, strict=True)
    return found
