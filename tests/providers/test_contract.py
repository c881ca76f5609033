"""One contract for every wire that is not OpenAI's own: what goes in valid comes out valid, or as an error; never less.

What the client gets is judged by the official OpenAI SDK's strict models; `test_contract_requests.py` has what we send.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from shared.core.errors import GatewayError, UpstreamError, UpstreamFailed
from shared.core.usage import Usage
from shared.providers.adapter import Head
from tests.providers.exchange import accumulated, completed, heard
from tests.providers.wires.stories import EACH, EACH_STORY, STORIES
from tests.providers.wires.wire import SECRET

if TYPE_CHECKING:
    from shared.providers.adapter import Adapter
    from tests.providers.wires.wire import Story, Wire


def told(message: Any, finish: str) -> tuple[Any, ...]:
    """Return what counts of a message."""
    calls = [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()]
    return message.content or "", calls, getattr(message, "reasoning_content", None) or "", finish


def expected(story: Story) -> tuple[Any, ...]:
    """Return what should come of a story."""
    return (
        "".join(story.texts),
        [(name, given) for _, name, given in story.calls],
        "".join(story.thoughts),
        story.finish,
    )


@EACH
@EACH_STORY
def test_a_whole_answer_arrives(wire: Wire, story: Story) -> None:
    """All of it, with what it took."""
    made = wire.adapter()
    made.request(SECRET)
    found = ChatCompletion.model_validate(completed(made, wire.whole(story)))
    choice = found.choices[0]
    assert told(choice.message, choice.finish_reason) == expected(story)
    assert (made.usage.prompt, made.usage.completion, made.usage.cached) == (100, 20, 40)
    assert not made.usage.estimated
    assert found.usage
    assert found.usage.total_tokens == 120
    assert found.usage.prompt_tokens_details
    assert found.usage.prompt_tokens_details.cached_tokens == 40


@EACH
@EACH_STORY
@pytest.mark.parametrize("step", [0, 1, 7, 64])
def test_a_stream_arrives_in_any_cut(wire: Wire, story: Story, step: int) -> None:
    """What the SDK adds up is what the whole answer says."""
    made = wire.streaming()
    found = accumulated(heard(made, b"".join(wire.stream(story)), step=step))
    choice = found.choices[0]
    assert told(choice.message, choice.finish_reason)[:2] == expected(story)[:2]
    assert choice.finish_reason == story.finish
    assert (made.usage.prompt, made.usage.completion, made.usage.cached) == (100, 20, 40)
    assert not made.usage.estimated


@EACH
def test_thoughts_are_told_piece_by_piece(wire: Wire) -> None:
    """As `reasoning_content`, which agents show."""
    chunks = heard(wire.streaming(), b"".join(wire.stream(STORIES["thought"])))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "Hmm, what?"


@EACH
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_chunking_is_the_same_stream(wire: Wire, data: st.DataObject) -> None:
    """Networks cut where they like."""
    stream = b"".join(wire.stream(STORIES["calls at once"]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    made = wire.streaming()
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    chunks = [chunk for piece in pieces for chunk in made.chunk(piece)] + made.end()
    assert told_of(chunks) == expected(STORIES["calls at once"])[:2]


def told_of(chunks: list[dict[str, Any]]) -> tuple[Any, ...]:
    """Return what counts of raw chunks."""
    choice = accumulated(chunks).choices[0]
    return told(choice.message, choice.finish_reason)[:2]


@EACH
@pytest.mark.parametrize("story", [STORIES["calls at once"], STORIES["thought"]], ids=["calls", "thought"])
def test_a_stream_that_is_cut_is_never_a_success(wire: Wire, story: Story) -> None:
    """At whichever byte, but for those behind the last word: an error, and a guess that is marked as one."""
    frames = wire.stream(story)
    stream = b"".join(frames)
    last = len(stream) - sum(map(len, frames[-wire.closing :]))
    for end in range(last):
        made = wire.streaming()
        with pytest.raises(UpstreamError):
            consumed(made, stream[:end])
        assert made.usage.prompt > 0


def consumed(made: Adapter, stream: bytes) -> list[dict[str, Any]]:
    """Feed a stream to its end."""
    return made.chunk(stream) + made.end()


@EACH
def test_what_is_not_known_yet_is_passed_over(wire: Wire) -> None:
    """New kinds of events come without warning."""
    frames = wire.stream(STORIES["text"])
    made = wire.streaming()
    chunks = consumed(made, b"".join(piece for frame in frames[:-1] for piece in (wire.unknown, frame)) + frames[-1])
    assert told_of(chunks) == expected(STORIES["text"])[:2]


@EACH
def test_half_a_frame_of_json_is_an_error(wire: Wire) -> None:
    """What came before it has left by then."""
    made = wire.streaming()
    frames = wire.stream(STORIES["text"])
    said = made.chunk(b"".join(frames[: -1 - wire.closing]) + wire.broken)
    assert said
    assert made.done
    with pytest.raises(UpstreamError):
        made.end()
    assert made.usage.completion > 0


@EACH
@settings(max_examples=60, deadline=None)
@given(noise=st.binary(max_size=200))
def test_noise_is_an_error_of_the_providers(wire: Wire, noise: bytes) -> None:
    """Never one of ours."""
    for serve in (lambda: consumed(wire.streaming(), noise), lambda: wire.adapter().reply(noise)):
        with pytest.raises(UpstreamFailed):
            serve()


@EACH
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b"null", b'{"choices": []}', b"[" * 100_000])
def test_what_is_no_answer_is_an_error(wire: Wire, body: bytes) -> None:
    """SDKs would hand the caller an empty text."""
    with pytest.raises(UpstreamError):
        wire.adapter().reply(body)


@EACH
def test_the_wrong_kind_of_answer_is_refused_at_its_head(wire: Wire) -> None:
    """A page for JSON, JSON for a stream, a redirect."""
    for stream, head in (
        (False, Head(200, {"content-type": "text/html"})),
        (False, Head(200, {"content-type": wire.stream_type})),
        (True, Head(200, {"content-type": "application/json"})),
        (False, Head(302, {"location": "http://169.254.169.254/"})),
    ):
        with pytest.raises(UpstreamError):
            wire.adapter(stream=stream).check(head)


@EACH
@pytest.mark.parametrize(
    ("status", "seen"), [(401, 502), (403, 502), (429, 429), (500, 502), (503, 503), (529, 503), (504, 504), (413, 413)]
)
def test_a_refusal_is_told_without_our_key(wire: Wire, status: int, seen: int) -> None:
    """Whatever the provider echoes."""
    made = wire.adapter()
    made.request(SECRET)
    said = {"error": {"message": f"bad key {SECRET}", "type": "x", "status": "X"}, "message": f"bad {SECRET}"}
    error = made.error(Head(status, {"retry-after": "7"}), json.dumps(said).encode())
    assert isinstance(error, GatewayError)
    assert error.status == seen
    assert SECRET not in error.message
    if status in {429, 503}:
        assert error.retry_after == 7


@EACH
def test_until_the_provider_counts_it_is_guessed(wire: Wire) -> None:
    """From what was asked and heard."""
    made = wire.streaming()
    assert made.usage == Usage(prompt=made.usage.prompt, estimated=True)
    made.chunk(b"".join(wire.stream(STORIES["text"])[:-3]))
    assert made.usage.estimated
    assert made.usage.completion > 0
