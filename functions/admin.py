"""The control plane's Lambda: API keys are made, listed and revoked by administrators of the same organization.

The very first key is made by a direct invocation, `{"action": "bootstrap", "name": ...}`. That never comes through API
Gateway, so only those can do it who may invoke the function itself.
"""

from __future__ import annotations

import base64
import binascii
import os
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NoReturn

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import ValidationError

from functions import keyring
from functions.key_requests import NewKey, told
from shared.core import body, errors, keys, principals
from shared.core.errors import BadRequest, GatewayError, NotFound
from shared.core.wire import encode
from shared.edge.settings import AdminSettings
from shared.edge.telemetry import Event, Telemetry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functions.keyring import Keyring

FIRST_ORG = "default"
JSON = "application/json"

app = APIGatewayRestResolver(enable_validation=True)


class Admin(NamedTuple):
    """What outlives a request."""

    keyring: Keyring
    telemetry: Telemetry


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - Lambda's
    """Entry point of the admin function."""
    return serve(event, context, _admin())


@cache
def _admin() -> Admin:
    settings = AdminSettings.from_env(os.environ)
    return Admin(keyring.build(settings, os.environ), Telemetry(settings.stage))


def serve(event: Mapping[str, Any], context: Any, admin: Admin) -> dict[str, Any]:  # noqa: ANN401 - Lambda's
    """Answer a direct invocation with a plain object, and API Gateway with a response.

    Raises:
        GatewayError: a direct invocation failed; over HTTP the error becomes the response.
    """
    if "requestContext" not in event:
        return _bootstrap(event, admin.keyring)
    line = Event(context.aws_request_id, route=f"{event['httpMethod']} {event.get('resource', '')}", outcome="ok")
    try:
        caller = principals.from_context(event["requestContext"].get("authorizer") or {})
        line.key_id = caller.key_id
        caller.require("administer")
        admin.keyring.confirm(caller.org, caller.key_id)
        app.append_context(visit=Visit(admin.keyring, caller.org))  # type: ignore[no-untyped-call]
        answer: dict[str, Any] = app.resolve(_checked(event), context)
    except Exception as error:  # noqa: BLE001 - the last one to see it
        known = told(error.errors()) if isinstance(error, RequestValidationError) else error
        line.outcome = errors.outcome(known)
        answer = _refusal(known, context.aws_request_id, admin.telemetry)
    line.status = answer["statusCode"]
    admin.telemetry.emit(line)
    answer["multiValueHeaders"]["x-request-id"] = [context.aws_request_id]
    return answer


class Visit(NamedTuple):
    """One request, in the organization of its caller."""

    keyring: Keyring
    org: str


@app.post("/admin/keys")
def _make(wanted: NewKey) -> Response[str]:
    visit: Visit = app.context["visit"]
    return _answer(_made(visit, wanted), status=201)


@app.get("/admin/keys")
def _list(limit: Annotated[int, Query(ge=1, le=100)] = 20, after: str | None = None) -> Response[str]:
    visit: Visit = app.context["visit"]
    if after is not None and keys.org_of(after) != visit.org:
        raise BadRequest(
            "The cursor 'after' is not the id of a key. Use the last_id of the page before.", param="after"
        )
    page = visit.keyring.table.page(visit.org, limit, after)
    data = [keyring.shown(known) for known in page.records]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return _answer({"object": "list", "data": data, **ends, "has_more": page.more})


@app.get("/admin/keys/<key_id>")
def _show(key_id: str) -> Response[str]:
    visit: Visit = app.context["visit"]
    return _answer(keyring.shown(visit.keyring.table.get(visit.org, key_id)))


@app.delete("/admin/keys/<key_id>")
def _revoke(key_id: str) -> Response[str]:
    visit: Visit = app.context["visit"]
    return _answer(keyring.shown(visit.keyring.revoke(visit.org, key_id)))


@app.not_found
def _nothing(_: Exception) -> NoReturn:
    raise NotFound("There is nothing at this path.")


@app.exception_handler(Exception)  # type: ignore[untyped-decorator]
def _pass_on(error: Exception) -> NoReturn:
    """Keep the resolver from answering in a form of its own, and from logging what a client sent."""
    raise error


def _bootstrap(event: Mapping[str, Any], ring: Keyring) -> dict[str, Any]:
    asked = dict(event)
    if asked.pop("action", None) != "bootstrap":
        raise BadRequest("Invoke this function with the action bootstrap, or through API Gateway.", param="action")
    try:
        wanted = NewKey.model_validate({"tier": "enterprise", **asked, "role": "admin"})
    except ValidationError as error:
        raise told(error.errors()) from error
    return _made(Visit(ring, FIRST_ORG), wanted)


def _made(visit: Visit, wanted: NewKey) -> dict[str, Any]:
    key, known = visit.keyring.make(visit.org, wanted)
    return {**keyring.shown(known), "key": key.text}


def _checked(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Put a body that was decoded once, strictly, in the place of the one that came, whatever it called itself."""
    if event["httpMethod"] != "POST":
        return event
    decoded = body.parse(_bytes(event))
    kind = {"content-type": JSON}
    text = encode(decoded).decode()
    return {**event, "body": text, "isBase64Encoded": False, "headers": kind, "multiValueHeaders": {}}


def _bytes(event: Mapping[str, Any]) -> bytes:
    text = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(text).encode(errors="surrogatepass")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise BadRequest("The request body did not arrive intact.") from error


def _answer(value: Mapping[str, Any], status: int = 200) -> Response[str]:
    return Response(status, JSON, encode(value).decode(), headers={"cache-control": "no-store"})


def _refusal(error: Exception, request_id: str, telemetry: Telemetry) -> dict[str, Any]:
    if not isinstance(error, GatewayError):
        telemetry.fault(error, request_id)
    return {
        "statusCode": errors.translate(error).status,
        "multiValueHeaders": {name: [value] for name, value in errors.headers(error).items()},
        "body": errors.envelope(error).decode(),
        "isBase64Encoded": False,
    }
