"""A thin client of the gateway, for the local run itself and for `nexus keys`."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from cdk.local.child import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS: Final = 60.0
FIRST_ERROR: Final = 400
LONGEST_PATH: Final = 200  # characters of one that an error names


class Answer(NamedTuple):
    """What came back; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def failed(self) -> bool:
        """Whether it is an error."""
        return self.status >= FIRST_ERROR

    @property
    def message(self) -> str:
        """What the error says, with the id to find it by."""
        error = self.body.get("error") if isinstance(self.body, dict) else None
        said = error.get("message") if isinstance(error, dict) else None
        return f"{said or 'no message'} (status {self.status}, request {self.headers.get('x-request-id', 'unknown')})"


class Client:
    """Speaks to one gateway with one key; a connection for each call."""

    def __init__(self, base_url: str, key: str) -> None:
        parts = _parts(base_url)
        if not (key.isascii() and key.isprintable()):
            raise LocalError("The key holds what no key does. Check that it was copied whole, without a line break.")
        self._base_url = base_url
        self._https = parts.scheme == "https"
        self._netloc = parts.netloc.rpartition("@")[2]
        self._prefix = parts.path.rstrip("/")
        self._key = key

    def call(self, method: str, path: str, body: object = None) -> Answer:
        """Send one request and read its whole answer; nobody listening, or no JSON, is a LocalError."""
        kind = http.client.HTTPSConnection if self._https else http.client.HTTPConnection
        connection = kind(self._netloc, timeout=SECONDS)
        headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, self._prefix + path, body=content, headers=headers)
            response = connection.getresponse()
            received = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, received, json.loads(response.read() or b"null"))
        except (OSError, http.client.HTTPException) as error:
            raise LocalError(
                f"No gateway answers on {self._base_url} ({str(error) or type(error).__name__})."
            ) from error
        except ValueError as error:
            raise LocalError(f"{self._base_url}{_shown(path)} did not answer with JSON: is it the gateway?") from error
        finally:
            connection.close()

    def done(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - any JSON
        """Return the object of a good answer; anything else is a LocalError with what it says."""
        answer = self.call(method, path, body)
        if answer.failed:
            raise LocalError(f"{method} {_shown(path)}: {answer.message}")
        if not isinstance(answer.body, dict):
            told = f"answered {method} {_shown(path)} with status {answer.status} and no JSON object"
            raise LocalError(f"{self._base_url} {told}: is it the gateway?")
        return answer.body


def _shown(path: str) -> str:
    """Return as much of a path as a sentence can hold."""
    return path if len(path) <= LONGEST_PATH else f"{path[:LONGEST_PATH]}..."


def _parts(base_url: str) -> SplitResult:
    """Take an address apart; one that can be none is a LocalError."""
    try:
        parts = urlsplit(base_url)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        if good and base_url.isascii() and base_url.isprintable() and not set(base_url) & set(" ?#"):
            return parts
    except ValueError:  # a port or an IPv6 address that is none
        pass
    raise LocalError(f"{base_url!r} is no base URL; one looks like http://127.0.0.1:8787.")
