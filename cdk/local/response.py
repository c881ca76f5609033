"""A function's answer as API Gateway understands it: the proxy result of a whole one, the prelude of a streamed one."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdk.local.invocation import Invocation

PRELUDE_LIMIT = 16 * 1024  # bytes within which the delimiter must end
_DELIMITER = bytes(8)
_KEYS = {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"}
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html
_DROPPED = {
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_REMAPPED = {"authorization", "date", "host", "server", "user-agent", "www-authenticate"}
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x20-\x7e\x80-\xff\t]*")
_LOWEST, _HIGHEST = 200, 599


class MalformedAnswer(Exception):  # noqa: N818 - named as API Gateway's log line
    """The function's answer keeps to no contract; the client hears of a 502 and nothing else."""


class Head(NamedTuple):
    """Status and headers; names in lower case."""

    status: int
    headers: list[tuple[str, str]]


def whole(payload: bytes) -> tuple[Head, bytes]:
    """Read the proxy result of a buffered integration.

    Raises:
        MalformedAnswer: it has no status, has members that API Gateway does not know, or a body that is no text.
    """
    answer = _object(payload)
    if unknown := answer.keys() - _KEYS:
        raise MalformedAnswer(f"The answer has an unknown member {min(unknown)!r}.")
    body = answer.get("body")
    if not isinstance(body, str | None):
        raise MalformedAnswer("The body is no string.")
    head = _head(answer)
    if not any(name == "content-type" for name, _ in head.headers):
        head.headers.append(("content-type", "application/json"))
    return head, _bytes(body or "", encoded=answer.get("isBase64Encoded") is True)


async def streamed(invocation: Invocation) -> tuple[Head, bytes]:
    """Read the prelude of a streaming integration, and what came with it of the body.

    Raises:
        MalformedAnswer: there is none in the first 16 KB.
        FunctionError: the function failed before it was complete.
    """
    seen = b""
    async for chunk in invocation:
        seen += chunk
        end = seen.find(_DELIMITER, 0, PRELUDE_LIMIT)
        if end >= 0:
            return _head(_object(seen[:end])), seen[end + len(_DELIMITER) :]
        if len(seen) >= PRELUDE_LIMIT:
            break
    raise MalformedAnswer("No metadata followed by eight NULs is in the first 16 KB.")


def _object(payload: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise MalformedAnswer("It is not JSON.") from error
    if not isinstance(answer, dict):
        raise MalformedAnswer("It is no JSON object.")
    return answer


def _head(answer: dict[str, Any]) -> Head:
    try:
        status = int(answer["statusCode"])
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedAnswer("It has no statusCode.") from error
    if not _LOWEST <= status <= _HIGHEST:
        raise MalformedAnswer(f"{status} is not the status of an answer.")
    headers = list(_headers(answer))
    for name, value in headers:
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            raise MalformedAnswer(f"The header {name!r} cannot be sent.")
    return Head(status, headers)


def _headers(answer: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """All headers: where a name is in both members, the values of `multiValueHeaders` count."""
    multiple = {name.lower(): values for name, values in _members(answer, "multiValueHeaders")}
    single = {name.lower(): [value] for name, value in _members(answer, "headers")}
    cookies = answer.get("cookies") or []
    for name, values in [*{**single, **multiple}.items(), ("set-cookie", cookies)]:
        if not isinstance(values, list):
            raise MalformedAnswer(f"multiValueHeaders[{name!r}] is no list.")
        if name in _DROPPED or name.startswith("x-amzn-"):
            continue
        for value in values:
            yield (f"x-amzn-remapped-{name}" if name in _REMAPPED else name), _text(name, value)


def _members(answer: dict[str, Any], member: str) -> list[tuple[str, Any]]:
    found = {} if answer.get(member) is None else answer[member]
    if not isinstance(found, dict):
        raise MalformedAnswer(f"{member} is no object.")
    return list(found.items())


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value).strip(" \t")
    raise MalformedAnswer(f"The header {name!r} is no text.")


def _bytes(body: str, *, encoded: bool) -> bytes:
    if not encoded:
        return body.encode("utf-8", "replace")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedAnswer("The body is not base64.") from error
