"""The one way an answer leaves the gateway: whole, as a stream, or as an error before or within either."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.core import errors
from shared.core.pricing import usd
from shared.dialects import openai

if TYPE_CHECKING:
    from shared.dialects.dialect import Dialect, Request, Writer
    from shared.edge.response import Out
    from shared.edge.telemetry import Event

_JSON = {"content-type": "application/json"}
_STREAM = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


class Reply:
    """Wraps an `Out`. Headers leave with the first chunk, so that an error before it is still an HTTP error."""

    def __init__(self, out: Out, event: Event) -> None:
        self._out = out
        self._event = event
        self._started = False
        self._writer: Writer | None = None  # of the try that is under way
        self.dialect: Dialect = openai.CHAT  # that the client speaks
        self.headers: dict[str, str] = {}  # sent with whatever this answer becomes

    @property
    def started(self) -> bool:
        """Whether the status can no longer be changed."""
        return self._started

    def writer_for(self, request: Request) -> Writer:
        """Return what writes the answer of a new try in the client's dialect."""
        self._writer = writer = self.dialect.writer(request)
        return writer

    def push(self, events: bytes) -> None:
        """Send a piece of an event stream at once; an empty one sends nothing.

        Raises:
            ClientGone: nobody reads it any more.
        """
        if not events:
            return
        if not self._started:
            self._start(200, _STREAM | _served_by(self._event))
        self._out.write(events)

    def whole(self, body: bytes, status: int = 200) -> None:
        """Send a whole JSON document; raises as `push` does."""
        self._start(status, _JSON | _served_by(self._event))
        self._out.write(body)

    def fail(self, error: Exception) -> None:
        """Say what went wrong: as the response, or, where that has begun, as its last event; raises as `push` does."""
        self._event.outcome = errors.outcome(error)
        if not self._started:
            self._start(errors.translate(error).status, errors.headers(error))
            self._out.write(self.dialect.envelope(error))
        elif self._writer:
            self._out.write(self._writer.failed(error))

    def _start(self, status: int, headers: dict[str, str]) -> None:
        event = self._event
        event.status = status
        event.mark_first_chunk()
        overhead = f"{event.overhead * 1000:.1f}"
        id_ = event.request_id
        own = {"x-request-id": id_, self.dialect.id_header: id_, "x-nexus-overhead-ms": overhead}
        self._started = True
        self._out.start(status, self.headers | headers | own)


def _served_by(event: Event) -> dict[str, str]:
    """Say who served, and, once it is settled, for how much."""
    if not event.provider:
        return {}
    served = {"x-nexus-provider": event.provider, "x-nexus-model": event.served}
    return served if event.cost is None else {**served, "x-nexus-cost-usd": usd(event.cost)}
