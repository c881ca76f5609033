"""OpenAI's embeddings dialect. The client gets the encoding it asked for, whatever the provider sent.

The official SDKs ask for base64 by default. Handed floats instead, the JavaScript one makes 2 dimensions of 8 and
raises nothing; so the answer is checked to its last number and converted here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core.errors import GatewayError, UpstreamError
from shared.core.usage import Usage, estimate, from_openai
from shared.providers import openai, openai_errors, vectors

if TYPE_CHECKING:
    from shared.core.catalog import Provider, Target
    from shared.core.embeddings import Embeddings
    from shared.providers.adapter import Head, HttpRequest, Moment


class OpenAIEmbeddings:
    """One list of vectors. It is never streamed."""

    done = True

    def __init__(self, asked: Embeddings, target: Target, provider: Provider, _moment: Moment) -> None:
        self._asked = asked
        self._target = target
        self._provider = provider
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
        return openai.post(self._provider, "embeddings", secret, body, "application/json")

    def check(self, head: Head) -> None:
        """Refuse what is not JSON."""
        openai.check(head, stream=False)

    def error(self, head: Head, body: bytes) -> GatewayError:
        """Translate a refusal."""
        return openai_errors.from_answer(head, body, self._provider.name, self._secret)

    def reply(self, body: bytes) -> dict[str, Any]:
        """Check and convert the vectors, in the order of the inputs."""
        found = openai.document(body)
        if found.get("error"):
            raise openai_errors.from_stream(found["error"], self._provider.name, self._secret)
        return self._listed(found)

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

    def chunk(self, _data: bytes) -> list[dict[str, Any]]:
        """Refuse: there is no stream of vectors."""
        raise UpstreamError("Embeddings are not streamed.")

    def end(self) -> list[dict[str, Any]]:
        """Refuse, as `chunk` does."""
        raise UpstreamError("Embeddings are not streamed.")

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
