"""The Lambda Runtime API as the loop sees it: one invocation in, one answer out, over one connection.

The wire of a streamed answer follows AWS's Rust runtime (`lambda-runtime/src/requests.rs`): a chunked POST that holds
the metadata as JSON, eight NULs and the payload; a failure after that travels in the trailers.
"""

from __future__ import annotations

import binascii
import json
from typing import TYPE_CHECKING, NamedTuple

from shared.edge.http1 import Connection
from shared.edge.response import ClientGone

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.edge.http1 import Answer

_PATH = "/2018-06-01/runtime"
_PRELUDE_LIMIT = 16384  # bytes: API Gateway looks for the end of the metadata no further
_FRAMES = -30  # the innermost frames of a trace that are reported
_STREAMED = (
    "Content-Type: application/vnd.awslambda.http-integration-response\r\n"
    "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
    "Transfer-Encoding: chunked\r\n"
    "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n"
)


class RuntimeApiError(Exception):
    """The Runtime API refused what the contract allows; the execution environment is of no more use."""


class Invocation(NamedTuple):
    """One event as it arrived; header names are in lower case."""

    request_id: str
    headers: Mapping[str, str]
    body: bytes


class Failure(NamedTuple):
    """What Lambda, and so the log and the metrics, are told of an error."""

    type: str
    body: bytes

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Describe `error` by its class, message and innermost frames."""
        import traceback  # noqa: PLC0415 - heavy, and wanted only when something fails

        name = type(error).__name__
        trace = traceback.format_tb(error.__traceback__, limit=_FRAMES)
        return cls(name, json.dumps({"errorType": name, "errorMessage": str(error), "stackTrace": trace}).encode())


class RuntimeApi:
    """Speaks to the Runtime API at `address` (`host:port`)."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._host = address
        self._connection = Connection(host, int(port), connect_timeout=5)  # and waits for events as long as it takes

    def next(self) -> Invocation:
        """Wait for an event.

        Raises:
            OSError: the Runtime API is not there.
            RuntimeApiError: it answered with anything but an event.
        """
        answer = self._get("/invocation/next")
        request_id = answer.headers.get("lambda-runtime-aws-request-id", "")
        if not request_id:
            raise RuntimeApiError("The event carries no request id.")
        return Invocation(request_id, answer.headers, answer.body)

    def restored(self) -> None:
        """Say that the snapshot may be taken, and return in what was restored from it, where no connection survives."""
        self._get("/restore/next")
        self._connection.drop()

    def respond(self, invocation: Invocation, body: bytes) -> int:
        """Send a whole answer (JSON); returns the status that the Runtime API gave to it.

        Raises:
            ClientGone: the Runtime API has hung up; so does every other report below.
        """
        head = "Content-Type: application/json\r\n" + _echo(invocation)
        return self._post(f"/invocation/{invocation.request_id}/response", head, body)

    def fail(self, invocation: Invocation, failure: Failure) -> int:
        """Report that the invocation failed before it answered anything."""
        return self._post(
            f"/invocation/{invocation.request_id}/error", _error(failure) + _echo(invocation), failure.body
        )

    def fail_init(self, failure: Failure) -> int:
        """Report that the function could not be loaded."""
        return self._post("/init/error", _error(failure), failure.body)

    def fail_restore(self, failure: Failure) -> int:
        """Report that a hook failed after a restore."""
        return self._post("/restore/error", _error(failure), failure.body)

    def drop(self) -> None:
        """Close the connection, in whatever state the exchange on it is."""
        self._connection.drop()

    def stream(self, invocation: Invocation) -> Stream:
        """Make the outlet for a streamed answer; nothing is sent before its `start`."""
        path = f"/invocation/{invocation.request_id}/response"
        return Stream(self._connection, self._head("POST", path, _STREAMED + _echo(invocation)))

    def _get(self, path: str) -> Answer:
        self._connection.send(self._head("GET", path, ""))
        answer = self._connection.receive()
        if answer.status != 200:  # noqa: PLR2004 - OK
            raise RuntimeApiError(f"GET {path} answered {answer.status}.")
        return answer

    def _post(self, path: str, headers: str, body: bytes) -> int:
        try:
            self._connection.send(self._head("POST", path, f"{headers}Content-Length: {len(body)}\r\n") + body)
            return self._connection.receive().status
        except OSError as error:
            raise ClientGone("The Runtime API hung up.") from error

    def _head(self, method: str, path: str, headers: str) -> bytes:
        return f"{method} {_PATH}{path} HTTP/1.1\r\nHost: {self._host}\r\n{headers}\r\n".encode()


class Stream:
    """An `Out` whose bytes leave at once: every call is one segment on the wire, and waits for nothing."""

    def __init__(self, connection: Connection, head: bytes) -> None:
        self._connection = connection
        self._head = head
        self.started = False
        self.gone = False

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the metadata; see `Out.start`.

        Raises:
            ValueError: the metadata is longer than API Gateway accepts.
        """
        if self.started:
            raise RuntimeError("The response has already started.")
        prelude = json.dumps({"statusCode": status, "headers": dict(headers)}).encode() + bytes(8)
        if len(prelude) > _PRELUDE_LIMIT:
            raise ValueError(f"Status and headers take {len(prelude)} bytes; {_PRELUDE_LIMIT} is the most.")
        self.started = True
        try:
            self._connection.send(self._head + _chunk(prelude))
        except OSError as error:
            raise self._left() from error

    def write(self, chunk: bytes) -> None:
        """Send `chunk`; see `Out.write`."""
        if not self.started:
            raise RuntimeError("The response has not started.")
        if chunk:
            self._push(_chunk(chunk))

    def finish(self, failure: Failure | None = None) -> int:
        """End the answer, with `failure` in the trailers; returns the status that the Runtime API gave to it.

        Raises:
            ClientGone: the Runtime API has hung up.
        """
        trailers = "" if failure is None else _error(failure) + _error_body(failure)
        self._push(b"0\r\n" + trailers.encode() + b"\r\n")
        try:
            return self._connection.receive().status
        except OSError as error:
            raise self._left() from error

    def _push(self, data: bytes) -> None:
        try:
            self._connection.push(data)
        except OSError as error:
            raise self._left() from error

    def _left(self) -> ClientGone:
        self.gone = True
        self._connection.drop()
        return ClientGone("The client went away.")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _echo(invocation: Invocation) -> str:
    number = invocation.headers.get("lambda-runtime-invocation-id")
    return f"Lambda-Runtime-Invocation-Id: {number}\r\n" if number else ""


def _error(failure: Failure) -> str:
    return f"Lambda-Runtime-Function-Error-Type: {failure.type}\r\n"


def _error_body(failure: Failure) -> str:
    return f"Lambda-Runtime-Function-Error-Body: {binascii.b2a_base64(failure.body, newline=False).decode()}\r\n"
