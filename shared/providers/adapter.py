"""What an adapter is: a pure translator between the hub (`shared.dialects.dialect`) and one provider's dialect.

There is one instance per try.

It opens no socket and reads no clock. `shared.edge.http` sends what `request` returns and feeds back what comes.
The order of calls: `request`; `error` for a status from 400 on, else `check`; then `reply` once for a whole answer, or
`chunk` for each piece of a stream, in any cut, until the connection ends or `done` says that nothing more counts; then
`end`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.core.errors import GatewayError
    from shared.core.usage import Usage


class Signing(NamedTuple):
    """Whose signature a request needs, of the function's own role; "" is the region that it runs in."""

    service: str
    region: str


class Deferred(NamedTuple):
    """Where in S3 a request lies until it is answered, and where its answer may; folders are `s3://bucket/path`."""

    url: str  # of S3; "{region}" stands for the region of the signing
    requests: str
    answers: tuple[str, ...]


class HttpRequest(NamedTuple):
    """What to send to the provider; without a `signing` it is complete. A `deferred` one is sent by way of S3."""

    url: str
    headers: dict[str, str]
    body: bytes
    method: str = "POST"
    signing: Signing | None = None
    deferred: Deferred | None = None


class Head(NamedTuple):
    """Status and headers of the provider's answer, names in lower case."""

    status: int
    headers: Mapping[str, str]


class Moment(NamedTuple):
    """What an adapter may not find out by itself: the request's id, and the time in epoch seconds."""

    request_id: str = "unknown"
    now: int = 0


class Adapter(Protocol):
    """One exchange with one target."""

    @property
    def usage(self) -> Usage:
        """The best known so far; an estimate (and marked so) until the provider has said it."""

    @property
    def done(self) -> bool:
        """Whether the stream has said its last word (`[DONE]`): what follows is ignored, so reading on is idle."""

    def request(self, secret: str) -> HttpRequest:
        """Translate the client's request. `secret` is the provider's key, "" if it needs none."""

    def check(self, head: Head) -> None:
        """Look at the head of an answer below 400.

        Raises:
            UpstreamError: a redirect, or a content type that promises something else than what was asked for.
        """

    def reply(self, body: bytes) -> dict[str, Any]:
        """Translate a whole answer into a hub `chat.completion`, or the object of another kind, repaired.

        What the provider's own `usage` says beside the tokens may stay in it; what counts is `usage` here.

        Raises:
            UpstreamFailed: it is no answer.
        """

    def chunk(self, data: bytes) -> list[dict[str, Any]]:
        """Translate a piece of a stream into hub chunks without `usage`, perhaps none yet.

        Raises:
            UpstreamFailed: the provider reports an error in the stream, or sends what is no stream.
        """

    def end(self) -> list[dict[str, Any]]:
        """Return the last chunks: the provider has closed, or is `done`.

        The very last may have no choices and the provider's own `usage` object, for what it says beside the tokens.

        Raises:
            UpstreamError: the answer was cut off.
        """

    def error(self, head: Head, body: bytes) -> GatewayError:
        """Translate an answer outside 2xx into what the client may see of it."""
