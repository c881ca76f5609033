"""The control plane's Lambda: administrators change what there is in their own organization; each topic has a file.

The very first key is made by a direct invocation, `{"action": "bootstrap", "name": ...}`, and so is one for an
`organization` whose administrators have lost theirs, or let them expire. That never comes through API Gateway, so only
those can do it who may invoke the function itself.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from pydantic import ValidationError

from functions import (
    admin_alerts,
    admin_audit,
    admin_blocks,
    admin_catalog,
    admin_figures,
    admin_keys,
    admin_limits,
    admin_metrics,
    admin_organizations,
    admin_people,
    admin_privacy,
    admin_usage,
    arrival,
    control,
    openapi_document,
)
from functions.callers import confirmed
from functions.counting import counted
from functions.key_requests import NewKey
from functions.networks import refuse_blocked
from functions.requests import told
from functions.turns import ORGS
from functions.visit import JSON, Visit
from shared import manifest
from shared.core import body, errors, principals
from shared.core.errors import BadRequest, GatewayError, NotFound
from shared.core.wire import encode
from shared.edge.directory import FIRST_ORG
from shared.edge.settings import AdminSettings
from shared.edge.telemetry import Event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functions.control import Control
    from shared.core.principals import Action, Principal
    from shared.edge.telemetry import Telemetry

OPERATOR = "operator"  # who the audit log names where the function was invoked directly
OPENAPI = "/openapi.json"
_NEEDS: Mapping[str, Action] = {route.path: route.needs for route in manifest.ROUTES if route.needs}
_FIGURES = admin_figures.PATHS | {admin_metrics.PATH}
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_BODY_OPTIONAL = ("/rotate", "/erase")

app = APIGatewayRestResolver(enable_validation=True)
TOPICS = (
    admin_keys,
    admin_people,
    admin_privacy,
    admin_organizations,
    admin_limits,
    admin_blocks,
    admin_usage,
    admin_figures,
    admin_alerts,
    admin_metrics,
    admin_audit,
    admin_catalog,
)
for topic in TOPICS:
    app.include_router(topic.router)


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - Lambda's
    """Entry point of the admin function."""
    return serve(event, context, _control())


@cache
def _control() -> Control:
    return control.build(AdminSettings.from_env(os.environ), os.environ)


def serve(event: Mapping[str, Any], context: Any, control: Control) -> dict[str, Any]:  # noqa: ANN401 - Lambda's
    """Answer a direct invocation with a plain object, and API Gateway with a response.

    Raises:
        GatewayError: a direct invocation failed; over HTTP the error becomes the response.
    """
    if "requestContext" not in event:
        return _bootstrap(event, control)
    line = Event(context.aws_request_id, route=f"{event['httpMethod']} {event.get('resource', '')}", outcome="ok")
    try:
        if event["path"] == OPENAPI:
            return _openapi(context.aws_request_id)
        caller = principals.from_context(event["requestContext"].get("authorizer") or {})
        line.key_id = caller.key_id
        caller = confirmed(control.registry, caller, control.now())
        caller.require(_NEEDS.get(event["path"].rstrip("/"), "administer"))
        refuse_blocked(control.registry.find(caller.org, "org"), _address(event), control.now())
        headers = _counted(event, control, caller, context.aws_request_id)
        content = _content(event)
        app.append_context(visit=_visit(event, control, caller, content))  # type: ignore[no-untyped-call]
        answer: dict[str, Any] = app.resolve(_checked(event, content), context)
        answer["multiValueHeaders"].update({name: [value] for name, value in headers.items()})
    except Exception as error:  # noqa: BLE001 - the last one to see it
        known = told(error.errors()) if isinstance(error, RequestValidationError) else error
        line.outcome = errors.outcome(known)
        answer = _refusal(known, context.aws_request_id, control.telemetry)
    line.status = answer["statusCode"]
    control.telemetry.emit(line)
    answer["multiValueHeaders"]["x-request-id"] = [context.aws_request_id]
    return answer


@cache
def described() -> str:
    """Return what can be asked for, as OpenAPI: made of the same routes, models and shapes that serve it."""
    found: dict[str, Any] = msgspec.json.decode(
        app.get_openapi_json_schema(
            title="AI-Nexus",
            version="1",
            description="Inference, keys, users, teams, organizations, limits, budgets, blocks, usage, alerts, audit.",
            tags=[],
        )
    )
    return msgspec.json.encode(openapi_document.complete(found)).decode()


def _openapi(request_id: str) -> dict[str, Any]:
    headers = {"content-type": JSON, "cache-control": "public, max-age=3600", "x-request-id": request_id}
    several = {name: [value] for name, value in headers.items()}
    return {"statusCode": 200, "multiValueHeaders": several, "body": described(), "isBase64Encoded": False}


@app.not_found
def _nothing(_: Exception) -> NoReturn:
    raise NotFound("There is nothing at this path.")


@app.exception_handler(Exception)  # type: ignore[untyped-decorator]
def _pass_on(error: Exception) -> NoReturn:
    """Keep the resolver from answering in a form of its own, and from logging what a client sent."""
    raise error


def _bootstrap(event: Mapping[str, Any], control: Control) -> dict[str, Any]:
    asked = dict(event)
    if asked.pop("action", None) != "bootstrap":
        raise BadRequest("Invoke this function with the action bootstrap, or through API Gateway.", param="action")
    org = asked.pop("organization", FIRST_ORG)
    try:
        wanted = NewKey.model_validate({"tier": "enterprise", **asked, "role": "admin"})
    except ValidationError as error:
        raise told(error.errors()) from error
    if org != FIRST_ORG and control.registry.find(FIRST_ORG, f"{ORGS}{org}") is None:
        raise BadRequest("There is no organization with this id.", param="organization")
    return control.keyring.make(Visit(control, org, OPERATOR, {}, b""), wanted).shown()


def _visit(event: Mapping[str, Any], control: Control, caller: Principal, content: bytes) -> Visit:
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    return Visit(
        control, caller.org, caller.key_id, headers, content, _address(event), caller.user, caller.may("observe")
    )


def _counted(event: Mapping[str, Any], control: Control, caller: Principal, request_id: str) -> dict[str, str]:
    """Count the request where its endpoint has a limit; return what the client is told of that."""
    if event["path"].rstrip("/") not in _FIGURES:
        return {}
    return counted(control, caller, "metrics", request_id, _address(event))


def _address(event: Mapping[str, Any]) -> str:
    """Return the caller's address: API Gateway's word, for headers say what clients like."""
    return str(event["requestContext"].get("identity", {}).get("sourceIp", ""))


def _content(event: Mapping[str, Any]) -> bytes:
    """Return the body, decoded once, strictly, and encoded again; empty where the method has none."""
    if event["httpMethod"] not in _WITH_BODY:
        return b""
    sent = arrival.body(event)
    if not sent:
        return b"{}" if event["path"].rstrip("/").endswith(_BODY_OPTIONAL) else b""
    return encode(body.parse(sent))


def _checked(event: Mapping[str, Any], content: bytes) -> Mapping[str, Any]:
    """Put what was decoded in the place of what came, whatever it called itself."""
    plain = {"isBase64Encoded": False, "headers": {"content-type": JSON}, "multiValueHeaders": {}}
    return {**event, **plain, "body": content.decode() or None}


def _refusal(error: Exception, request_id: str, telemetry: Telemetry) -> dict[str, Any]:
    if not isinstance(error, GatewayError):
        telemetry.fault(error, request_id)
    return {
        "statusCode": errors.translate(error).status,
        "multiValueHeaders": {name: [value] for name, value in errors.headers(error).items()},
        "body": errors.envelope(error).decode(),
        "isBase64Encoded": False,
    }
