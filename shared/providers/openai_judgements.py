"""Moderations as OpenAI has them and rankings as Cohere and Jina do: passed on, and checked to the last verdict.

A verdict that is missing, or stands at the wrong text, looks like any other to who gets it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from shared.core.errors import UpstreamError
from shared.core.usage import Usage, estimate, from_openai
from shared.providers import openai, openai_errors

if TYPE_CHECKING:
    from shared.core.catalog import Provider, Target
    from shared.core.errors import GatewayError
    from shared.core.judgements import Judgement
    from shared.providers.adapter import Head, HttpRequest, Moment

_PATHS = {"moderation": "moderations", "rerank": "rerank"}


class OpenAIJudgements:
    """One list of verdicts. It is never streamed."""

    done = True

    def __init__(self, asked: Judgement, target: Target, provider: Provider, moment: Moment) -> None:
        self._asked = asked
        self._target = target
        self._provider = provider
        self._moment = moment
        self._secret = ""
        self._said: Usage | None = None

    @property
    def usage(self) -> Usage:
        """What the provider said; until then, an estimate by the size of the request."""
        return self._said or Usage(prompt=estimate(self._asked.size), estimated=True)

    def request(self, secret: str) -> HttpRequest:
        """Forward the client's own body, with the model renamed."""
        self._secret = secret
        body = {**self._asked.raw, "model": self._target.model}
        return openai.post(self._provider, _PATHS[self._asked.kind], secret, body, "application/json")

    def check(self, head: Head) -> None:
        """Refuse what is not JSON."""
        openai.check(head, stream=False)

    def error(self, head: Head, body: bytes) -> GatewayError:
        """Translate a refusal."""
        return openai_errors.from_answer(head, body, self._provider.name, self._secret)

    def reply(self, body: bytes) -> dict[str, Any]:
        """Check the verdicts."""
        found = openai.document(body)
        if found.get("error"):
            raise openai_errors.from_stream(found["error"], self._provider.name, self._secret)
        results = found.get("results")
        if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
            raise UpstreamError("The provider answered without a list of results.")
        if self._asked.kind == "rerank":
            _check_ranking(results, self._asked.count)
        else:
            _check_moderations(results, self._asked.count)
        self._said = from_openai(found.get("usage"))
        known = {"id": f"{self._asked.kind}-{self._moment.request_id}", "model": self._asked.model}
        return known | {name: value for name, value in found.items() if value is not None}

    def chunk(self, _data: bytes) -> list[dict[str, Any]]:
        """Refuse: there is no stream of verdicts."""
        raise UpstreamError("Verdicts are not streamed.")

    def end(self) -> list[dict[str, Any]]:
        """Refuse, as `chunk` does."""
        raise UpstreamError("Verdicts are not streamed.")


def _check_ranking(results: list[dict[str, Any]], count: int) -> None:
    places = [one.get("index") for one in results]
    if not all(type(place) is int and 0 <= place < count for place in places) or len(set(places)) < len(places):
        raise UpstreamError("The provider numbered the documents wrongly.")
    if not results or not all(_finite(one.get("relevance_score")) for one in results):
        raise UpstreamError("The provider sent a document without a score.")


def _check_moderations(results: list[dict[str, Any]], count: int) -> None:
    if len(results) != count:
        raise UpstreamError(f"The provider sent {len(results)} verdicts for {count} inputs.")
    for one in results:
        shaped = isinstance(one.get("categories"), dict) and isinstance(one.get("category_scores"), dict)
        if not isinstance(one.get("flagged"), bool) or not shaped:
            raise UpstreamError("The provider sent a verdict that does not say what it found.")


def _finite(score: object) -> bool:
    return isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score)
