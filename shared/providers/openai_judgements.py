"""Moderations as OpenAI has them and rankings as Cohere and Jina do: passed on, and checked to the last verdict.

A verdict that is missing, or stands at the wrong text, looks like any other to who gets it.
"""

from __future__ import annotations

import math
from typing import Any

from shared.core.errors import UpstreamError
from shared.core.judgements import Judgement
from shared.core.usage import Usage, count, from_openai
from shared.providers.openai_whole import OpenAIWhole

_PATHS = {"moderation": "moderations", "rerank": "rerank"}


class OpenAIJudgements(OpenAIWhole[Judgement]):
    """One list of verdicts."""

    what = "Verdicts"

    def _path(self) -> str:
        return _PATHS[self._asked.kind]

    def _listed(self, found: dict[str, Any]) -> dict[str, Any]:
        results = found.get("results")
        if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
            raise UpstreamError("The provider answered without a list of results.")
        if self._asked.kind == "rerank":
            _check_ranking(results, self._asked.count)
        else:
            _check_moderations(results, self._asked.count)
        self._said = from_openai(found.get("usage")) or _searched(found.get("meta"), self._asked.searches)
        known = {"id": f"{self._asked.kind}-{self._moment.request_id}", "model": self._asked.model}
        return known | {name: value for name, value in found.items() if value is not None}


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


def _searched(meta: object, most: int) -> Usage | None:
    """Read what Cohere charges, which are no tokens; None if that is missing or more than it can be."""
    billed = meta.get("billed_units") if isinstance(meta, dict) else None
    searches = count(billed.get("search_units")) if isinstance(billed, dict) else None
    return Usage(searches=searches) if searches is not None and searches <= most else None


def _finite(score: object) -> bool:
    return isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score)
