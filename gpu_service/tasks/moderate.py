"""`POST /v1/moderations`, in OpenAI's shape, by a classifier whose labels stand for OpenAI's categories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gpu_service.specs import CATEGORIES
from gpu_service.tasks.answer import Answer, check_count, identity
from shared.core import body
from shared.core.errors import BadRequest
from shared.core.fields import typed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gpu_service.fleet import Fleet
    from gpu_service.specs import Spec


class _Fields(msgspec.Struct):
    input: str | list[Any]
    model: str | None = None


async def moderate(fleet: Fleet, data: bytes) -> Answer:
    """Answer a moderation request; without `model` the first model with categories answers.

    Raises:
        GatewayError: what the client is told instead.
    """
    fields = typed(body.parse(data), _Fields)
    texts = _texts(fields.input)
    service = await (fleet.find(fields.model, "classification") if fields.model else fleet.moderator())
    engine = await service.engine()
    if not engine.spec.categories:
        raise BadRequest(
            f"The model '{engine.manifest.name}' moderates nothing: ask /v1/classify, or give it 'categories' in "
            "models.toml.",
            param="model",
        )
    check_count(len(texts), engine, "input")
    computed = await service.compute(texts, lambda engine: engine.rows(texts))
    results = [_result(scores, engine.spec) for scores in computed.results]
    return Answer.of({"id": identity("modr"), "model": engine.manifest.name, "results": results}, computed)


def _result(scores: NDArray[np.float32], spec: Spec) -> dict[str, Any]:
    """Add up labels that exclude each other; of those that do not, take the greatest."""
    found = dict.fromkeys(CATEGORIES, 0.0)
    for label, score in zip(spec.labels, map(float, scores), strict=True):
        if category := spec.categories.get(label):
            together = found[category] + score if spec.activation == "softmax" else max(found[category], score)
            found[category] = min(1.0, together)
    flags = {category: score >= spec.threshold for category, score in found.items()}
    covered = set(spec.categories.values())
    return {
        "flagged": any(flags[category] for category in covered),
        "categories": {category: flags[category] and category in covered for category in CATEGORIES},
        "category_scores": found,
        "category_applied_input_types": {category: ["text"] * (category in covered) for category in CATEGORIES},
    }


def _texts(given: str | list[Any]) -> list[str]:
    """Bring a text, texts, or the parts of one text into texts."""
    if isinstance(given, str):
        given = [given]
    if given and isinstance(given[0], dict):
        return ["\n".join(_part(part, place) for place, part in enumerate(given))]
    for place, text in enumerate(given):
        if not isinstance(text, str) or not text:
            raise BadRequest(f"'input[{place}]' must be a text, and not empty.", param=f"input[{place}]")
    if not given:
        raise BadRequest("'input' must hold at least one text.", param="input")
    return given


def _part(part: object, place: int) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    raise BadRequest(
        f"'input[{place}]' is no part of type 'text', and this model reads nothing else.", param=f"input[{place}]"
    )
