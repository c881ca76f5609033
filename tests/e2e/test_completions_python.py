"""The official Python SDK judges `/v1/completions`: whole, streamed, several, refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest
from openai.types import Completion

from tests.e2e.stack import CHAT, THRICE

if TYPE_CHECKING:
    from collections.abc import Iterable

TEXT = "This is a simulated answer. Your message was: Hello"
HELLO: Any = {"model": CHAT, "prompt": "Hello"}


def text(chunks: Iterable[Completion]) -> str:
    """Return the text of a stream."""
    return "".join(choice.text for chunk in chunks for choice in chunk.choices)


def test_answers_whole(client: openai.OpenAI) -> None:
    """A completion in full form, with usage and the request's id; an echo comes first."""
    raw = client.completions.with_raw_response.create(**HELLO, echo=True, user="u", seed=1, stop=["nothing"])
    reply = raw.parse()
    Completion.model_validate(json.loads(raw.text), strict=True)
    assert (reply.choices[0].text, reply.choices[0].finish_reason) == (f"Hello{TEXT}", "stop")
    assert (reply.object, reply.model, reply.id[:5]) == ("text_completion", CHAT, "cmpl-")
    assert reply.usage
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (4, 9, 13)
    assert raw.headers["x-request-id"]


def test_streams_the_same_text(client: openai.OpenAI) -> None:
    """Piece by piece, for each of several; usage last, where it is asked for."""
    assert text(client.completions.create(**HELLO, stream=True)) == TEXT
    chunks = list(client.completions.create(**HELLO, n=2, stream=True, stream_options={"include_usage": True}))
    for index, wanted in enumerate((TEXT, TEXT.replace("answer", "answer (choice 2)"))):
        own = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
        assert "".join(choice.text for choice in own) == wanted
        assert [choice.finish_reason for choice in own if choice.finish_reason] == ["stop"]
    assert chunks[-1].usage
    assert chunks[-1].choices == []
    assert {chunk.id for chunk in chunks} == {chunks[0].id}


def test_an_answer_is_short_unless_more_is_asked_for(client: openai.OpenAI) -> None:
    """Sixteen tokens, as OpenAI has it."""
    asked: Any = {"model": CHAT, "prompt": "word " * 50}
    assert client.completions.create(**asked).choices[0].finish_reason == "length"
    assert client.completions.create(**asked, max_tokens=200).choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"echo": True, "logprobs": 1}, "echo"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
def test_what_no_chat_can_do_is_refused_by_name(client: openai.OpenAI, fields: Any, param: str) -> None:
    """Before anybody is asked."""
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(**{**HELLO, **fields})
    assert refused.value.param == param


@pytest.mark.parametrize("more", [{"truncate_after": 5}, {"mode": "error_mid_stream"}], ids=str)
def test_a_stream_that_breaks_off_raises(client: openai.OpenAI, more: Any) -> None:
    """And is not taken for a short answer."""
    with pytest.raises(openai.APIError):
        text(client.completions.create(**HELLO, stream=True, extra_body={"simulated": more}))


def test_errors_are_typed(client: openai.OpenAI) -> None:
    """As anywhere."""
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="nobody", prompt="x")
    with pytest.raises(openai.InternalServerError) as failed:
        client.completions.create(model=THRICE, prompt="x", extra_body={"simulated": {"mode": "no_choices"}})
    assert failed.value.status_code == 502


def test_a_server_that_goes_on_with_texts_is_asked_to(client: openai.OpenAI) -> None:
    """Our own GPU service, for real: with tokens, which no chat takes; and the same text gets the same answer."""
    asked: Any = {"model": "tiny-llama", "max_tokens": 4, "temperature": 0}
    tokens = client.completions.create(**asked, prompt=[1, 2, 3])
    Completion.model_validate(tokens.to_dict(), strict=True)
    assert tokens.usage
    assert (tokens.usage.prompt_tokens, tokens.usage.completion_tokens) == (3, 4)
    whole = client.completions.create(**asked, prompt="Hello").choices[0].text
    assert text(client.completions.create(**asked, prompt="Hello", stream=True)) == whole
