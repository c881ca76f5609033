"""Vectors of Gemini: each text is a request of one batch, and only texts are taken, no tokens of somebody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core import wire
from shared.core.errors import Untranslatable
from shared.providers import gemini_errors
from shared.providers.adapter import HttpRequest
from shared.providers.documents import document
from shared.providers.gemini import usage
from shared.providers.openai_embeddings import OpenAIEmbeddings
from shared.providers.translated import JSON, USER_AGENT, items, member

if TYPE_CHECKING:
    from shared.core.errors import GatewayError
    from shared.providers.adapter import Head


class GeminiEmbeddings(OpenAIEmbeddings):
    """One list of vectors; checked and encoded as OpenAI's are."""

    def request(self, secret: str) -> HttpRequest:
        """Translate the request.

        Raises:
            BadRequest: it holds tokens instead of texts.
        """
        self._secret = secret
        if not all(isinstance(text, str) for text in self._asked.inputs):
            raise Untranslatable(f"The provider '{self._provider.name}' takes texts, no token ids.", param="input")
        name = f"models/{self._target.model}"
        size = {"outputDimensionality": self._asked.dimensions} if self._asked.dimensions else {}
        asked = [{"model": name, "content": {"parts": [{"text": text}]}, **size} for text in self._asked.inputs]
        base = self._provider.base_url.rstrip("/") + ("" if "/v1" in self._provider.base_url else "/v1beta")
        headers = {"content-type": JSON, "accept": JSON, "user-agent": USER_AGENT, **gemini_errors.key(secret)}
        return HttpRequest(f"{base}/{name}:batchEmbedContents", headers, wire.encode({"requests": asked}))

    def error(self, head: Head, body: bytes) -> GatewayError:
        """Translate a refusal."""
        return gemini_errors.from_answer(head, body, self._provider.name, self._secret)

    def reply(self, body: bytes) -> dict[str, Any]:
        """Check and convert the vectors; Gemini may not say what they took."""
        found = document(body)
        if found.get("error"):
            raise gemini_errors.from_stream(found["error"], self._provider.name, self._secret)
        said = usage(member(found, "usageMetadata"))
        told = {"usage": {"prompt_tokens": said.prompt, "total_tokens": said.prompt}} if said else {}
        return self._listed({"data": [{"embedding": one.get("values")} for one in items(found, "embeddings")], **told})
