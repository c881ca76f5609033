"""The service's HTTP face: a raw ASGI application, as a web framework costs more than all of it.

It never raises: functions-framework answers an exception with a second response, which breaks the connection.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from gpu_service.asgi import ClientGone, Exchange, Response
from gpu_service.callers import Callers
from gpu_service.errors import NotReady
from gpu_service.log import event
from gpu_service.metrics import CONTENT_TYPE
from gpu_service.tasks.answer import Streamed
from gpu_service.tasks.routes import PATHS, invoke
from gpu_service.watchdog import Watchdog, leave
from shared.core.errors import MethodNotAllowed, NotFound, envelope, headers, translate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from gpu_service.asgi import Receive, Scope, Send
    from gpu_service.fleet import Fleet
    from gpu_service.settings import Settings
    from gpu_service.tasks.answer import Answer
    from gpu_service.tasks.routes import Task
    from gpu_service.tracing import Tracing

    Handler = Callable[[Exchange], Awaitable[Response | Streamed]]

KEYLESS = frozenset({"/ping", "/health", "/health/live", "/health/ready"})  # what platforms ask, without a token

_FRAMES = 5

_encode = msgspec.json.Encoder().encode


class App:
    """Answers every path of the service."""

    def __init__(
        self,
        fleet: Fleet,
        settings: Settings,
        leave: Callable[[float], None] = leave,
        *,
        tracing: Tracing | None = None,
    ) -> None:
        self.fleet = fleet
        self.watchdog = Watchdog(fleet, settings.patience, partial(leave, settings.drain_seconds))
        self._watching: asyncio.Task[None] | None = None
        self._tracing = tracing
        self._settings = settings
        self._callers = Callers(settings)
        self._routes: Mapping[str, Mapping[str, Handler]] = {
            "/ping": {"GET": self._ready},
            "/health": {"GET": self._ready},
            "/health/live": {"GET": self._live},
            "/health/ready": {"GET": self._ready},
            "/metrics": {"GET": self._metrics},
            "/v1/models": {"GET": self._models},
            "/invocations": {"POST": self._invocations},
            **{path: {"POST": partial(self._answer, task)} for path, task in PATHS.items()},
        }

    @property
    def paths(self) -> frozenset[str]:
        """The paths that are answered with anything but 404."""
        return frozenset(self._routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; the first one of any kind starts to load the model."""
        if scope["type"] != "http":
            return
        self.start()
        exchange = Exchange(scope, receive, send)
        try:
            response = await self._answered(exchange)
            if isinstance(response, Streamed):
                response = await self._streamed(exchange, response)
            else:
                await exchange.respond(response)
        except ClientGone:
            response = Response(499)
        known = exchange.path if exchange.path in self._routes else "other"
        self.fleet.telemetry.answered(known, response.status, exchange.seconds, exchange.phases, exchange.facts)
        if exchange.path in KEYLESS:  # probes come each second and say nothing
            return
        if self._settings.access_log:
            event("request", **exchange.told(response))
        if self._tracing is not None:
            self._tracing.answered(exchange, known, response.status)

    def start(self) -> asyncio.Task[Any]:
        """Begin to load the model, if nobody has."""
        if self._watching is None:
            self._watching = asyncio.get_running_loop().create_task(self.watchdog.watch())
        return self.fleet.start()

    def stop(self) -> None:
        """End what is still open, each with an answer or a last event that says why."""
        self.fleet.stop()

    def close(self) -> None:
        """Stop what has not begun."""
        if self._watching is not None:
            self._watching.cancel()
        self.fleet.close()
        if self._tracing is not None:
            self._tracing.close()

    async def _answered(self, exchange: Exchange) -> Response | Streamed:
        try:
            if exchange.path not in KEYLESS:
                await self._callers.check(exchange.every(b"authorization"), exchange.peer)
            return await self._handler(exchange)(exchange)
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets one envelope and the log the reason
            known = translate(error)
            if known is not error:
                event("failure", request_id=exchange.request_id, error=_name(error), at=_place(error))
            return Response(known.status, envelope(known), headers(known))

    def _handler(self, exchange: Exchange) -> Handler:
        methods = self._routes.get(exchange.path)
        if methods is None:
            raise NotFound(f"There is nothing at {exchange.path}.")
        method = "GET" if exchange.method == "HEAD" else exchange.method
        if method not in methods:
            raise MethodNotAllowed(
                f"{exchange.path} does not answer {exchange.method}.", headers={"allow": ", ".join(methods)}
            )
        return methods[method]

    async def _live(self, _exchange: Exchange) -> Response:
        if self.fleet.is_stuck:
            raise NotReady("A run of the model does not end.", retry_after=1)
        return Response(200, _encode({"status": "live"}))

    async def _ready(self, _exchange: Exchange) -> Response:
        if self.fleet.state != "ready":
            raise NotReady(f"The model is not ready: {self.fleet.state}.", retry_after=1)
        return Response(200, _encode({"status": "ready"}))

    async def _metrics(self, _exchange: Exchange) -> Response:
        return Response(200, self.fleet.telemetry.render(), {"content-type": CONTENT_TYPE})

    async def _models(self, _exchange: Exchange) -> Response:
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "gpu-service"} for name in self.fleet.names]
        return Response(200, _encode({"object": "list", "data": listed}))

    async def _answer(self, task: Task, exchange: Exchange) -> Response | Streamed:
        body = await exchange.body(self._settings.body_seconds)
        return await self._computed(exchange, task(self.fleet, body))

    async def _invocations(self, exchange: Exchange) -> Response | Streamed:
        """SageMaker's one path for everything: the model's task decides. One model alone needs no name."""
        body = await exchange.body(self._settings.body_seconds)
        return await self._computed(exchange, invoke(self.fleet, body))

    async def _computed(self, exchange: Exchange, work: Coroutine[Any, Any, Answer | Streamed]) -> Response | Streamed:
        answer = await exchange.unless_gone(work)
        if isinstance(answer, Streamed):
            return answer
        times = exchange.note(answer.work, answer.phases, rows=answer.rows, tokens=answer.tokens, cached=answer.hits)
        told = {f"x-{phase}-ms": str(time) for phase, time in times.items()}
        known = {"x-cached-rows": str(answer.hits)}
        return Response(200, answer.body, {"content-type": "application/json", **told, **known})

    async def _streamed(self, exchange: Exchange, answer: Streamed) -> Response:
        try:
            await exchange.stream(answer.events, answer.cancel)
        finally:
            work = answer.done()
            phases = {"inference": time.perf_counter() - work.began}
            exchange.note(work, phases, rows=1, tokens=work.read + work.written, cached=0)
        return Response(200)


def _name(error: Exception) -> str:
    """Name what went wrong; in the words of ONNX Runtime, which knows no texts, but no other's: they may quote one."""
    kind = type(error)
    return f"{kind.__name__}: {error}" if kind.__module__.startswith("onnxruntime") else kind.__name__


def _place(error: Exception) -> list[str]:
    """Give the last calls before `error`, without what they were called with."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
