"""functions-framework's way in: `functions-framework --target gpu_service --source gpu_service/main.py` serves it all.

`--target on_object --signature-type cloudevent` serves the other way in: a file that lands in Google Cloud Storage.

functions-framework awaits what an asynchronous function returns as an ASGI application, so returning ours mounts it
under every path. It loads this file as a module of its own, in a process that forks its workers afterwards: nothing is
read from the environment, and no model is loaded, before the first request.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

import functions_framework.aio

from gpu_service.app import App
from gpu_service.asgi import Exchange, Response
from gpu_service.errors import NotReady
from gpu_service.events import landed
from gpu_service.fleet import Fleet
from gpu_service.log import event
from gpu_service.model import ModelError
from gpu_service.settings import Settings
from gpu_service.tracing import Tracing
from shared.core.errors import envelope, headers
from shared.edge.settings import SettingsError

if TYPE_CHECKING:
    from cloudevents.http import CloudEvent
    from starlette.requests import Request

    from gpu_service.asgi import Receive, Scope, Send


@cache
def application() -> App:
    """Give the one application of this process."""
    settings = Settings.from_env(os.environ)
    return App(Fleet.of(settings), settings, tracing=Tracing.of(os.environ))


@functions_framework.aio.http
async def gpu_service(_request: Request) -> Any:  # noqa: ANN401 - a type that functions-framework does not tell of
    """Entry point of every path; where the environment is wrong, each answer says so and the log says why."""
    try:
        return application()
    except (ModelError, SettingsError) as error:
        event("not_ready", error=str(error))
        return _unready


async def _unready(scope: Scope, receive: Receive, send: Send) -> None:
    error = NotReady("The service is set up wrongly; its log says how.")
    await Exchange(scope, receive, send).respond(Response(error.status, envelope(error), headers(error)))


@functions_framework.aio.cloud_event
async def on_object(happened: CloudEvent) -> None:
    """Entry point of Eventarc: answers the requests of a file that landed in a bucket; see `gpu_service.events`."""
    await landed(application().fleet, happened["type"], happened.data)
