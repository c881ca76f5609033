"""Streaming integrations: every piece leaves when it arrives, and an end that is not one looks like none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from cdk.local.invocation import HIGH_WATER, FunctionError, Invocation
from tests.local.front.situation import Functions, asynchronous, method, prelude, serving, template

if TYPE_CHECKING:
    from tests.local.front.situation import Client

ASK = b"POST /stream HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"


class Held:
    """A function that hands its invocation to the test."""

    def __init__(self) -> None:
        self.invocation: asyncio.Future[Invocation] = asyncio.get_running_loop().create_future()

    async def __call__(self, _event: dict[str, Any], invocation: Invocation) -> None:
        """Leave the answer to the test."""
        self.invocation.set_result(invocation)


async def asked(client: Client, held: Held) -> Invocation:
    """Send the request and return what it started."""
    await client.send(ASK)
    return await held.invocation


@asynchronous
async def test_each_piece_is_there_before_the_next_is_made() -> None:
    """Status and headers leave with the prelude, each chunk by itself: the function waits for the client here."""
    held = Held()
    async with serving(Functions(Pour=held)) as local, local.client() as client:
        invocation = await asked(client, held)
        invocation.feed(prelude(201, **{"content-type": "text/event-stream", "x-a": "b"}))
        head = await client.head()
        for piece in (b"data: 1\n\n", b"\x00" * 8, b"data: 2\n\n"):
            invocation.feed(piece)
            assert await client.chunk() == piece
        invocation.end()
        assert await client.chunk() == b""
        (access,) = await local.logged()

    assert (head.status, head.headers["content-type"], head.headers["x-a"]) == (201, "text/event-stream", "b")
    assert (access.outcome, access.sent) == ("ok", 26)


@pytest.mark.parametrize("cut", range(0, len(prelude()) + 5, 3))
@asynchronous
async def test_the_prelude_may_be_cut_anywhere(cut: int) -> None:
    """Two segments make the same answer, whatever is in the first."""
    held, data = Held(), prelude() + b"body"
    async with serving(Functions(Pour=held)) as local, local.client() as client:
        invocation = await asked(client, held)
        invocation.feed(data[:cut])
        await asyncio.sleep(0)
        invocation.feed(data[cut:])
        invocation.end()
        reply = await client.reply()

    assert (reply.status, reply.body) == (200, b"body")


@asynchronous
async def test_a_connection_serves_another_request_after_a_stream() -> None:
    """A stream that ended well leaves a usable connection."""

    async def pour(_event: dict[str, Any], invocation: Invocation) -> None:
        invocation.feed(prelude() + b"x")
        invocation.end()

    async with serving(Functions(Pour=pour)) as local, local.client() as client:
        for _ in range(3):
            await client.send(ASK)
            assert (await client.reply()).body == b"x"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b'{"statusCode": 200}',
        b'{"statusCode": 200, "body": "x"}' + bytes(7),
        b"x" * 16384 + bytes(8),
        b'{"statusCode": 200, "headers": {"a": "' + b"x" * 16400 + b'"}}' + bytes(8),
        b"no json" + bytes(8),
        b"[]" + bytes(8),
        b'{"headers": {}}' + bytes(8),
        b'{"statusCode": 200, "headers": {"a": "b\\r\\nc: d"}}' + bytes(8),
    ],
)
@asynchronous
async def test_a_stream_without_its_prelude_is_a_502(data: bytes) -> None:
    """It must be complete within the first 16 KB."""

    async def pour(_event: dict[str, Any], invocation: Invocation) -> None:
        invocation.feed(data)
        invocation.end()

    async with serving(Functions(Pour=pour)) as local, local.client() as client:
        await client.send(ASK)
        reply = await client.reply()

    assert (reply.status, reply.json["code"]) == (502, "5xx")


@pytest.mark.parametrize("before", [b"", prelude()[:10]])
@asynchronous
async def test_a_failure_before_the_prelude_is_a_502(before: bytes) -> None:
    """Nothing has been said yet, so the error can be."""
    held = Held()
    async with serving(Functions(Pour=held)) as local, local.client() as client:
        invocation = await asked(client, held)
        invocation.feed(before)
        invocation.end(FunctionError("ValueError", "s3cret"))
        reply = await client.reply()

    assert (reply.status, reply.json["message"]) == (502, "Internal server error")


@asynchronous
async def test_a_failure_in_the_middle_breaks_the_stream_off() -> None:
    """What came before is delivered; then the connection closes without the end of a chunked body."""
    held = Held()
    async with serving(Functions(Pour=held)) as local, local.client() as client:
        invocation = await asked(client, held)
        invocation.feed(prelude() + b"half")
        await client.head()
        assert await client.chunk() == b"half"
        invocation.end(FunctionError("Runtime.ExitError", "gone"))
        assert await client.rest() == b""
        (access,) = await local.logged()

    assert (access.status, access.outcome, access.reason) == (200, "cut", "Runtime.ExitError: gone")


def impatient() -> dict[str, Any]:
    """The template, with a streaming integration of 50 ms."""
    return template(PostStream=method("Stream", "POST", "Pour", stream=True, Integration={"TimeoutInMillis": 50}))


@asynchronous
async def test_no_answer_in_time_is_a_504_and_the_function_runs_on() -> None:
    """The invocation still takes whatever comes, holds nobody back, and nobody hears it."""
    held = Held()
    async with serving(Functions(Pour=held), impatient()) as local, local.client() as client:
        invocation = await asked(client, held)
        reply = await client.reply()
        held_back: list[bool] = []
        invocation.on_flow = held_back.append
        invocation.feed(prelude() + b"x" * 2 * HIGH_WATER)
        invocation.end()

    assert reply.status == 504
    assert held_back == []
    assert invocation.done


@asynchronous
async def test_no_end_in_time_breaks_the_stream_off() -> None:
    """After the first byte there is no status left to tell of it."""
    held = Held()
    async with serving(Functions(Pour=held), impatient()) as local, local.client() as client:
        (await asked(client, held)).feed(prelude() + b"half")
        heard = await client.rest()
        (access,) = await local.logged()

    assert heard.endswith(b"4\r\nhalf\r\n")
    assert access.outcome == "cut"


@asynchronous
async def test_a_client_that_hangs_up_does_not_stop_the_function() -> None:
    """Its chunks are taken to the end, however many there are."""
    held = Held()
    async with serving(Functions(Pour=held)) as local:
        async with local.client() as client:
            invocation = await asked(client, held)
            invocation.feed(prelude())
            await client.head()
        held_back: list[bool] = []
        invocation.on_flow = held_back.append
        for _ in range(20):
            invocation.feed(b"x" * HIGH_WATER)
            await asyncio.sleep(0)
        invocation.end()
        (access,) = await local.logged()

    assert access.sent == 20 * HIGH_WATER
    assert True not in held_back[-1:]


@asynchronous
async def test_a_slow_client_holds_the_function_back() -> None:
    """Megabytes that nobody reads are not piled up: the function is paused, and goes on when they are read."""
    held = Held()
    async with serving(Functions(Pour=held)) as local, local.client() as client:
        invocation = await asked(client, held)
        flow: list[bool] = []
        invocation.on_flow = flow.append
        invocation.feed(prelude())
        fed = 0
        while not flow:
            invocation.feed(b"x" * 100_000)
            fed += 100_000
            await asyncio.sleep(0.001)
        assert flow == [True]
        await client.head()
        read = 0
        while flow[-1]:
            read += len(await client.chunk())
        invocation.end()
        while piece := await client.chunk():
            read += len(piece)

    assert flow == [True, False]
    assert read == fed


@asynchronous
async def test_head_and_tail_survive_http_1_0() -> None:
    """A client without chunks gets the plain bytes and the close."""
    held = Held()
    async with serving(Functions(Pour=held)) as local, local.client() as client:
        await client.send(ASK.replace(b"1.1", b"1.0"))
        invocation = await held.invocation
        invocation.feed(prelude() + b"ab")
        invocation.end()
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")

    assert b"transfer-encoding" not in head.lower()
    assert body == b"ab"


@asynchronous
async def test_closing_the_front_ends_streams_that_do_not() -> None:
    """After a moment of grace nothing is left of an endless answer."""
    held = Held()
    async with serving(Functions(Pour=held)) as local, local.client() as client:
        (await asked(client, held)).feed(prelude() + b"x")
        await client.head()
    (access,) = local.log

    assert (access.status, access.outcome, access.reason) == (200, "cut", "the front is closing")
