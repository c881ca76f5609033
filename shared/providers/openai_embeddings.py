"""OpenAI's embeddings dialect. The client gets the encoding it asked for, whatever the provider sent.

The official SDKs ask for base64 by default. Handed floats instead, the JavaScript one makes 2 dimensions of 8 and
raises nothing; so the answer is checked to its last number and converted here.
"""

from __future__ import annotations

from typing import Any

from shared.core.embeddings import Embeddings
from shared.core.errors import UpstreamError
from shared.core.usage import from_openai
from shared.providers import vectors
from shared.providers.openai_whole import OpenAIWhole


class OpenAIEmbeddings(OpenAIWhole[Embeddings]):
    """One list of vectors, in the order of the inputs."""

    what = "Embeddings"

    def _path(self) -> str:
        return "embeddings"

    def _listed(self, found: dict[str, Any]) -> dict[str, Any]:
        self._said = from_openai(found.get("usage"))
        encoded = self._encoded(_in_order(found.get("data"), len(self._asked.inputs)))
        model = found.get("model")
        return {
            **found,
            "object": "list",
            "data": [{"object": "embedding", "index": at, "embedding": one} for at, one in enumerate(encoded)],
            "model": model if model and isinstance(model, str) else self._asked.model,
        }

    def _encoded(self, found: list[Any]) -> list[str] | list[list[float]]:
        packed = [vectors.pack(one) for one in found]
        sizes = {len(one) // vectors.FLOAT for one in packed}
        if len(sizes) != 1 or (self._asked.dimensions or max(sizes)) not in sizes:
            wanted = f"{self._asked.dimensions} dimensions" if self._asked.dimensions else "one number of dimensions"
            raise UpstreamError(f"The provider sent vectors of {sorted(sizes)} dimensions instead of {wanted}.")
        if self._asked.encoding_format == "base64":
            return [vectors.text(one) for one in packed]
        return [vectors.floats(one, given) for one, given in zip(packed, found, strict=True)]


def _in_order(data: object, count: int) -> list[Any]:
    """Return one vector per input, by `index`, or as they come if none of them has one."""
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise UpstreamError("The provider answered without a list of vectors.")
    if len(data) != count:
        raise UpstreamError(f"The provider sent {len(data)} vectors for {count} inputs.")
    indices = [at if item.get("index") is None else item["index"] for at, item in enumerate(data)]
    if any(type(index) is not int for index in indices) or sorted(indices) != list(range(count)):
        raise UpstreamError("The provider numbered its vectors wrongly.")
    found = dict(zip(indices, data, strict=True))
    return [found[at].get("embedding") for at in range(count)]
