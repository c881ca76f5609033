"""Every pair of a client's and a provider's dialect, native or translated: the official SDK adds up what was told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from anthropic.types import Message
from openai.types.responses import Response

from shared.core.catalog import Provider, Target
from shared.dialects import anthropic, responses
from shared.providers.adapter import Head
from shared.providers.registry import adapter_for
from tests.dialects import test_responses_writer as judge
from tests.dialects.test_anthropic_writer import added_up, in_order
from tests.providers.wires.stories import STORIES, WIRES
from tests.providers.wires.wire import MOMENT

if TYPE_CHECKING:
    from shared.core.chat import Chat
    from shared.dialects.dialect import Dialect
    from shared.providers.adapter import Adapter
    from tests.providers.wires.wire import Story, Wire

ASKED: dict[str, dict[str, Any]] = {
    "messages": {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "x"}]},
    "responses": {"model": "m", "max_output_tokens": 100, "input": "x"},
}
REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}

each_wire = pytest.mark.parametrize("wire", WIRES, ids=[wire.dialect for wire in WIRES])
each_story = pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
natively = pytest.mark.parametrize("native", [True, False], ids=["native", "translated"])


def exchange(dialect: Dialect, wire: Wire, *, native: bool, stream: bool) -> tuple[Chat, Adapter]:
    """Parse a request and make the adapter that serves it, its request sent and judged by the vendor's types."""
    asked = ASKED["messages" if dialect is anthropic.MESSAGES else "responses"]
    request: Any = dialect.parse(json.dumps({**asked, "stream": stream}).encode())
    if not native:
        request = msgspec.structs.replace(request, native=None)
    target, provider = Target(wire.dialect, "m-1"), Provider(wire.dialect, wire.dialect, wire.base_url)
    made = adapter_for(wire.dialect, "chat")(request, target, provider, MOMENT)
    body = wire.judge(made.request(wire.secret))
    assert "100" in json.dumps(body)  # the bound, by whatever name
    if stream:
        made.check(Head(200, {"content-type": wire.stream_type}))
    return request, made


def shown(message: Message) -> tuple[str, list[Any], str, str | None]:
    """Return texts, calls, thoughts and the reason."""
    texts = "".join(block.text for block in message.content if block.type == "text")
    calls = [(block.name, block.input) for block in message.content if block.type == "tool_use"]
    thoughts = "".join(block.thinking for block in message.content if block.type == "thinking")
    return texts, calls, thoughts, message.stop_reason


def expected(story: Story, wire: Wire) -> tuple[str, list[Any], str, str | None]:
    """Return what should come of a story."""
    calls = [(name, given) for _, name, given in story.calls]
    return "".join(story.texts), calls, "".join(story.thoughts) if wire.thinks else "", REASONS[story.finish]


def assert_same(found: tuple[Any, ...], wanted: tuple[Any, ...]) -> None:
    """Compare; why something was refused may follow what was said before."""
    assert found[0].startswith(wanted[0])
    assert found[0] == wanted[0] or wanted[3] == "refusal"
    assert found[1:] == wanted[1:]


@each_wire
@each_story
@natively
def test_messages_whole(wire: Wire, story: Story, native: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Blocks, reason and usage; what was read from a cache or written into it is told apart."""
    request, made = exchange(anthropic.MESSAGES, wire, native=native, stream=False)
    out = anthropic.MESSAGES.writer(request).whole(made.reply(wire.whole(story)), made.usage)
    found = Message.model_validate(json.loads(out), strict=True)
    assert_same(shown(found), expected(story, wire))
    assert (found.usage.cache_read_input_tokens, found.usage.output_tokens) == (40, 20)
    assert found.usage.input_tokens + (found.usage.cache_creation_input_tokens or 0) == 60


@each_wire
@each_story
@natively
@pytest.mark.parametrize("step", [0, 1, 64])
def test_messages_streamed(wire: Wire, story: Story, native: bool, step: int) -> None:  # noqa: FBT001 - as above
    """In any cut."""
    request, made = exchange(anthropic.MESSAGES, wire, native=native, stream=True)
    stream = b"".join(wire.stream(story))
    pieces = [stream[at : at + step] for at in range(0, len(stream), step)] if step else [stream]
    writer = anthropic.MESSAGES.writer(request)
    out = b"".join(writer.chunk(chunk) for data in pieces for chunk in made.chunk(data))
    assert b"message_stop" not in out
    out += b"".join(map(writer.chunk, made.end())) + writer.end(made.usage)
    message, events = added_up(out)
    in_order(events)
    assert_same(shown(message), expected(story, wire))
    assert (message.usage.cache_read_input_tokens, message.usage.output_tokens) == (40, 20)


@each_wire
@each_story
def test_responses(wire: Wire, story: Story) -> None:
    """Whole and streamed alike; what was not said to its end is incomplete."""
    request, made = exchange(responses.RESPONSES, wire, native=True, stream=False)
    out = responses.RESPONSES.writer(request).whole(made.reply(wire.whole(story)), made.usage)
    whole = Response.model_validate(json.loads(out), strict=True)
    request, made = exchange(responses.RESPONSES, wire, native=True, stream=True)
    writer = responses.RESPONSES.writer(request)
    chunks = [*made.chunk(b"".join(wire.stream(story))), *made.end()]
    _, events = judge.added_up(b"".join(map(writer.chunk, chunks)) + writer.end(made.usage))
    judge.in_order(events)
    streamed = Response.model_validate(events[-1]["response"], strict=True)
    for found in (whole, streamed):
        calls = [(one.name, json.loads(one.arguments)) for one in found.output if one.type == "function_call"]
        thoughts = [part.text for one in found.output if one.type == "reasoning" for part in one.summary]
        wanted = expected(story, wire)
        assert (found.output_text, calls, "".join(thoughts)) == wanted[:3]
        assert found.status == ("incomplete" if story.finish in {"length", "content_filter"} else "completed")
        assert found.usage
        assert (found.usage.input_tokens, found.usage.total_tokens) == (100, 120)
