"""The Lambda Runtime API for one function process, on a loopback port of its own.

A port for each process says who polls, since the contract has no other name for the caller. The wire is h11's, used
directly because chunked trailers, which carry errors in the middle of a stream, are lost in any ASGI server.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING

import h11

from cdk.local.invocation import FunctionError, InitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cdk.local.invocation import Invocation

BASE = "/2018-06-01/runtime"
MAX_BUFFERED_ANSWER = 6 * 1024 * 1024 + 100  # bytes, as Lambda measures it
MAX_STREAMED_ANSWER = 200 * 1024 * 1024
MAX_HEAD = 256 * 1024  # bytes of headers or trailers, which hold whole stack traces
_ERROR_TYPE = b"lambda-runtime-function-error-type"
_ERROR_BODY = b"lambda-runtime-function-error-body"
_MODE = b"lambda-runtime-function-response-mode"
_INVOCATION_ID = b"lambda-runtime-invocation-id"
_JSON = ("Content-Type", "application/json")
_ACCEPTED = b'{"status":"OK"}\n'


class RuntimeApi:
    """What one process sees of Lambda.

    `on_ready` is called each time the process asks for an event, `on_init_error` when it reports that it cannot start.
    """

    def __init__(
        self, *, timeout_s: float, on_ready: Callable[[], None], on_init_error: Callable[[InitError], None]
    ) -> None:
        self.timeout_s = timeout_s
        self.on_init_error = on_init_error
        self.current: Invocation | None = None
        self._on_ready = on_ready
        self._poller: _Connection | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._quiet: asyncio.Future[None] | None = None

    async def open(self) -> str:
        """Listen, and return `host:port` for AWS_LAMBDA_RUNTIME_API."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), "127.0.0.1", 0)
        return "127.0.0.1:{1}".format(*self._server.sockets[0].getsockname())

    async def quiet(self, seconds: float = 1.0) -> None:
        """Wait until the ended process's connections have been read to their end, for at most `seconds`."""
        self._quiet = asyncio.get_running_loop().create_future()
        if self._connections:
            await asyncio.wait([self._quiet], timeout=seconds)

    async def close(self) -> None:
        """Hang up on everyone."""
        if self._server:
            self._server.close()
        for connection in tuple(self._connections):
            connection.abort()
        if self._server:
            await self._server.wait_closed()

    def hand(self, invocation: Invocation) -> None:
        """Give `invocation` to the process that waits for one; call it only after `on_ready`."""
        poller, self._poller = self._poller, None
        if poller is None:
            invocation.end(FunctionError("Runtime.ExitError", "The process is gone."))
            return
        self.current = invocation
        poller.answer(200, invocation.event, invocation.begin(self.timeout_s))

    def polled(self, connection: _Connection) -> None:
        """The process wants its next event; one it has not answered is lost."""
        if self.current and not self.current.done:
            self.current.end(FunctionError("Runtime.NoResponse", "The runtime asked for an event before it answered."))
        self.current = None
        self._poller = connection
        self._on_ready()

    def opened(self, connection: _Connection) -> None:
        """Remember a connection, so that `close` can end it."""
        self._connections.add(connection)

    def closed(self, connection: _Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        if self._poller is connection:
            self._poller = None
        if self._quiet and not self._connections and not self._quiet.done():
            self._quiet.set_result(None)


class _Connection(asyncio.Protocol):
    """One HTTP connection; requests on it come one after the other."""

    def __init__(self, api: RuntimeApi) -> None:
        self._api = api
        self._http = h11.Connection(h11.SERVER, MAX_HEAD)
        self._transport: asyncio.Transport | None = None
        self._exchange: _Exchange | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - tells mypy what TCP gives
        self._transport = transport
        self._api.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._api.closed(self)
        if self._exchange:
            self._exchange.cut(exc)

    def data_received(self, data: bytes) -> None:
        try:
            self._http.receive_data(data)
            self._pump()
        except h11.RemoteProtocolError as error:
            if self._exchange:
                self._exchange.cut(error)
            self.abort()

    def abort(self) -> None:
        """Close at once."""
        if self._transport:
            self._transport.abort()

    def hold(self, hold: bool) -> None:  # noqa: FBT001 - the shape of `Invocation.on_flow`
        """Stop or resume reading from the function."""
        if self._transport and not self._transport.is_closing():
            (self._transport.pause_reading if hold else self._transport.resume_reading)()

    def answer(self, status: int, body: bytes = _ACCEPTED, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole response, in one segment where it fits."""
        if self._transport is None or self._transport.is_closing():
            return
        fields = [_JSON, ("Content-Length", str(len(body))), *(headers or {}).items()]
        response = h11.Response(status_code=status, headers=fields)
        parts = [self._http.send(response), self._http.send(h11.Data(data=body)), self._http.send(h11.EndOfMessage())]
        self._transport.write(b"".join(part for part in parts if part))
        self._next_cycle()

    def _next_cycle(self) -> None:
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._exchange = None
            self._http.start_next_cycle()

    def _pump(self) -> None:
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Data):
                if self._exchange:
                    self._exchange.data(bytes(event.data))
            elif isinstance(event, h11.Request):
                self._exchange = _Exchange(self._api, self, event)
            elif isinstance(event, h11.EndOfMessage):
                if self._exchange:
                    self._exchange.end(dict(event.headers))
            else:  # nothing more for now, or for good
                return


class _Exchange:
    """One request of the process, by what it asks for."""

    def __init__(self, api: RuntimeApi, connection: _Connection, request: h11.Request) -> None:
        self._api = api
        self._connection = connection
        self._headers = dict(request.headers)
        self._route = request.method.decode(), request.target.decode().removeprefix(BASE)
        self._invocation = self._asked_for()
        self._answers = self._invocation is not None and self._route[1].endswith("/response")
        self._body = bytearray()
        self._size = 0
        self._closed = False
        if self._invocation and self._answers:
            self._invocation.streamed = self._headers.get(_MODE) == b"streaming"
            self._invocation.on_flow = connection.hold

    def _asked_for(self) -> Invocation | None:
        current = self._api.current
        if current is None or current.done or self._route[0] != "POST":
            return None
        echoed = self._headers.get(_INVOCATION_ID)
        mine = self._route[1].startswith(f"/invocation/{current.request_id}/")
        return current if mine and echoed in {None, current.request_id.encode()} else None

    def data(self, data: bytes) -> None:
        """Take a piece of the request's body, and pass it on at once where it is an answer."""
        self._size += len(data)
        if not (self._invocation and self._answers):
            if self._size <= MAX_BUFFERED_ANSWER:
                self._body += data
            return
        most = MAX_STREAMED_ANSWER if self._invocation.streamed else MAX_BUFFERED_ANSWER
        if self._size > most:
            self._invocation.end(FunctionError("Function.ResponseSizeTooLarge", f"More than {most} bytes."))
        else:
            self._invocation.feed(data)

    def end(self, trailers: Mapping[bytes, bytes]) -> None:
        """Do what the request asked for, now that all of it is here."""
        self._closed = True
        if self._invocation:
            self._finish(self._invocation, trailers)
            return
        match self._route:
            case "GET", "/invocation/next":
                self._api.polled(self._connection)
            case "GET", "/restore/next":
                self._connection.answer(200)
            case "POST", "/init/error" | "/restore/error":
                failure = FunctionError.of(bytes(self._body), _text(self._headers.get(_ERROR_TYPE)))
                self._api.on_init_error(InitError(failure.kind, failure.message))
                self._connection.answer(202)
            case _:
                self._connection.answer(400, b'{"errorMessage":"No such invocation","errorType":"InvalidRequestID"}')

    def cut(self, reason: Exception | None) -> None:
        """The connection ended; in the middle of an answer, that is the end of the invocation too."""
        if self._invocation and not self._closed:
            self._invocation.end(FunctionError("Runtime.TruncatedResponse", f"The answer broke off ({reason})."))

    def _finish(self, invocation: Invocation, trailers: Mapping[bytes, bytes]) -> None:
        if self._answers and self._size > MAX_BUFFERED_ANSWER and not invocation.streamed:
            self._connection.answer(413, b'{"errorMessage":"Too large","errorType":"RequestEntityTooLarge"}')
            return
        self._connection.answer(202)
        invocation.end(self._failure(trailers))

    def _failure(self, trailers: Mapping[bytes, bytes]) -> FunctionError | None:
        if not self._answers:
            return FunctionError.of(bytes(self._body), _text(self._headers.get(_ERROR_TYPE)))
        if _ERROR_TYPE not in trailers:
            return None
        return FunctionError.of(_decoded(trailers.get(_ERROR_BODY, b"")), _text(trailers[_ERROR_TYPE]))


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _decoded(value: bytes) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        return value
