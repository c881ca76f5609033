"""Puts the front on a port: uvicorn's h11 protocol, made strict about heads and impatient with slow ones.

h11 is lenient where a proxy in front of it must not be: it takes bare line feeds, folded headers, and a
Transfer-Encoding beside a Content-Length. Any of them is a way to smuggle one request past another.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import re
import socket
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from cdk.local.child import LocalError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cdk.local.front import Front

MAX_HEAD = 32 * 1024  # bytes; what is between API Gateway's quota and this still gets a routed, logged answer
HEAD_SECONDS = 30.0
KEEP_ALIVE_SECONDS = 60
DRAIN_SECONDS = 2.0
_LOOSE_LINE = re.compile(rb"(?<!\r)\n|\r\n[ \t]|\r(?!\n|$)")
_FIRST_LINE = re.compile(rb"[^\r\n]+ HTTP/1\.[01](?=\r\n|$)")
_LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:", re.IGNORECASE)
_CODING = re.compile(rb"\r\ntransfer-encoding[ \t]*:", re.IGNORECASE)
_TOO_LARGE = 431
_SILENT = logging.getLogger("nexus.front.wire")  # whatever uvicorn has to say is in the access log already
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


class PortTaken(LocalError):  # noqa: N818 - a fact about the machine
    """Another process listens on the port."""

    def __init__(self, port: int) -> None:
        super().__init__(f"Port {port} is taken: stop what listens there, or choose another with --port.")
        self.port = port


class StrictConnection(h11.Connection):
    """Refuses request heads that two parsers could read in two ways."""

    refusal: h11.RemoteProtocolError | None = None

    def next_event(self) -> Any:  # noqa: ANN401 - as h11 has it
        """See h11; a refused head is also kept in `refusal`."""
        try:
            if self.their_state is h11.IDLE:
                check_head(self.trailing_data[0])
            return super().next_event()
        except h11.RemoteProtocolError as error:
            self.refusal = error
            raise


def check_head(data: bytes) -> None:
    """Look at the first request head in `data`, which may be incomplete.

    Raises:
        h11.RemoteProtocolError: it is too long, or ambiguous.
    """
    head, end, _ = data.partition(b"\r\n\r\n")
    if len(head) > MAX_HEAD:
        raise h11.RemoteProtocolError("The head is too long.", error_status_hint=_TOO_LARGE)
    if end and not _FIRST_LINE.match(head):
        raise h11.RemoteProtocolError("The first line is no request of HTTP/1.")
    if _LOOSE_LINE.search(head):
        raise h11.RemoteProtocolError("A line of the head is folded, or does not end in CR LF.")
    if end and len(_LENGTH.findall(head)) + len(_CODING.findall(head)) > 1:
        raise h11.RemoteProtocolError("The head says twice how long the body is.")


class Protocol(H11Protocol):
    """One connection."""

    conn: StrictConnection

    def __init__(self, config: Config, state: ServerState, front: Front) -> None:
        super().__init__(config, state, {})
        self.logger = _SILENT
        self.conn = StrictConnection(h11.SERVER, MAX_HEAD + 4)
        self._front = front
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the client a bounded time for its first head."""
        super().connection_made(transport)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._unwatch_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; each incomplete head has a bounded time to be completed."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._watch_head()
        else:
            self._unwatch_head()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request with a gateway response, and close; in mid-answer, just close."""
        if self.cycle is not None:
            self.cycle.disconnected = True  # whoever waits for the rest of the body waits no longer
            self.cycle.message_event.set()
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            reason = self.conn.refusal
            status = _TOO_LARGE if reason and reason.error_status_hint == _TOO_LARGE else 400
            answer = self._front.malformed(status, self.client[0] if self.client else "", str(reason or msg))
            headers = [*answer.headers, ("content-length", str(len(answer.body))), ("connection", "close")]
            events = [h11.Response(status_code=answer.status, headers=headers), h11.Data(data=answer.body)]
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in [*events, h11.EndOfMessage()]))
        self.transport.close()

    def _should_upgrade(self) -> bool:
        return False

    def _watch_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _unwatch_head(self) -> None:
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None


@contextlib.asynccontextmanager
async def serve(front: Front, host: str, port: int) -> AsyncIterator[int]:
    """Serve `front` inside the `async with`; yields the bound port, which `port` 0 leaves to the system.

    Raises:
        PortTaken: somebody listens there.
    """
    listener = _listen(host, port)
    config = Config(
        front,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Protocol(config, state, front), sock=listener, backlog=1024)
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.close()
        await _drain(state)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does it only for sockets of its own making
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(port) from error
        raise LocalError(f"{host}:{port} cannot be listened on: {error.strerror}.") from error
    return listener


async def _drain(state: ServerState) -> None:
    """Let answers that have begun end, for a moment; then end them."""
    for connection in tuple(state.connections):
        connection.shutdown()
    if state.tasks:
        await asyncio.wait(tuple(state.tasks), timeout=DRAIN_SECONDS)
    for connection in tuple(state.connections):
        connection.transport.abort()
    for task in tuple(state.tasks):
        task.cancel()
    await asyncio.gather(*tuple(state.tasks), return_exceptions=True)
