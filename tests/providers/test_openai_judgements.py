"""Verdicts are passed on if there is one for everything that was asked about, and an error otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types import ModerationCreateResponse

from shared.core import judgements
from shared.core.catalog import Target
from shared.core.errors import UpstreamError
from shared.core.usage import Usage
from shared.dialects import openai
from shared.providers.adapter import Head
from shared.providers.openai_judgements import OpenAIJudgements
from tests.providers.exchange import MOMENT, PROVIDER, SECRET

CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip
VERDICT = {
    "flagged": True,
    "categories": dict.fromkeys(CATEGORIES, False) | {"violence": True},
    "category_scores": dict.fromkeys(CATEGORIES, 0.0) | {"violence": 0.9},
    "category_applied_input_types": {category: ["text"] for category in CATEGORIES},
}
SCORES = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]


def moderator() -> OpenAIJudgements:
    """Make the adapter for two texts to be moderated."""
    return made(judgements.moderation(b'{"model": "m", "input": ["a", "b"]}'))


def ranker() -> OpenAIJudgements:
    """Make the adapter for two documents to be ranked."""
    return made(judgements.rerank(b'{"model": "m", "query": "q", "documents": ["a", "b"]}'))


def made(asked: judgements.Judgement) -> OpenAIJudgements:
    """Make an adapter, its request sent."""
    adapter = OpenAIJudgements(asked, Target("openai", "m-1"), PROVIDER, MOMENT)
    request = adapter.request(SECRET)
    assert request.url.endswith({"moderation": "/v1/moderations", "rerank": "/v1/rerank"}[asked.kind])
    assert json.loads(request.body) == {**asked.raw, "model": "m-1"}
    return adapter


def test_moderations_arrive() -> None:
    """As the official SDK's strict model has them; what is missing beside the verdicts is made up."""
    adapter = moderator()
    found = adapter.reply(json.dumps({"id": None, "results": [VERDICT, VERDICT]}).encode())
    out = json.loads(openai.MODERATIONS.writer(None).whole(found, adapter.usage))
    assert ModerationCreateResponse.model_validate(out, strict=True).results[0].flagged
    assert (out["model"], out["id"]) == ("m", "moderation-req1")
    assert adapter.usage.estimated


def test_rankings_arrive() -> None:
    """With the usage that the provider tells."""
    adapter = ranker()
    found = adapter.reply(json.dumps({"results": SCORES, "usage": {"total_tokens": 7, "prompt_tokens": 7}}).encode())
    out = json.loads(openai.RERANK.writer(None).whole(found, adapter.usage))
    assert (out["results"], out["usage"]) == (SCORES, {"prompt_tokens": 7, "total_tokens": 7})
    assert adapter.usage == Usage(prompt=7)


BROKEN: dict[str, tuple[Any, Any]] = {
    "no results": (moderator, {"id": "x"}),
    "one verdict too few": (moderator, {"results": [VERDICT]}),
    "a verdict of nothing": (moderator, {"results": [VERDICT, {"flagged": True}]}),
    "a verdict in words": (moderator, {"results": [VERDICT, {**VERDICT, "flagged": "no"}]}),
    "an error": (moderator, {"error": {"message": "overloaded"}}),
    "results in words": (ranker, {"results": ["a"]}),
    "no scores at all": (ranker, {"results": []}),
    "a document that was not asked about": (ranker, {"results": [{"index": 2, "relevance_score": 1}]}),
    "a document twice": (ranker, {"results": [SCORES[0], SCORES[0]]}),
    "no place": (ranker, {"results": [{"relevance_score": 1}]}),
    "no score": (ranker, {"results": [{"index": 0}]}),
}


@pytest.mark.parametrize(("adapter", "answer"), BROKEN.values(), ids=BROKEN)
def test_a_verdict_that_is_none_is_an_error(adapter: Any, answer: Any) -> None:
    """It would look like any other."""
    with pytest.raises(UpstreamError):
        adapter().reply(json.dumps(answer).encode())


def test_there_is_no_stream_of_verdicts() -> None:
    """Neither in pieces nor at the end; nor is a page accepted."""
    for call in (
        lambda: moderator().chunk(b""),
        moderator().end,
        lambda: moderator().check(Head(200, {"content-type": "text/html"})),
    ):
        with pytest.raises(UpstreamError):
            call()
    assert moderator().error(Head(503, {}), b"").status == 503


@pytest.mark.parametrize(
    ("meta", "usage"),
    [
        ({"billed_units": {"search_units": 1}}, Usage(searches=1)),
        ({"billed_units": {"search_units": 7}}, None),
        ({"billed_units": {"search_units": "1"}}, None),
        ({"billed_units": []}, None),
        (None, None),
    ],
)
def test_searches_are_what_a_provider_charges(meta: Any, usage: Usage | None) -> None:
    """Cohere counts no tokens; more searches than the documents can make are not believed, so all is charged."""
    adapter = ranker()
    adapter.reply(json.dumps({"results": SCORES, "meta": meta}).encode())
    assert adapter.usage == usage or (usage is None and adapter.usage.estimated)
