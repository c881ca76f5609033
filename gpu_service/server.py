"""`python -m gpu_service serve`: uvicorn on functions-framework's ASGI application, with the hot paths in front of it.

functions-framework (Starlette's routing, two middlewares) adds half again to what a request costs outside the model,
130 instead of 85 us of CPU. So `/ping`, `/invocations` and the tasks' paths go past it to the very application that it
would reach, and all other paths go through it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import functions_framework.aio
import uvicorn

from gpu_service import main
from gpu_service.connection import PATIENCE, Protocol
from gpu_service.guard import check_guard
from gpu_service.log import event
from gpu_service.model import ModelError
from gpu_service.tasks.routes import PATHS
from gpu_service.watchdog import force

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import FrameType

    from gpu_service.app import App
    from gpu_service.asgi import Receive, Scope, Send
    from gpu_service.settings import Settings

    ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

HOT: Final = frozenset({"/ping", "/invocations", *PATHS})
_LAST: Final = 1.0  # of the seconds of draining: for telling open streams that there will be no more
_SWITCH: Final = 0.0005  # seconds; Python's own 5 ms keep a worker that needs the GIL from its next run for that long
_GARBAGE: Final = 10_000  # new objects before a collection; Python's own 700 are those of five requests


class Front:
    """Sends hot paths straight to the application, and begins to load the model when the server starts."""

    def __init__(self, app: App, entry: ASGIApp) -> None:
        self._app = app
        self._entry = entry
        self.failed = False
        self.stop: Callable[[], None] = _nothing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or the server's own start and stop."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["path"] in HOT:
            await self._app(scope, receive, send)
        else:
            await self._entry(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self._app.start().add_done_callback(self._loaded)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._app.close()
        await send({"type": "lifespan.shutdown.complete"})

    def _loaded(self, loading: asyncio.Task[Any]) -> None:
        """A server that will never be ready ends, so that its platform can tell."""
        error = None if loading.cancelled() else loading.exception()
        if error is None:
            settle()
            event("ready")
            return
        self.failed = True
        sys.stderr.write(f"gpu_service: {error}\n")
        self.stop()


class Server(uvicorn.Server):
    """Drains as uvicorn does, and shortly before it would cut off what is left, has `stop` end it in good order."""

    def __init__(self, config: uvicorn.Config, stop: Callable[[], None], patience: float) -> None:
        super().__init__(config)
        self._stop = stop
        self._patience = patience

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nothing new, finish what is under way."""
        ending = asyncio.get_running_loop().call_later(self._patience, self._stop)
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, then finish what is under way; returns the exit status.

    Raises:
        ModelError: there is no model to serve, or the address cannot be listened on.
        SettingsError: others could call, and nobody would check who they are.
    """
    check_guard(settings)
    app = main.application()
    listener = _listen(settings.host, settings.port)
    front = Front(app, _entry())
    server = Server(_config(front, settings), app.stop, settings.drain_seconds - _LAST)
    front.stop = partial(setattr, server, "should_exit", True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)  # uvicorn drains first, and then sends itself the signal again
    event("listening", host=settings.host, port=listener.getsockname()[1])
    try:
        server.run(sockets=[listener])
    finally:
        if app.watchdog.left:
            force()
    return int(front.failed)


def settle() -> None:
    """Keep what was loaded out of the garbage collector's sight, and let workers have the GIL soon."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    sys.setswitchinterval(_SWITCH)


def _entry() -> ASGIApp:
    make: Callable[..., ASGIApp] = functions_framework.aio.create_asgi_app_from_module
    return make("gpu_service", main.__file__, "http", main, main.__spec__)


def _config(front: Front, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        front,
        http=Protocol,
        lifespan="on",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=PATIENCE,
        timeout_graceful_shutdown=settings.drain_seconds,
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise ModelError(f"{host}:{port} cannot be listened on: {_reason(error)}.") from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does it only for sockets of its own making
    return listener


def _reason(error: OSError) -> str:
    """Say it in the system's words, without the details that Python adds; the resolver's numbers are negative."""
    number = error.errno or 0
    return os.strerror(number) if number > 0 else str(error.strerror or error)


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _nothing() -> None:
    """Until there is a server to stop."""
