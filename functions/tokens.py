"""The Lambda that issues tokens and publishes the keys that verify them. It needs no key, so it may do little else.

It reads the Directory and three secrets, counts attempts in Valkey, and can write nothing that anybody trusts.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from functions import oauth
from functions.issuing import Issuing
from functions.oauth import OAuthError
from shared.core import errors
from shared.core.errors import GatewayError, NotFound, StoreUnavailable
from shared.core.wire import encode
from shared.edge import users
from shared.edge.attempts import Attempts
from shared.edge.aws import DYNAMODB, SECRETS, Aws, AwsUnavailableError, credentials_from, valkey_login
from shared.edge.directory import Directory
from shared.edge.secrets import Secrets
from shared.edge.settings import TokensSettings
from shared.edge.signing import SigningKeys
from shared.edge.store import Store, connect
from shared.edge.telemetry import Event, Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.edge.users import UserRecord

JSON = {"content-type": "application/json"}
SECRET = {**JSON, "cache-control": "no-store", "pragma": "no-cache"}  # RFC 6749, 5.1
PUBLIC = {**JSON, "cache-control": "public, max-age=300"}


class Tokens(NamedTuple):
    """What outlives a request."""

    issuing: Issuing
    telemetry: Telemetry


class Answer(NamedTuple):
    """What a request gets."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - Lambda's
    """Entry point of the tokens function."""
    return serve(event, context, _tokens())


@cache
def _tokens() -> Tokens:
    return build(os.environ)


def serve(event: Mapping[str, Any], context: Any, tokens: Tokens) -> dict[str, Any]:  # noqa: ANN401 - Lambda's
    """Answer one request, whatever happens; write its line of telemetry."""
    told = Event(context.aws_request_id)
    answer = _answer(event, told, tokens)
    told.status = answer.status
    tokens.telemetry.emit(told)
    return {
        "statusCode": answer.status,
        "headers": {**answer.headers, "x-request-id": told.request_id},
        "body": answer.body.decode(),
        "isBase64Encoded": False,
    }


def _answer(event: Mapping[str, Any], told: Event, tokens: Tokens) -> Answer:
    try:
        told.route, told.outcome = f"{event.get('httpMethod')} {event.get('resource')}", "ok"
        return _ROUTES.get(told.route, _miss)(event, told, tokens.issuing)
    except OAuthError as refusal:
        told.outcome = refusal.error
        return Answer(refusal.status, {**SECRET, **refusal.headers}, refusal.body)
    except AwsUnavailableError as error:
        tokens.telemetry.fault(error, told.request_id)
        return _failed(StoreUnavailable("Nobody can log in now. Please try again.", retry_after=1), told)
    except Exception as error:  # noqa: BLE001 - the last one to see it
        if not isinstance(error, GatewayError):
            tokens.telemetry.fault(error, told.request_id)
        return _failed(error, told)


def _failed(error: Exception, told: Event) -> Answer:
    known = errors.translate(error)
    told.outcome = known.code
    return Answer(known.status, {**SECRET, **errors.headers(known)}, errors.envelope(known))


def _issue(event: Mapping[str, Any], told: Event, issuing: Issuing) -> Answer:
    address = str(event["requestContext"].get("identity", {}).get("sourceIp", ""))
    token = issuing.issue(oauth.asked(event), address)
    told.key_id = token.principal
    granted = {"access_token": token.text, "token_type": "Bearer", "expires_in": token.life}
    return Answer(200, SECRET, encode(granted))


def _publish(_event: Mapping[str, Any], _told: Event, issuing: Issuing) -> Answer:
    return Answer(200, PUBLIC, encode({"keys": issuing.signing.published()}))


def _miss(_event: Mapping[str, Any], told: Event, _issuing: Issuing) -> Answer:
    told.route = ""  # whatever was asked for: a name of the caller's is no route
    raise NotFound("There is nothing at this path.")


_ROUTES: dict[str, Callable[[Mapping[str, Any], Event, Issuing], Answer]] = {
    "POST /auth/token": _issue,
    "GET /.well-known/jwks.json": _publish,
}


def build(environment: Mapping[str, str]) -> Tokens:
    """Make what `environment` describes; nothing is connected to before it is used.

    Raises:
        SettingsError: a variable is missing, or means nothing.
    """
    settings = TokensSettings.from_env(environment)
    credentials = credentials_from(environment)
    secrets = Secrets(Aws(SECRETS, settings.aws, credentials))
    directory = Directory(Aws(DYNAMODB, settings.aws, credentials), settings.directory_table)
    valkey = settings.valkey
    login = valkey_login(valkey, settings.aws, credentials)

    def user(org: str, name: str) -> UserRecord | None:
        item = directory.item(org, f"user#{name}", consistent=True)
        return None if item is None else users.user(item)

    issuing = Issuing(
        issuer=settings.jwt_issuer,
        signing=SigningKeys(secrets, settings.signing_secret),
        attempts=Attempts(Store(connect(valkey.host, valkey.port, tls=valkey.tls, credentials=login))),
        user=user,
        key=lambda org, key_id: directory.key(org, key_id, consistent=True),
        pepper=lambda: secrets.get(settings.pepper_secret),
    )
    return Tokens(issuing, Telemetry(settings.stage))
