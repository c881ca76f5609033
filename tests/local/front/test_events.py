"""The proxy event: what of a request reaches the function, and in which shape."""

from __future__ import annotations

from typing import Any

import pytest

from tests.local.front.situation import Functions, Local, answers, asynchronous, serving

OK = answers({"statusCode": 200})


async def event_of(local: Local, invoker: Functions, head: str, body: bytes = b"") -> dict[str, Any]:
    """The event that a raw request head makes."""
    async with local.client() as client:
        await client.send(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
        assert (await client.reply()).status == 200
    return invoker.events[-1]


@asynchronous
async def test_headers_and_query_come_singly_and_multiply() -> None:
    """The last value wins in the single forms; names are not in lower case, so no function may rely on theirs."""
    invoker = Functions(Answer=OK)
    async with serving(invoker) as local:
        event = await event_of(
            local,
            invoker,
            "GET /whole?a=1&a=%C3%A9+x&b HTTP/1.1\nHost: h.example\nx-stainless-os: A\nX-STAINLESS-OS: B",
        )

    assert event["headers"]["X-Stainless-Os"] == "B"
    assert event["multiValueHeaders"]["X-Stainless-Os"] == ["A", "B"]
    assert event["queryStringParameters"] == {"a": "é x", "b": ""}
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "é x"], "b": [""]}
    assert event["headers"]["Host"] == event["requestContext"]["domainName"] == "h.example"


@asynchronous
async def test_what_is_absent_is_null() -> None:
    """Empty maps and bodies are null, as API Gateway sends them."""
    invoker = Functions(Answer=OK)
    async with serving(invoker) as local:
        event = await event_of(local, invoker, "GET /whole HTTP/1.1\nHost: h")

    absent = ("queryStringParameters", "multiValueQueryStringParameters", "pathParameters", "stageVariables", "body")
    assert {name: event[name] for name in absent} == dict.fromkeys(absent)
    assert event["isBase64Encoded"] is False


@asynchronous
async def test_paths_stay_percent_encoded() -> None:
    """A REST API decodes neither the path nor its parameters."""
    invoker = Functions(Answer=OK)
    async with serving(invoker) as local:
        event = await event_of(local, invoker, "GET /files/a/b%2Fc%20d HTTP/1.1\nHost: h")

    assert event["path"] == "/files/a/b%2Fc%20d"
    assert event["pathParameters"] == {"name": "a/b%2Fc%20d"}
    assert event["requestContext"]["path"] == "/dev/files/a/b%2Fc%20d"
    assert event["resource"] == event["requestContext"]["resourcePath"] == "/files/{name+}"


@asynchronous
async def test_headers_of_the_gateway_cannot_be_forged() -> None:
    """What the gateway says itself, and what belongs to one connection, never comes from the client."""
    forged = [
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Host: evil",
        "X-Amzn-Trace-Id: Root=evil",
        "Forwarded: for=6.6.6.6",
    ]
    forged += [
        "x-amz-invocation-type: Event",
        "TE: trailers",
        "Connection: keep-alive, X-Hop",
        "X-Hop: 1",
        "Keep-Alive: 5",
    ]
    invoker = Functions(Answer=OK)
    async with serving(invoker) as local:
        event = await event_of(local, invoker, "GET /whole HTTP/1.1\nHost: h\nX-Kept: 1\n" + "\n".join(forged))

    headers = event["headers"]
    ours = {"Host", "X-Kept", "X-Amzn-Trace-Id", "X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto"}
    assert headers.keys() == event["multiValueHeaders"].keys() == ours
    assert headers["X-Forwarded-For"] == event["requestContext"]["identity"]["sourceIp"] == "127.0.0.1"
    assert headers["X-Forwarded-Port"] == str(local.port)
    assert headers["X-Amzn-Trace-Id"].startswith("Root=1-")


@pytest.mark.parametrize(
    ("body", "text"),
    [(b'{"a": 1}', '{"a": 1}'), (b"\xff\xc3\xa9\x00", "\ufffdé\x00"), (b"\xed\xa0\xbd", "\ufffd\ufffd\ufffd")],
)
@asynchronous
async def test_a_body_is_text(body: bytes, text: str) -> None:
    """UTF-8; what is none is replaced, never refused and never a surrogate."""
    invoker = Functions(Answer=OK)
    async with serving(invoker) as local:
        event = await event_of(local, invoker, f"POST /whole HTTP/1.1\nHost: h\nContent-Length: {len(body)}", body)

    assert event["body"] == text


@asynchronous
async def test_a_chunked_body_is_put_together() -> None:
    """The function knows nothing of the framing."""
    invoker = Functions(Answer=OK)
    async with serving(invoker) as local:
        event = await event_of(
            local,
            invoker,
            "POST /whole HTTP/1.1\nHost: h\nTransfer-Encoding: chunked",
            b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        )

    assert event["body"] == "abc"
    assert "Transfer-Encoding" not in event["headers"]
