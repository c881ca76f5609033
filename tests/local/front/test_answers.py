"""A function's answer on its way to the client: what passes, and what is a 502 that says nothing."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from cdk.local.invocation import FunctionError, PayloadTooLarge, Throttled
from tests.local.front.situation import Functions, Reply, answers, asynchronous, serving

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdk.local.invocation import Invocation


async def reply_to(answer: Any) -> Reply:
    """What the client gets of it."""
    async with serving(Functions(Answer=answers(answer))) as local:
        return await local.call("GET", "/whole")


@asynchronous
async def test_status_headers_and_body_pass() -> None:
    """Values may be numbers and booleans; a repeated header stays repeated."""
    headers = {"Content-Type": "text/plain", "X-Number": 5, "X-Flag": True}
    async with (
        serving(
            Functions(
                Answer=answers(
                    {
                        "statusCode": "201",
                        "headers": headers,
                        "multiValueHeaders": {"Set-Cookie": ["a", "b"]},
                        "body": "é",
                        "isBase64Encoded": False,
                    }
                )
            )
        ) as local,
        local.client() as client,
    ):
        await client.send(b"GET /whole HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")

    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "http/1.1 201 created"
    assert {"content-type: text/plain", "x-number: 5", "x-flag: true", "content-length: 2"} <= set(lines)
    assert [line for line in lines if line.startswith("set-cookie")] == ["set-cookie: a", "set-cookie: b"]
    assert body.decode() == "é"


@asynchronous
async def test_a_body_may_be_base64() -> None:
    """Bytes that are no text travel so."""
    answer = {"statusCode": 200, "body": base64.b64encode(b"\x00\xff").decode(), "isBase64Encoded": True}

    assert (await reply_to(answer)).body == b"\x00\xff"


@asynchronous
async def test_an_answer_without_body_or_type_is_json_of_no_length() -> None:
    """API Gateway's own default type."""
    reply = await reply_to({"statusCode": 200})

    assert (reply.headers["content-type"], reply.headers["content-length"]) == ("application/json", "0")


@asynchronous
async def test_headers_that_are_the_gateways_are_taken_away_or_renamed() -> None:
    """Framing cannot be set by a function; a date of its own arrives under another name."""
    headers = {"Content-Length": "99", "Transfer-Encoding": "gzip", "Date": "yesterday", "X-Amzn-RequestId": "mine"}
    reply = await reply_to({"statusCode": 200, "headers": {**headers, "Connection": "close"}, "body": "ab"})

    assert reply.body == b"ab"
    assert reply.headers["x-amzn-remapped-date"] == "yesterday"
    assert reply.headers["x-amzn-requestid"] != "mine"
    assert not {"transfer-encoding", "connection"} & reply.headers.keys()


@pytest.mark.parametrize("status", [204, 304])
@asynchronous
async def test_a_status_without_body_has_none(status: int) -> None:
    """A body that the function gave all the same is left out, and the connection stays usable."""
    async with (
        serving(Functions(Answer=answers({"statusCode": status, "body": "extra"}))) as local,
        local.client() as client,
    ):
        for _ in range(2):
            await client.send(b"GET /whole HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await client.reply()).status == status


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "text",
        [],
        {},
        {"statusCode": None},
        {"statusCode": "ok"},
        {"statusCode": 99},
        {"statusCode": 101},
        {"statusCode": 600},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "body": 5},
        {"statusCode": 200, "headers": []},
        {"statusCode": 200, "headers": {"a": None}},
        {"statusCode": 200, "headers": {"a": "b\r\nc: d"}},
        {"statusCode": 200, "headers": {"a b": "c"}},
        {"statusCode": 200, "headers": {"": "c"}},
        {"statusCode": 200, "headers": {"a": "\u2028"}},
        {"statusCode": 200, "multiValueHeaders": {"a": "b"}},
        {"statusCode": 200, "body": "?", "isBase64Encoded": True},
        {"statusCode": 200, "secret": "s3cret"},
    ],
    ids=json.dumps,
)
@asynchronous
async def test_a_malformed_answer_is_a_502_without_details(answer: Any) -> None:
    """The client learns that, the log learns why."""
    async with serving(Functions(Answer=answers(answer))) as local:
        reply = await local.call("GET", "/whole")
        (access,) = await local.logged()

    assert (reply.status, reply.json) == (502, {"code": "5xx", "message": "Internal server error"})
    assert reply.headers["x-request-id"] == access.request_id
    assert (access.status, access.outcome) == (502, "DEFAULT_5XX")
    assert access.reason


@asynchronous
async def test_a_function_that_fails_is_a_502_without_details() -> None:
    """Its message is for the log alone."""

    async def fail(_event: dict[str, Any], invocation: Invocation) -> None:
        invocation.end(FunctionError("ValueError", "s3cret"))

    async with serving(Functions(Answer=fail)) as local:
        reply = await local.call("GET", "/whole")
        (access,) = await local.logged()

    assert (reply.status, reply.json) == (502, {"code": "5xx", "message": "Internal server error"})
    assert access.reason == "ValueError: s3cret"


class Refusing:
    """An invoker that takes nothing."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def invoke(self, _name: str, _event: Mapping[str, Any] | bytes, *, trace_id: str = "") -> Invocation:
        """Refuse."""
        assert trace_id
        raise self._error


@pytest.mark.parametrize(("error", "status"), [(Throttled("full"), 500), (PayloadTooLarge("long"), 413)])
@asynchronous
async def test_an_event_that_lambda_does_not_take(error: Exception, status: int) -> None:
    """A throttled function is a 500, as API Gateway has it; an event over 6 MB a 413."""
    async with serving(Refusing(error)) as local:
        assert (await local.call("GET", "/whole")).status == status


@asynchronous
async def test_a_fault_of_the_front_itself_is_a_500_in_the_same_words(caplog: pytest.LogCaptureFixture) -> None:
    """Even then the client reads the envelope, and the trace stays here."""
    async with serving(Refusing(RuntimeError("s3cret"))) as local:
        reply = await local.call("GET", "/whole")

    assert (reply.status, reply.json) == (500, {"code": "5xx", "message": "Internal server error"})
    assert "RuntimeError: s3cret" in caplog.text
