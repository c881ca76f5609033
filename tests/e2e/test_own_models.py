"""Models of one's own, through the whole stack: they really compute, and the official SDK is the judge.

What the models say is no sense, for their weights are random; that it is theirs is shown by asking the same twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.e2e.expect import refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2
    from openai.types.chat import ChatCompletionMessageParam

    from tests.e2e.stack import Stack

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello world"}]
DOCUMENTS = ["paris is the capital", "the cat sat on the mat", "berlin"]


@pytest.fixture
def strict(stack: Stack) -> Iterator[openai.OpenAI]:
    """Return the official client as its strictest users set it up."""
    url = f"{stack.base_url}/v1"
    with openai.OpenAI(
        base_url=url, api_key=stack.client_key, max_retries=0, timeout=30, _strict_response_validation=True
    ) as made:
        yield made


def test_a_chat_is_one_text_whole_and_streamed(strict: openai.OpenAI) -> None:
    """With the tokens that it took."""
    asked: dict[str, Any] = {"model": "tiny-llama", "messages": HELLO, "max_tokens": 20, "seed": 5}
    whole = strict.chat.completions.create(**asked)
    chunks = list(strict.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert text
    assert text == whole.choices[0].message.content
    assert whole.usage
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (14, 20)
    assert chunks[-1].usage == whole.usage
    assert [one.choices[0].finish_reason for one in chunks[:-1]][-1] == whole.choices[0].finish_reason == "length"


def test_a_text_goes_on_as_it_did_before_there_were_chats(strict: openai.OpenAI) -> None:
    """A text and its tokens are one prompt, which no chat could tell; with what it took."""
    asked: dict[str, Any] = {"model": "tiny-llama", "max_tokens": 8, "temperature": 0}
    first, second = (strict.completions.create(**asked, prompt=one) for one in ("hello", [75, 72, 79, 79, 82]))
    assert first.choices[0].text
    assert first.choices[0].text == second.choices[0].text
    assert first.usage
    assert (first.usage.completion_tokens, first.choices[0].finish_reason) == (8, "length")


def test_moderations_have_every_category(strict: openai.OpenAI) -> None:
    """One verdict for each text, the same for the same."""
    found = strict.moderations.create(model="tiny-moderator", input=["i hate the cat", "good moon", "i hate the cat"])
    first, second, third = (one.category_scores for one in found.results)
    assert first == third != second
    assert 0 < first.harassment + first.violence < 1
    assert found.results[0].flagged == (max(first.harassment, first.violence) >= 0.5)


def test_documents_come_in_the_order_of_their_relevance(http: httpx2.Client) -> None:
    """As Cohere and Jina say it."""
    asked = {"model": "tiny-ranker", "query": "is paris red", "documents": DOCUMENTS, "return_documents": True}
    ranked = http.post("/v1/rerank", json=asked).json()["results"]
    scores = [one["relevance_score"] for one in ranked]
    assert scores == sorted(scores, reverse=True)
    assert {one["index"]: one["document"]["text"] for one in ranked} == dict(enumerate(DOCUMENTS))
    best = http.post("/v1/rerank", json=asked | {"top_n": 1}).json()["results"]
    assert best == ranked[:1]


def test_what_a_model_cannot_do_is_its_own_refusal(http: httpx2.Client) -> None:
    """Passed on, with the field."""
    tools = [{"type": "function", "function": {"name": "f"}}]
    answer = http.post("/v1/chat/completions", json={"model": "tiny-llama", "messages": HELLO, "tools": tools})
    refused(answer, 400, param="tools")
