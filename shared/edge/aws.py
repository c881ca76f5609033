"""A signed JSON call to one AWS service: what the hot functions need of an SDK, at a twentieth of its import.

Requests go to the service's regional endpoint, or all to `AWS_ENDPOINT_URL` where one is set.
"""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from shared.edge.http1 import Connection
from shared.edge.reaching import reach
from shared.edge.sigv4 import Credentials, Scope, elasticache_token, headers

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from shared.edge.http1 import Answer, Connect
    from shared.edge.settings import AwsSettings, ValkeySettings

CONNECT_SECONDS = 1.0
READ_SECONDS = 2.0
_PAUSE_SECONDS = 0.1  # at most, before the one further try
_OK, _SERVER_ERROR = 200, 500
_THROTTLED = frozenset({
    "ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded", "LimitExceededException"
})  # fmt: skip


class AwsError(Exception):
    """AWS refused a call; `code` is its own name for why, such as `AccessDeniedException`."""

    def __init__(self, service: str, code: str, message: str) -> None:
        super().__init__(f"{service}: {code}: {message}")
        self.code = code


class AwsUnavailableError(AwsError):
    """AWS could not be reached, failed, or is overloaded: trying again may help."""


class Service(NamedTuple):
    """What a service is called: in host names and signatures, in its actions, and in its content type."""

    name: str
    target: str
    content_type: str


DYNAMODB = Service("dynamodb", "DynamoDB_20120810", "application/x-amz-json-1.0")
LOGS = Service("logs", "Logs_20140328", "application/x-amz-json-1.1")
SECRETS = Service("secretsmanager", "secretsmanager", "application/x-amz-json-1.1")
WAF = Service("wafv2", "AWSWAF_20190729", "application/x-amz-json-1.1")


def credentials_from(environment: Mapping[str, str]) -> Callable[[], Credentials]:
    """Return what reads the credentials that Lambda put into the environment, each time anew."""

    def read() -> Credentials:
        try:
            access, secret = environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
        except KeyError as error:
            raise AwsError("credentials", "Missing", f"The environment variable {error} is not set.") from error
        return Credentials(access, secret, environment.get("AWS_SESSION_TOKEN") or None)

    return read


def valkey_login(
    valkey: ValkeySettings,
    aws: AwsSettings,
    credentials: Callable[[], Credentials],
    clock: Callable[[], float] = time.time,
) -> Callable[[], tuple[str, str]] | None:
    """Return what makes user and password for a new connection to Valkey, or None where it asks for none."""
    if not valkey.user:
        return None
    return lambda: (valkey.user, elasticache_token(credentials(), aws.region, valkey.cache, valkey.user, clock()))


class Aws:
    """One service over one keep-alive connection."""

    def __init__(
        self,
        service: Service,
        settings: AwsSettings,
        credentials: Callable[[], Credentials],
        *,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
        read_seconds: float = READ_SECONDS,
        connect: Connect = reach,
    ) -> None:
        """`read_seconds` is how long a read may wait for the service; `connect` is as for `http1.Connection`."""
        self._service = service
        self._scope = Scope(settings.region, service.name)
        self._credentials = credentials
        self._clock = clock
        self._pause = pause
        secure, self._host, address = _endpoint(service, settings)
        self._connection = Connection(
            *address,
            connect_timeout=CONNECT_SECONDS,
            timeout=read_seconds,
            tls=_tls if secure else None,
            connect=connect,
        )

    def read(self, action: str, request: Mapping[str, object]) -> dict[str, Any]:
        """Call `action`, which must change nothing: what fails on the way is tried once more, after a moment.

        Raises:
            AwsUnavailableError: it failed twice.
            AwsError: AWS refuses.
        """
        try:
            return self._call(action, request)
        except AwsUnavailableError:
            self._pause(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311 - jitter, not a secret
            return self._call(action, request)

    def write(self, action: str, request: Mapping[str, object]) -> dict[str, Any]:
        """Call `action` once: of one that fails on the way nobody knows whether it took place.

        Raises:
            AwsUnavailableError: it failed.
            AwsError: AWS refuses, and nothing took place.
        """
        return self._call(action, request)

    def drop(self) -> None:
        """Close the connection; the next call opens another."""
        self._connection.drop()

    def _call(self, action: str, request: Mapping[str, object]) -> dict[str, Any]:
        body = json.dumps(request).encode()
        named = {"content-type": self._service.content_type, "x-amz-target": f"{self._service.target}.{action}"}
        signed = headers(self._credentials(), self._scope, self._host, body, named, now=self._clock())
        lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        head = f"POST / HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n"
        try:
            self._connection.send(head.encode() + body)
            answer = self._connection.receive()
        except OSError as error:
            raise AwsUnavailableError(self._service.name, type(error).__name__, str(error)) from error
        return self._parse(answer)

    def _parse(self, answer: Answer) -> dict[str, Any]:
        try:
            found = json.loads(answer.body)
        except ValueError:
            found = None
        if answer.status == _OK and isinstance(found, dict):
            return found
        raise self._error(answer, found if isinstance(found, dict) else {})

    def _error(self, answer: Answer, found: Mapping[str, Any]) -> AwsError:
        code = str(found.get("__type", f"Status{answer.status}")).rpartition("#")[2]
        message = str(found.get("message") or found.get("Message") or "no details")
        passing = answer.status >= _SERVER_ERROR or answer.status == _OK or code in _THROTTLED
        return (AwsUnavailableError if passing else AwsError)(self._service.name, code, message)


def _endpoint(service: Service, settings: AwsSettings) -> tuple[bool, str, tuple[str, int]]:
    """Whether it is TLS, the host header, and the address."""
    url = settings.endpoint_url or f"https://{service.name}.{settings.region}.amazonaws.com"
    scheme, _, host = url.rstrip("/").partition("://")
    name, _, port = host.partition(":")
    secure = scheme == "https"
    return secure, host, (name, int(port) if port else 443 if secure else 80)


def _tls() -> ssl.SSLContext:
    import ssl  # noqa: PLC0415 - 10 ms, and only a plain-text emulator does without

    return ssl.create_default_context()
