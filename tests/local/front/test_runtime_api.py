"""The Runtime API on the wire, spoken by hand: what a runtime may do, and what comes of what it may not."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from typing import TYPE_CHECKING

import pytest

from cdk.local import runtime_api
from cdk.local.invocation import FunctionError, InitError, Invocation
from cdk.local.runtime_api import BASE, MAX_BUFFERED_ANSWER, RuntimeApi
from tests.local.front.situation import Client, Reply, asynchronous

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STREAMING = b"Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n"


class Runtime:
    """A process, played by the test."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.init_errors: list[InitError] = []
        self.api = RuntimeApi(timeout_s=60, on_ready=self.ready.set, on_init_error=self.init_errors.append)
        self.address = ("", 0)

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A connection to the Runtime API."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()

    async def post(self, path: str, body: bytes = b"", *headers: str) -> Reply:
        """POST a whole body."""
        lines = [f"POST {BASE}{path} HTTP/1.1", "Host: h", f"Content-Length: {len(body)}", *headers, "", ""]
        async with self.client() as client:
            await client.send("\r\n".join(lines).encode() + body)
            return await client.reply()

    async def take(self, invocation: Invocation) -> Reply:
        """Poll for the next event and get `invocation`."""
        async with self.client() as client:
            await client.send(f"GET {BASE}/invocation/next HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            await self.ready.wait()
            self.ready.clear()
            self.api.hand(invocation)
            return await client.reply()


@contextlib.asynccontextmanager
async def runtime() -> AsyncIterator[Runtime]:
    """An open Runtime API."""
    played = Runtime()
    host, _, port = (await played.api.open()).partition(":")
    played.address = (host, int(port))
    try:
        yield played
    finally:
        await played.api.close()


def response(invocation: Invocation, what: str = "response") -> str:
    """Path of an invocation's answer."""
    return f"/invocation/{invocation.request_id}/{what}"


def streaming(invocation: Invocation, *more: bytes) -> bytes:
    """The head of a streamed answer."""
    return f"POST {BASE}{response(invocation)} HTTP/1.1\r\nHost: h\r\n".encode() + STREAMING + b"".join(more) + b"\r\n"


@asynchronous
async def test_an_event_comes_with_its_headers() -> None:
    """The long poll ends when there is an event; the deadline lies the function's timeout ahead."""
    async with runtime() as played:
        invocation = Invocation(b'{"a": 1}', arn="arn:x", trace_id="Root=1")
        reply = await played.take(invocation)

    assert (reply.status, reply.body) == (200, b'{"a": 1}')
    assert reply.headers["lambda-runtime-aws-request-id"] == invocation.request_id
    assert reply.headers["lambda-runtime-invoked-function-arn"] == "arn:x"
    assert reply.headers["lambda-runtime-trace-id"] == "Root=1"
    assert int(reply.headers["lambda-runtime-deadline-ms"]) == int(invocation.deadline * 1000)
    assert reply.headers["lambda-runtime-invocation-id"]


@asynchronous
async def test_a_whole_answer_ends_the_invocation() -> None:
    """It is accepted with 202; a second one for the same invocation is not."""
    async with runtime() as played:
        invocation = Invocation(b"{}")
        await played.take(invocation)
        first = await played.post(response(invocation), b'{"ok": true}')
        second = await played.post(response(invocation), b"{}")

        assert await invocation.read() == b'{"ok": true}'
    assert not invocation.streamed
    assert (first.status, second.status) == (202, 400)


@asynchronous
async def test_chunks_arrive_one_by_one() -> None:
    """Each is read before the next is sent."""
    async with runtime() as played:
        invocation = Invocation(b"{}")
        await played.take(invocation)
        async with played.client() as client:
            await client.send(streaming(invocation))
            for chunk in (b"a", b"bc"):
                await client.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                assert await anext(invocation) == chunk
            await client.send(b"0\r\n\r\n")
            with pytest.raises(StopAsyncIteration):
                await anext(invocation)
            assert (await client.reply()).status == 202
    assert invocation.streamed


@asynchronous
async def test_trailers_carry_an_error_in_the_middle() -> None:
    """What was sent before is delivered, then the error, whose document is base64."""
    document = base64.b64encode(json.dumps({"errorType": "E", "errorMessage": "m" * 20_000}).encode())
    async with runtime() as played:
        invocation = Invocation(b"{}")
        await played.take(invocation)
        async with played.client() as client:
            await client.send(
                streaming(invocation, b"Trailer: Lambda-Runtime-Function-Error-Type\r\n")
                + b"1\r\na\r\n0\r\nLambda-Runtime-Function-Error-Type: Runtime.E\r\n"
                + b"Lambda-Runtime-Function-Error-Body: " + document[:25_000]
            )  # fmt: skip
            assert await anext(invocation) == b"a"
            await asyncio.sleep(0.02)
            await client.send(document[25_000:] + b"\r\n\r\n")
            with pytest.raises(FunctionError) as raised:
                await anext(invocation)

    assert (raised.value.kind, len(raised.value.message)) == ("E", 20_000)


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b'{"errorType": 5}', b"null"])
@asynchronous
async def test_an_error_is_an_error_whatever_its_document(body: bytes) -> None:
    """A report that cannot be read still fails the invocation."""
    async with runtime() as played:
        invocation = Invocation(b"{}")
        await played.take(invocation)
        reply = await played.post(response(invocation, "error"), body, "Lambda-Runtime-Function-Error-Type: Kind")
        with pytest.raises(FunctionError):
            await invocation.read()

    assert reply.status == 202


@asynchronous
async def test_a_stream_that_breaks_off_is_an_error() -> None:
    """A closed connection is no end of a chunked body."""
    async with runtime() as played:
        invocation = Invocation(b"{}")
        await played.take(invocation)
        async with played.client() as client:
            await client.send(streaming(invocation) + b"1\r\na\r\n")
            assert await anext(invocation) == b"a"
        with pytest.raises(FunctionError, match=r"Runtime\.TruncatedResponse"):
            await anext(invocation)


@asynchronous
async def test_broken_framing_is_an_error() -> None:
    """A chunk size that is none ends the invocation and the connection."""
    async with runtime() as played:
        invocation = Invocation(b"{}")
        await played.take(invocation)
        async with played.client() as client:
            await client.send(streaming(invocation) + b"zz\r\n")
            assert await client.rest() == b""
        with pytest.raises(FunctionError, match=r"Runtime\.TruncatedResponse"):
            await invocation.read()


@asynchronous
async def test_an_answer_for_another_invocation_is_refused() -> None:
    """Neither an unknown id nor a wrong echo touches the running invocation."""
    async with runtime() as played:
        invocation, other = Invocation(b"{}"), Invocation(b"{}")
        await played.take(invocation)
        unknown = await played.post(response(other), b"1")
        stale = await played.post(response(invocation), b"2", "Lambda-Runtime-Invocation-Id: old")
        nowhere = await played.post("/nothing", b"3")
        await played.post(response(invocation), b"4", f"Lambda-Runtime-Invocation-Id: {invocation.request_id}")

        assert await invocation.read() == b"4"
    assert [reply.status for reply in (unknown, stale, nowhere)] == [400, 400, 400]
    assert unknown.json["errorType"] == "InvalidRequestID"


@asynchronous
async def test_a_whole_answer_over_six_megabytes_is_too_large() -> None:
    """The runtime is told with 413, the caller with an error; one byte less passes."""
    async with runtime() as played:
        fits, over = Invocation(b"{}"), Invocation(b"{}")
        await played.take(fits)
        reply, answer = await asyncio.gather(
            played.post(response(fits), b"x" * MAX_BUFFERED_ANSWER),
            fits.read(),
        )
        assert (reply.status, len(answer)) == (202, MAX_BUFFERED_ANSWER)
        await played.take(over)
        refused, error = await asyncio.gather(
            played.post(response(over), b"x" * (MAX_BUFFERED_ANSWER + 1)),
            over.read(),
            return_exceptions=True,
        )
        assert isinstance(refused, Reply)
        assert refused.status == 413
        assert "ResponseSizeTooLarge" in str(error)


def test_a_stream_may_be_longer_than_a_whole_answer_but_not_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own, larger bound holds."""
    monkeypatch.setattr(runtime_api, "MAX_BUFFERED_ANSWER", 10)
    monkeypatch.setattr(runtime_api, "MAX_STREAMED_ANSWER", 20)

    @asynchronous
    async def long() -> None:
        async with runtime() as played:
            invocation = Invocation(b"{}")
            await played.take(invocation)
            async with played.client() as client:
                await client.send(streaming(invocation) + b"14\r\n" + b"x" * 20 + b"\r\n")
                assert await anext(invocation) == b"x" * 20
                await client.send(b"1\r\nx\r\n")
                with pytest.raises(FunctionError, match="ResponseSizeTooLarge"):
                    await anext(invocation)

    long()


@asynchronous
async def test_a_runtime_that_asks_again_without_an_answer_loses_the_invocation() -> None:
    """The caller does not wait for ever."""
    async with runtime() as played:
        lost, following = Invocation(b"{}"), Invocation(b"{}")
        await played.take(lost)
        await played.take(following)
        with pytest.raises(FunctionError, match=r"Runtime\.NoResponse"):
            await lost.read()


@asynchronous
async def test_a_runtime_that_has_left_gets_no_event() -> None:
    """Handing an event to a poller that hung up fails the invocation."""
    async with runtime() as played:
        async with played.client() as client:
            await client.send(f"GET {BASE}/invocation/next HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            await played.ready.wait()
        await played.api.quiet()
        invocation = Invocation(b"{}")
        played.api.hand(invocation)
        with pytest.raises(FunctionError, match=r"Runtime\.ExitError"):
            await invocation.read()


@asynchronous
async def test_errors_at_the_start_and_after_a_restore_are_told() -> None:
    """Their words come through; a restore is granted at once."""
    async with runtime() as played:
        for path in ("/init/error", "/restore/error"):
            body = json.dumps({"errorType": "ImportError", "errorMessage": path}).encode()
            assert (await played.post(path, body)).status == 202
        async with played.client() as client:
            await client.send(f"GET {BASE}/restore/next HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            assert (await client.reply()).status == 200

    assert [str(error) for error in played.init_errors] == ["ImportError: /init/error", "ImportError: /restore/error"]
