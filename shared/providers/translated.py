"""What adapters share whose wire is not OpenAI's: the order of things, and that words before a failure still leave.

A stream that is cut looks like success to every SDK, so here it ends well only if the provider has said that it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from shared.core import wire
from shared.core.errors import GatewayError, UpstreamError, UpstreamUnreadable
from shared.core.usage import Usage, estimate
from shared.providers.adapter import HttpRequest
from shared.providers.documents import document
from shared.providers.hub import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shared.core.catalog import Provider, Target
    from shared.core.chat import Chat
    from shared.providers.adapter import Head, Moment

JSON, EVENTS = "application/json", "text/event-stream"
USER_AGENT = "ai-nexus"


class Frames(Protocol):
    """What takes the bytes of a stream apart; of a stream it cannot read it raises ValueError."""

    def feed(self, data: bytes) -> Iterable[Any]:
        """Take the next bytes; return what is complete now."""

    def end(self) -> Iterable[Any]:
        """Return what the end of the stream completes."""


class Translated:
    """One exchange; a subclass translates the request, the whole answer, and each frame of a stream.

    It sets `_said` when the provider tells the usage, and `_done` with the stream's last word.
    """

    stream_type = EVENTS

    def __init__(self, chat: Chat, target: Target, provider: Provider, moment: Moment) -> None:
        self._chat = chat
        self._target = target
        self._provider = provider
        self._moment = moment
        self._secret = ""
        self._answer = Answer(moment, chat.model)
        self._frames = self._decoder()
        self._done = False
        self._failure: GatewayError | None = None  # told once what came before it has left
        self._said: Usage | None = None
        self._estimate = Usage(prompt=estimate(chat.size), estimated=True)

    @property
    def done(self) -> bool:
        """Whether nothing that follows counts."""
        return self._done

    @property
    def usage(self) -> Usage:
        """What the provider said; until then, what was heard."""
        if self._said:
            return self._said
        return Usage(self._estimate.prompt, self._estimate.completion + self._answer.heard, estimated=True)

    def check(self, head: Head) -> None:
        """Raise UpstreamError for what would be taken for an empty answer: a page, or the other of JSON and stream."""
        found = head.headers.get("content-type", "").partition(";")[0].strip().lower()
        wanted = self.stream_type if self._chat.stream else JSON
        if not 200 <= head.status < 300:  # noqa: PLR2004 - success, as HTTP has it
            raise UpstreamError(f"The provider answered with status {head.status}, which is not followed.")
        if found and found != wanted:
            raise UpstreamError(f"The provider answered with another content type than {wanted}.")

    def reply(self, body: bytes) -> dict[str, Any]:
        """Translate a whole answer."""
        self._estimate = Usage(self._estimate.prompt, estimate(len(body)), estimated=True)
        return self._whole(document(body))

    def chunk(self, data: bytes) -> list[dict[str, Any]]:
        """Take the next bytes; what precedes an error in them still leaves, then the error is raised."""
        told: list[dict[str, Any]] = []
        try:
            for frame in self._frames.feed(data):
                if not self._done:
                    told += self._frame(frame)
        except GatewayError as error:
            self._fail(error)
        except ValueError as error:
            self._fail(UpstreamUnreadable(f"The provider's stream cannot be read: {error}"))
        if self._failure and not told:
            raise self._failure
        return told

    def end(self) -> list[dict[str, Any]]:
        """Return what is left to say; raises if the provider stopped before it had finished."""
        if self._failure:
            raise self._failure
        told = [] if self._done else [piece for frame in self._frames.end() for piece in self._frame(frame)]
        if not self._complete:
            raise UpstreamError("The provider's answer was cut off before it was complete.")
        return told + self._answer.finishing()

    @property
    def _complete(self) -> bool:
        """Whether the provider has said all, should the stream end here."""
        return self._done

    def _fail(self, error: GatewayError) -> None:
        self._failure, self._done = error, True

    def _post(self, path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> HttpRequest:
        """Make a request of our own headers only: nothing that a client sends may steer a provider."""
        accept = self.stream_type if self._chat.stream else JSON
        own = {"content-type": JSON, "accept": accept, "user-agent": USER_AGENT}
        base, region = self._provider.base_url, self._target.region
        base = base.replace("{region}", region) if region else base  # else the edge puts in its own
        return HttpRequest(f"{base}/{path}", {**own, **headers}, wire.encode(body))

    def _decoder(self) -> Frames:
        raise NotImplementedError

    def _whole(self, found: dict[str, Any]) -> dict[str, Any]:
        """Translate a whole answer.

        Raises:
            UpstreamFailed: it is none.
        """
        raise NotImplementedError

    def _frame(self, frame: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - the decoder's own
        """Translate a frame of the stream; raises as `_whole` does."""
        raise NotImplementedError


def member(found: object, name: str) -> dict[str, Any]:
    """Return a member that should be an object; {} if it is none."""
    inner = found.get(name) if isinstance(found, dict) else None
    return inner if isinstance(inner, dict) else {}


def items(found: object, name: str) -> list[dict[str, Any]]:
    """Return the objects in a member that should be a list of them."""
    inner = found.get(name) if isinstance(found, dict) else None
    return [item for item in inner if isinstance(item, dict)] if isinstance(inner, list) else []


def word(found: object, name: str) -> str:
    """Return a member that should be text; "" if it is none."""
    inner = found.get(name) if isinstance(found, dict) else None
    return inner if isinstance(inner, str) else ""
