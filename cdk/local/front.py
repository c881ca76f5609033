"""API Gateway on this machine: an ASGI application that serves an `Api` by invoking functions.

A request is routed, received whole, authorized, throttled, and given to its function; the answer is passed on whole or,
for a streaming integration, piece by piece as it arrives. Everything that ends a request before a function answered is
a `Refused`, which becomes a gateway response in one place.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from cdk.local import response
from cdk.local.authorizing import Authorizing
from cdk.local.gateway_responses import Refused
from cdk.local.invocation import FunctionError, Invocation, PayloadTooLarge, Throttled
from cdk.local.request import Request
from cdk.local.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from cdk.local.api import Api
    from cdk.local.authorizing import Invoker, MoreKeys
    from cdk.local.gateway_responses import Answer

    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]
    AccessLog = Callable[["Access"], None]
    Firewall = Callable[[str], Awaitable[bool]]

# Quotas of API Gateway: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
MAX_BODY = 10 * 1024 * 1024
STREAM_IDLE_SECONDS = 300.0
BODY_SECONDS = 30.0
LINGER_SECONDS = 2.0  # so long an unread body is taken in after its refusal, lest a reset overtake the answer
LINGER_BYTES = 64 * 1024 * 1024
_EMPTY_STATUSES = {204, 304}
_LOGGER = logging.getLogger("nexus.front")


@dataclass(slots=True)
class Access:
    """What the access log learns of one request: neither its query nor its headers, where secrets travel.

    Attributes:
        outcome: `ok`, the name of a gateway response, `cut` (the function failed in mid-stream) or `client gone`.
        reason: Why, in the operator's words, where it is not `ok`.
        seconds: From the request's head to the answer's last byte.
        sent: Bytes of the answer's body.
    """

    request_id: str
    method: str
    path: str
    resource: str | None
    source_ip: str
    status: int = 0
    outcome: str = "ok"
    reason: str = ""
    seconds: float = 0.0
    sent: int = 0


class ClientLeftError(Exception):
    """The client hung up before its request was complete."""


class CutError(Exception):
    """The answer broke off after it had begun: the connection is closed without its proper end."""


class Front:
    """The ASGI application; `cdk.local.server.serve` puts it on a port."""

    def __init__(
        self,
        api: Api,
        invoker: Invoker,
        *,
        access_log: AccessLog,
        throttle: Throttle | None = None,
        more_keys: MoreKeys | None = None,
        firewall: Firewall | None = None,
    ) -> None:
        """`more_keys` looks up API keys that are not in the template; `firewall` says whether to refuse an address."""
        self.api = api
        self._invoker = invoker
        self._log = access_log
        self._authorizing = Authorizing(api, invoker, more_keys=more_keys)
        self._throttle = throttle or Throttle(api.stage)
        self._firewall = firewall

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401 - as ASGI has it
        """Serve one request."""
        request = Request(scope, self.api)
        exchange = _Exchange(request, receive, send)
        began = time.perf_counter()
        try:
            await self._answer(exchange)
        except Refused as refused:
            await self._refuse(exchange, refused)
        except CutError as cut:
            exchange.access.outcome, exchange.access.reason = "cut", str(cut)
        except ClientLeftError:
            exchange.access.outcome = "client gone"
        except asyncio.CancelledError:  # the server is closing, and ends the connection itself
            exchange.access.outcome, exchange.access.reason = "cut", "the front is closing"
        except Exception as error:
            _LOGGER.exception("The front failed at request %s", request.request_id)
            await self._apologise(exchange, repr(error))
        finally:
            exchange.access.seconds = time.perf_counter() - began
            self._log(exchange.access)

    def malformed(self, status: int, source_ip: str, reason: str) -> Answer:
        """Answer and log a request that could not be parsed, so that there is nothing to route."""
        nothing = {"type": "http", "method": "", "raw_path": b"", "query_string": b"", "http_version": "1.1"}
        request = Request({**nothing, "headers": [], "client": (source_ip, 0)}, self.api)
        answer = self.api.responses.render("DEFAULT_4XX", request.context, status=status)
        access = _access(request)
        access.status, access.outcome, access.reason = answer.status, "DEFAULT_4XX", reason
        self._log(access)
        return answer._replace(headers=[*answer.headers, *_own_headers(request)])

    async def _answer(self, exchange: _Exchange) -> None:
        request = exchange.request
        if self._firewall and await self._firewall(request.source_ip):
            raise Refused("WAF_FILTERED", reason="the address is blocked")
        method = request.wanted()
        body = await exchange.body()
        key = await self._authorizing.admit(method, request)
        self._throttle.admit(method, key)
        event = request.proxy_event(body)
        invocation: Invocation | None = None
        try:
            async with asyncio.timeout(method.integration.timeout_s) as timer:
                invocation = await self._invoker.invoke(method.integration.function, event, trace_id=request.trace_id)
                await (self._stream if method.integration.stream else self._buffer)(exchange, invocation, timer)
        except TimeoutError as error:
            raise exchange.failure("INTEGRATION_TIMEOUT", f"after {method.integration.timeout_s} s") from error
        except PayloadTooLarge as error:
            raise Refused("REQUEST_TOO_LARGE", reason=str(error)) from error
        except Throttled as error:
            raise Refused("DEFAULT_5XX", status=500, reason=str(error)) from error
        except (FunctionError, response.MalformedAnswer) as error:
            raise exchange.failure("DEFAULT_5XX", str(error), status=502) from error
        finally:
            if invocation is not None:
                invocation.abandon()

    async def _buffer(self, exchange: _Exchange, invocation: Invocation, _timer: asyncio.Timeout) -> None:
        head, body = response.whole(await invocation.read())
        await exchange.send_whole(head.status, head.headers, body)

    async def _stream(self, exchange: _Exchange, invocation: Invocation, timer: asyncio.Timeout) -> None:
        """Pass chunks on as they come. A client that left is not noticed: the function is heard to its end."""
        head, first = await response.streamed(invocation)
        await exchange.start(head.status, head.headers)
        if first:
            await exchange.chunk(first)
        end, patience = timer.when() or 0.0, 0.0
        async for chunk in invocation:
            await exchange.chunk(chunk)
            now = asyncio.get_running_loop().time()
            if now > patience:  # moving a timer for each chunk would cost more than the chunk
                patience = now + 1
                timer.reschedule(min(end, now + STREAM_IDLE_SECONDS))
        await exchange.finish()

    async def _apologise(self, exchange: _Exchange, reason: str) -> None:
        ended = exchange.failure("DEFAULT_5XX", reason)
        if isinstance(ended, Refused):
            await self._refuse(exchange, ended)
        exchange.access.outcome, exchange.access.reason = "DEFAULT_5XX", reason

    async def _refuse(self, exchange: _Exchange, refused: Refused) -> None:
        exchange.access.outcome, exchange.access.reason = refused.name, str(refused)
        answer = self.api.responses.render(
            refused.name, exchange.request.context, status=refused.status, message=refused.message
        )
        await exchange.send_whole(answer.status, answer.headers, answer.body)


class _Exchange:
    """One request's traffic with the client."""

    def __init__(self, request: Request, receive: Receive, send: Send) -> None:
        self.request = request
        self.access = _access(request)
        self._receive = receive
        self._send = send
        self._received = not request.has_body
        self._started = False
        self._empty = False

    async def body(self) -> bytes:
        """Take the request's body in.

        Raises:
            Refused: it is too large, or too slow.
            ClientLeftError: it never came.
        """
        length = self.request.header(b"content-length")
        if length is not None and int(length) > MAX_BODY:
            raise Refused("REQUEST_TOO_LARGE", reason=f"Content-Length {int(length)}")
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while not self._received:
                    parts.append(await self._part())
                    if sum(map(len, parts)) > MAX_BODY:
                        raise Refused("REQUEST_TOO_LARGE", reason="more than 10 MB arrived")
        except TimeoutError as error:
            raise Refused("DEFAULT_4XX", status=408, message="Request Timeout", reason="slow body") from error
        return b"".join(parts)

    def failure(self, name: str, reason: str, *, status: int | None = None) -> Exception:
        """Return how an integration's failure ends the exchange, now that it may have begun to answer."""
        return CutError(reason) if self._started else Refused(name, status=status, reason=reason)

    async def start(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Send status and headers, at once."""
        self._started = True
        self._empty = status in _EMPTY_STATUSES
        self.access.status = status
        fields = [*headers, *_own_headers(self.request)]
        if not self._received:
            fields.append(("connection", "close"))
        encoded = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in fields]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def chunk(self, data: bytes) -> None:
        """Send a piece of the body, at once."""
        if not self._empty:
            self.access.sent += len(data)
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self) -> None:
        """End the answer."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def send_whole(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """Send an answer whose length is known."""
        length = [] if status in _EMPTY_STATUSES else [("content-length", str(len(body)))]
        await self.start(status, [*headers, *length])
        if self._received:
            self.access.sent = 0 if self._empty else len(body)
            await self._send({"type": "http.response.body", "body": b"" if self._empty else body, "more_body": False})
            return
        await self.chunk(body)
        await self._linger()
        await self.finish()

    async def _linger(self) -> None:
        if self.request.header(b"expect"):
            return  # the client has not begun to send, and now never will
        left = LINGER_BYTES
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while left > 0 and not self._received:
                    left -= len(await self._part())
        except (TimeoutError, ClientLeftError):
            return  # either way the connection closes now

    async def _part(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        self._received = not message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part


def _own_headers(request: Request) -> list[tuple[str, str]]:
    return [
        ("date", formatdate(usegmt=True)),
        ("x-amzn-requestid", request.request_id),
        ("x-amz-apigw-id", request.context["extendedRequestId"]),
        ("x-amzn-trace-id", request.trace_id),
    ]


def _access(request: Request) -> Access:
    resource = request.match.method.resource_path if request.match else None
    return Access(request.request_id, request.method, request.path, resource, request.source_ip)
