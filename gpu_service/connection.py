"""A connection as uvicorn has it, corked, and with an end for clients that neither send nor read.

uvicorn waits for ever for a request's head that does not come whole, and for a client to read its answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gpu_service.corked import Corked

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

PATIENCE: Final = 75  # seconds; longer than a load balancer keeps a connection, so that it is never ours that closes
_ANSWER: Final = object()  # an answer was under way


class Protocol(HttpToolsProtocol):
    """What `uvicorn.Config` takes for `http`."""

    def __init__(self, *given: Any, **named: Any) -> None:  # noqa: ANN401 - whatever uvicorn gives
        super().__init__(*given, **named)
        self._sent = 0
        self._behind: object = _ANSWER
        self._looking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection."""
        self._corked = Corked(transport)
        super().connection_made(cast("asyncio.Transport", self._corked))
        self._looking = self.loop.call_later(PATIENCE, self.look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no longer."""
        if self._looking is not None:
            self._looking.cancel()
        super().connection_lost(exc)

    def look(self) -> None:
        """Cut off who has read nothing of an answer, or finished no request's head, since the last look."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        is_idle = cycle is None or cycle.response_complete
        waits = is_idle and self.timeout_keep_alive_task is None  # uvicorn's own timer ends who waits in order
        sent, unread = self._corked.sent, self._corked.get_write_buffer_size() > 0
        if (waits and self._behind is cycle) or (unread and self._sent == sent):
            self._corked.abort()
            return
        self._sent, self._behind = sent, cycle if waits else _ANSWER
        self._looking = self.loop.call_later(PATIENCE, self.look)
