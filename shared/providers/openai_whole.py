"""What OpenAI's endpoints that never stream have in common: one list, checked before it is passed on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from shared.core.errors import UpstreamError
from shared.core.usage import Usage, estimate
from shared.providers import openai, openai_errors
from shared.providers.documents import document

if TYPE_CHECKING:
    from shared.core.catalog import Provider, Target
    from shared.core.embeddings import Embeddings
    from shared.core.errors import GatewayError
    from shared.core.judgements import Judgement
    from shared.providers.adapter import Head, HttpRequest, Moment

Asked = TypeVar("Asked", bound="Embeddings | Judgement")


class OpenAIWhole(Generic[Asked]):
    """One exchange. A subclass names the path and what is listed, checks the list, and keeps the usage in `_said`."""

    done = True
    what: ClassVar[str]  # is listed, in the plural

    def __init__(self, asked: Asked, target: Target, provider: Provider, moment: Moment) -> None:
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
        return openai.post(self._provider, self._path(), secret, body, "application/json")

    def check(self, head: Head) -> None:
        """Refuse what is not JSON."""
        openai.check(head, stream=False)

    def error(self, head: Head, body: bytes) -> GatewayError:
        """Translate a refusal."""
        return openai_errors.from_answer(head, body, self._provider.name, self._secret)

    def reply(self, body: bytes) -> dict[str, Any]:
        """Check the list, and bring it into the form that the client asked for."""
        found = document(body)
        if found.get("error"):
            raise openai_errors.from_stream(found["error"], self._provider.name, self._secret)
        return self._listed(found)

    def chunk(self, _data: bytes) -> list[dict[str, Any]]:
        """Refuse: there is no stream of it."""
        raise UpstreamError(f"{self.what} are not streamed.")

    def end(self) -> list[dict[str, Any]]:
        """Refuse, as `chunk` does."""
        raise UpstreamError(f"{self.what} are not streamed.")

    def _path(self) -> str:
        raise NotImplementedError

    def _listed(self, found: dict[str, Any]) -> dict[str, Any]:
        """Check what was found, and note the usage.

        Raises:
            UpstreamError: it is no answer to what was asked.
        """
        raise NotImplementedError
