"""The Lambda of `/v1/files` and `/v1/batches`: each caller sees its own, an administrator those of the organization.

Its answers are streams, because what comes out of a batch is larger than a whole answer may be.
"""

from __future__ import annotations

import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from functions import arrival, batch_files, batch_jobs
from functions.batch_calls import Answer, Call
from functions.batch_objects import Objects
from functions.batch_queue import Queue
from functions.batch_records import Records
from functions.callers import confirmed
from functions.networks import refuse_blocked
from functions.registry import Registry
from shared.core import errors, principals
from shared.core.errors import GatewayError
from shared.edge.batch_settings import BatchesSettings
from shared.edge.response import ClientGone
from shared.edge.telemetry import Event, Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.core.principals import Principal
    from shared.edge.response import Out


class Batches(NamedTuple):
    """What outlives a request."""

    registry: Registry
    records: Records
    objects: Objects
    queue: Queue
    telemetry: Telemetry
    now: Callable[[], float] = time.time


_ROUTES: Final[dict[str, dict[str, Callable[[Call], Answer]]]] = {
    "/v1/batches": {"GET": batch_jobs.jobs, "POST": batch_jobs.create},
    "/v1/batches/{id}": {"GET": batch_jobs.show},
    "/v1/batches/{id}/cancel": {"POST": batch_jobs.cancel},
    "/v1/files": {"GET": batch_files.files, "POST": batch_files.upload},
    "/v1/files/{id}": {"DELETE": batch_files.delete, "GET": batch_files.show},
    "/v1/files/{id}/content": {"GET": batch_files.content},
}


@cache
def _batches() -> Batches:
    return build(os.environ)


def build(environment: Mapping[str, str]) -> Batches:
    """Make what `environment` describes; nothing is connected to before it is used.

    Raises:
        SettingsError: a variable is missing, or means nothing.
    """
    settings = BatchesSettings.from_env(environment)
    return Batches(
        Registry.reading(settings.directory_table, settings.aws),
        Records.open(settings.batches_table, settings.aws),
        Objects.open(settings.batch_bucket, settings.aws),
        Queue.open(settings.batch_queue, settings.aws),
        Telemetry(settings.stage),
    )


def handler(event: Mapping[str, Any], context: Any, out: Out) -> None:  # noqa: ANN401 - Lambda's
    """Entry point of the function."""
    serve(event, context, out, _batches())


handler.streams = True  # type: ignore[attr-defined]  # how the runtime loop knows


def serve(event: Mapping[str, Any], context: Any, out: Out, batches: Batches) -> None:  # noqa: ANN401 - Lambda's
    """Answer one request, whatever happens; write its line of telemetry.

    Raises:
        ClientGone: nobody reads the answer any more.
    """
    told = Event(context.aws_request_id)
    try:
        answer = _answer(event, told, batches)
        told.outcome, told.status = "ok", answer.status
        out.start(answer.status, {**answer.headers, "x-request-id": told.request_id})
        for piece in answer.pieces:
            out.write(piece)
    except ClientGone:
        told.outcome = "client_gone"
        raise
    except Exception as error:
        if not isinstance(error, GatewayError):
            batches.telemetry.fault(error, told.request_id)
        broken, told.outcome = told.status, errors.outcome(error)
        if broken:  # the answer has begun: what it lacks must not look like its end
            raise
        _refuse(error, told, out)
    finally:
        batches.telemetry.emit(told)


def _refuse(error: Exception, told: Event, out: Out) -> None:
    told.status = errors.translate(error).status
    out.start(told.status, {**errors.headers(error), "x-request-id": told.request_id})
    out.write(errors.envelope(error))


def _answer(event: Mapping[str, Any], told: Event, batches: Batches) -> Answer:
    answer = arrival.route(event, _ROUTES, told)
    caller = _caller(event, told, batches)
    return answer(Call(caller, event, batches.records, batches.objects, batches.queue))


def _caller(event: Mapping[str, Any], told: Event, batches: Batches) -> Principal:
    """Return who calls, as the Directory has it now, if that is allowed."""
    context = event.get("requestContext", {})
    caller = principals.from_context(context.get("authorizer") or {})
    told.key_id = caller.key_id
    caller = confirmed(batches.registry, caller, batches.now())
    caller.require("infer")
    address = str(context.get("identity", {}).get("sourceIp", ""))  # never a header's word
    refuse_blocked(batches.registry.find(caller.org, "org"), address, batches.now())
    return caller
