"""The data plane's Lambda: takes an API Gateway event apart, finds who serves it, and sees that every failure is told.

Health needs no key; it and the lists of models answer while the stores are down. The rest goes through the pipeline.
"""

from __future__ import annotations

import os
import random
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from functions import arrival, models
from functions.ensemble import ensemble
from functions.pipeline import complete
from functions.plane import Gateway, build
from functions.reply import Reply
from functions.status import status
from functions.visiting import FIT, Visit, admitted_if_possible
from shared.core import planning, routing
from shared.core.chat import Chat
from shared.core.errors import (
    GatewayError,
    StoreUnavailable,
)
from shared.core.wire import encode
from shared.dialects import openai, registry, route
from shared.edge import snapshot
from shared.edge.response import ClientGone
from shared.edge.telemetry import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from functions.visiting import Context
    from shared.dialects.dialect import Dialect
    from shared.edge.response import Out


@cache
def _gateway() -> Gateway:
    return build(os.environ)


snapshot.register_before_snapshot(_gateway)


def handler(event: Mapping[str, Any], context: Context, out: Out) -> None:
    """Entry point of the gateway."""
    serve(event, context, out, _gateway())


handler.streams = True  # type: ignore[attr-defined]  # how the runtime loop knows


def serve(event: Mapping[str, Any], context: Context, out: Out, gateway: Gateway) -> None:
    """Answer one request, whatever happens; write its line of telemetry.

    Its id is the invocation's: API Gateway lets clients choose `requestContext.requestId`, and an id settles only once.

    Raises:
        ClientGone: nobody reads the answer any more.
    """
    told = Event(context.aws_request_id)
    reply = Reply(out, told)
    try:
        arrival.route(event, _ROUTES, told)(Visit(event, context, told, gateway, reply))
        told.outcome = told.outcome or "ok"
    except ClientGone:
        told.outcome = "client_gone"
        raise
    except Exception as error:  # noqa: BLE001 - the last one to see it
        if not isinstance(error, GatewayError):
            gateway.telemetry.fault(error, told.request_id)
        reply.fail(error)
    finally:
        gateway.telemetry.emit(told)


def _infer(spoken: Dialect | str) -> Callable[[Visit], None]:
    """Return what serves inference to clients that speak this dialect, or the one of this name."""

    def infer(visit: Visit) -> None:
        visit.reply.dialect = dialect = registry.loaded(spoken) if isinstance(spoken, str) else spoken
        call = visit.call("infer")
        call.request = request = dialect.parse(visit.body())
        visit.told.stream = isinstance(request, Chat) and request.stream
        if not call.principal.may_use(request.model):
            call.renew(visit.gateway.renewed(call.principal), visit.gateway.catalog)
        complete(call, visit.gateway, visit.reply, fit=visit.header(FIT) == "true")

    return infer


def _count_tokens(visit: Visit) -> None:
    """Tell about how many tokens a message has; no provider is asked, so it costs nothing but a request."""
    visit.reply.dialect = registry.loaded(registry.MESSAGES)
    call, gateway = visit.call("infer"), visit.gateway
    model, tokens = registry.loaded(registry.COUNT_TOKENS)(visit.body())
    if not call.principal.may_use(model):
        raise routing.unknown(model, gateway.catalog, call.principal.may_use)
    with admitted_if_possible(call, visit):
        routing.find(model, gateway.catalog, call.principal.may_use)
    visit.reply.whole(encode({"input_tokens": tokens}))


def _ensemble(visit: Visit) -> None:
    ensemble(visit.body(), visit.call("infer", "ensemble"), visit.gateway, visit.reply)


def _route_query(visit: Visit) -> None:
    call, gateway = visit.call("infer", "route"), visit.gateway
    query = route.parse(visit.body())
    visit.reply.dialect = route.dialect(query)
    call.request, visit.told.stream = query.chat, query.chat.stream
    call.choose = partial(routing.routed, query.chat.model, query.priority, gateway.catalog)
    if not query.dry_run:
        complete(call, gateway, visit.reply, fit=visit.header(FIT) == "true")
        return
    with admitted_if_possible(call, visit):
        may_use, configured = call.principal.may_use, gateway.providers.configured()
        alias = call.choose(may_use)
        plan = planning.plan(query.chat, gateway.catalog, configured, random.random, name=alias, may_use=may_use)
    visit.reply.whole(encode(plan))


def _status(visit: Visit) -> None:
    call = visit.call("read", "status")
    with admitted_if_possible(call, visit):
        found = status(call.principal.org, visit.gateway)
    visit.reply.whole(encode(found))


def _alive(visit: Visit) -> None:
    visit.reply.whole(encode({"status": "ok"}))


def _ready(visit: Visit) -> None:
    """Say whether requests can be served, and which part is down if not."""
    try:
        visit.gateway.admission.ping()
    except StoreUnavailable as error:
        raise StoreUnavailable(
            "Not ready: valkey does not answer.", retry_after=1, details={"checks": {"valkey": "down"}}
        ) from error
    visit.reply.whole(encode({"status": "ok", "checks": {"valkey": "ok"}}))


_ROUTES: dict[str, dict[str, Callable[[Visit], None]]] = {
    "/health": {"GET": _alive},
    "/health/live": {"GET": _alive},
    "/health/ready": {"GET": _ready},
    "/v1/models": {"GET": models.listed},
    "/v1/models/{id+}": {"GET": models.shown},
    "/v1/chat/completions": {"POST": _infer(openai.CHAT)},
    "/api/ai/ensemble": {"POST": _ensemble},
    "/api/ai/route": {"POST": _route_query},
    "/api/ai/status": {"GET": _status},
    "/v1/embeddings": {"POST": _infer(openai.EMBEDDINGS)},
    "/v1/moderations": {"POST": _infer(openai.MODERATIONS)},
    "/v1/rerank": {"POST": _infer(openai.RERANK)},
    "/api/llm/generate": {"POST": _infer(registry.GENERATE)},
    "/v1/completions": {"POST": _infer(registry.COMPLETIONS)},
    "/v1/responses": {"POST": _infer(registry.RESPONSES)},
    "/v1/messages": {"POST": _infer(registry.MESSAGES)},
    "/v1/messages/count_tokens": {"POST": _count_tokens},
}
