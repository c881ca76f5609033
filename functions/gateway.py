"""The data plane's Lambda: takes an API Gateway event apart, finds who serves it, and sees that every failure is told.

Health needs no key; it and the lists of models answer while the stores are down. The rest goes through the pipeline.
"""

from __future__ import annotations

import base64
import binascii
import os
import time
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import unquote

from functions.call import Call
from functions.ensemble import ensemble
from functions.pipeline import complete, settled
from functions.plane import Gateway, build
from functions.reply import Reply
from functions.status import status
from shared.core import addresses, principals, routing
from shared.core.catalog import entry, listing
from shared.core.chat import Chat
from shared.core.errors import (
    BadRequest,
    GatewayError,
    MethodNotAllowed,
    NotFound,
    StoreUnavailable,
    UpstreamUnavailable,
)
from shared.core.wire import encode
from shared.dialects import anthropic, generate, openai, responses
from shared.edge import snapshot
from shared.edge.response import ClientGone
from shared.edge.telemetry import Event
from shared.providers.adapter import Moment

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from shared.core.catalog import Alias, Catalog, Model
    from shared.core.principals import Action, Principal
    from shared.dialects.dialect import Dialect
    from shared.edge.response import Out

FIT = "x-nexus-fit-budget"  # "true": shorten my answers to what my budgets afford
END_SECONDS = 2.0  # before Lambda's own deadline: time to tell the client, to settle and to log


class Context(Protocol):
    """What is used of the invocation's context."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the invocation."""


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
        _route(event, told)(_Visit(event, context, told, gateway, reply))
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


class _Visit(NamedTuple):
    """One event with all that its answer takes."""

    event: Mapping[str, Any]
    context: Context
    told: Event
    gateway: Gateway
    reply: Reply

    def call(self, action: Action, endpoint: str = "") -> Call:
        """Return who calls, and for how long; `endpoint` has a limit of its own.

        Raises:
            Unauthorized: the authorizer said nothing of a key.
            Forbidden: its role does not allow `action`.
        """
        context = self.event.get("requestContext", {})
        principal = principals.from_context(context.get("authorizer") or {})
        self.told.key_id = principal.key_id
        if not principal.may(action):  # an edit of a moment ago may have changed that
            principal = self.gateway.renewed(principal)
            principal.require(action)
        address = addresses.bits(str(context.get("identity", {}).get("sourceIp")))  # never a header's word
        left = self.context.get_remaining_time_in_millis() / 1000
        moment = Moment(self.told.request_id, int(time.time()))
        return Call(
            principal, self.told, time.monotonic() + left - END_SECONDS, left, moment, action, address, endpoint
        )

    def header(self, name: str) -> str:
        """Return a header of the request, "" if it has none; `name` is in lower case."""
        found = self.event.get("headers") or {}
        return next((value for known, value in found.items() if known.lower() == name), "")

    def body(self) -> bytes:
        """Return the bytes that the client sent.

        Raises:
            BadRequest: they are said to be base64 and are not.
        """
        text = self.event.get("body") or ""
        if not self.event.get("isBase64Encoded"):
            return text.encode(errors="surrogatepass")
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadRequest("The request body did not arrive intact.") from error


def _infer(dialect: Dialect) -> Callable[[_Visit], None]:
    """Return what serves inference to clients that speak `dialect`."""

    def infer(visit: _Visit) -> None:
        visit.reply.dialect = dialect
        call = visit.call("infer")
        call.request = request = dialect.parse(visit.body())
        visit.told.stream = isinstance(request, Chat) and request.stream
        if not call.principal.may_use(request.model):
            call.renew(visit.gateway.renewed(call.principal))
        complete(call, visit.gateway, visit.reply, fit=visit.header(FIT) == "true")

    return infer


def _count_tokens(visit: _Visit) -> None:
    """Tell about how many tokens a message has; no provider is asked, so it costs nothing but a request."""
    visit.reply.dialect = anthropic.MESSAGES
    call = visit.call("infer")
    model, tokens = anthropic.count(visit.body())
    if not call.principal.may_use(model):
        raise routing.unknown(model)
    with _admitted_if_possible(call, visit):
        routing.find(model, visit.gateway.catalog)
    visit.reply.whole(encode({"input_tokens": tokens}))


def _ensemble(visit: _Visit) -> None:
    ensemble(visit.body(), visit.call("infer", "ensemble"), visit.gateway, visit.reply)


def _models(visit: _Visit) -> None:
    call = visit.call("read")
    with _admitted_if_possible(call, visit):
        models = _usable(call.principal, visit.gateway)
    visit.reply.whole(encode(listing(models)))


def _model(visit: _Visit) -> None:
    call = visit.call("read")
    name = unquote((visit.event.get("pathParameters") or {}).get("id") or "")
    with _admitted_if_possible(call, visit):
        found = [model for model in _usable(call.principal, visit.gateway) if model.name == name]
        if not found:
            raise routing.unknown(name)
    visit.reply.whole(encode(entry(found[0])))


def _usable(principal: Principal, gateway: Gateway) -> list[Model | Alias]:
    """List what this key may use and somebody serves; all it may use while the providers' secrets cannot be read."""
    known: list[Model | Alias] = [*gateway.catalog.models.values(), *gateway.catalog.aliases.values()]
    allowed = [model for model in known if principal.may_use(model.name)]
    try:
        configured = gateway.providers.configured()
    except UpstreamUnavailable:
        return allowed
    return [model for model in allowed if _served(model, gateway.catalog, configured)]


def _served(model: Model | Alias, catalog: Catalog, configured: Collection[str]) -> bool:
    try:
        return bool(routing.candidates(model.name, model.kind, catalog, configured))
    except UpstreamUnavailable:
        return False


@contextmanager
def _admitted_if_possible(call: Call, visit: _Visit) -> Iterator[None]:
    """Let limits and revocation count while there is a store to ask; without one, what is no secret is served."""
    visit.gateway.renew(call.principal.org)
    try:
        visit.reply.headers.update(visit.gateway.admit(call).headers())
    except StoreUnavailable:
        yield
        return
    with settled(call, visit.gateway):
        yield


def _status(visit: _Visit) -> None:
    call = visit.call("read")
    with _admitted_if_possible(call, visit):
        found = status(call.principal.org, visit.gateway)
    visit.reply.whole(encode(found))


def _alive(visit: _Visit) -> None:
    visit.reply.whole(encode({"status": "ok"}))


def _ready(visit: _Visit) -> None:
    """Say whether requests can be served, and which part is down if not."""
    try:
        visit.gateway.admission.ping()
    except StoreUnavailable as error:
        raise StoreUnavailable(
            "Not ready: valkey does not answer.", retry_after=1, details={"checks": {"valkey": "down"}}
        ) from error
    visit.reply.whole(encode({"status": "ok", "checks": {"valkey": "ok"}}))


_ROUTES: dict[str, dict[str, Callable[[_Visit], None]]] = {
    "/health": {"GET": _alive},
    "/health/live": {"GET": _alive},
    "/health/ready": {"GET": _ready},
    "/v1/models": {"GET": _models},
    "/v1/models/{id+}": {"GET": _model},
    "/v1/chat/completions": {"POST": _infer(openai.CHAT)},
    "/api/ai/ensemble": {"POST": _ensemble},
    "/api/ai/status": {"GET": _status},
    "/v1/embeddings": {"POST": _infer(openai.EMBEDDINGS)},
    "/v1/moderations": {"POST": _infer(openai.MODERATIONS)},
    "/v1/rerank": {"POST": _infer(openai.RERANK)},
    "/api/llm/generate": {"POST": _infer(generate.GENERATE)},
    "/v1/responses": {"POST": _infer(responses.RESPONSES)},
    "/v1/messages": {"POST": _infer(anthropic.MESSAGES)},
    "/v1/messages/count_tokens": {"POST": _count_tokens},
}


def _route(event: Mapping[str, Any], told: Event) -> Callable[[_Visit], None]:
    """Find who answers; API Gateway has matched the path already, so `resource` is the path of the route."""
    resource, method = event.get("resource", ""), event.get("httpMethod", "")
    methods = _ROUTES.get(resource)
    if methods is None:
        raise NotFound("There is nothing at this path.")
    if method not in methods:
        raise MethodNotAllowed(f"Use {' or '.join(methods)} here.", headers={"allow": ", ".join(methods)})
    told.route = f"{method} {resource}"
    return methods[method]
