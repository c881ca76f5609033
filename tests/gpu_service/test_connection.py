"""A connection ends for who neither sends nor reads, and for nobody who is merely slow."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest
import uvicorn
import uvloop
from uvicorn.server import ServerState

from gpu_service.connection import Protocol
from tests.gpu_service.client import MODEL
from tests.gpu_service.conftest import TOKEN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.gpu_service.process import Server

    Loop = Callable[[], asyncio.AbstractEventLoop]

LARGE = 16 * 1024 * 1024
REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
BOTH = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


async def answer(_scope: Any, receive: Any, send: Any) -> None:
    """Send sixteen megabytes."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % LARGE)]})
    await send({"type": "http.response.body", "body": b"x" * LARGE})


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Protocol, socket.socket]]:
    """Connect to that application; gives the server's side and the client's."""
    config = uvicorn.Config(answer, http=Protocol, lifespan="off", ws="none", log_level="critical")
    config.load()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with theirs:
        _, protocol = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: Protocol(config=config, server_state=ServerState(), app_state={}), ours
        )
        yield protocol, theirs
        protocol.transport.abort()
        await settle()


async def settle() -> None:
    """Let the loop do what it can do now."""
    for _ in range(20):
        await asyncio.sleep(0)


async def read(theirs: socket.socket, size: int) -> None:
    """Read so many bytes."""
    while size > 0:
        size -= len(await asyncio.get_running_loop().sock_recv(theirs, min(size, 1 << 20)))


def run(new_loop: Loop, situation: Any) -> None:
    """Run it in such a loop."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(situation())


@BOTH
def test_who_does_not_read_is_cut_off(new_loop: Loop) -> None:
    """Seen twice with an answer of which nothing was read in between; closing would wait for ever."""

    async def situation() -> None:
        async with connected() as (protocol, theirs):
            await asyncio.get_running_loop().sock_sendall(theirs, REQUEST)
            await read(theirs, 1000)
            await settle()
            protocol.look()
            protocol.timeout_keep_alive_handler()
            assert protocol.transport.get_write_buffer_size() > 0
            protocol.look()
            await settle()
            with pytest.raises((ConnectionResetError, AssertionError)):
                await asyncio.wait_for(read_whole(theirs), 30)

    async def read_whole(theirs: socket.socket) -> None:
        count = 0
        while piece := await asyncio.get_running_loop().sock_recv(theirs, 1 << 20):
            count += len(piece)
        assert count > LARGE - 1000, "it was cut off"

    run(new_loop, situation)


@BOTH
def test_who_reads_slowly_gets_it_all(new_loop: Loop) -> None:
    """A megabyte between two looks, from the first to the last."""

    async def situation() -> None:
        async with connected() as (protocol, theirs):
            await asyncio.get_running_loop().sock_sendall(theirs, REQUEST)
            for _ in range(LARGE >> 20):
                await read(theirs, 1 << 20)
                protocol.look()
                assert not protocol.transport.is_closing()

    run(new_loop, situation)


@pytest.mark.parametrize("sent", [b"", REQUEST[:9]], ids=["nothing", "half a head"])
def test_who_sends_no_request_is_cut_off(sent: bytes) -> None:
    """At the second look; behind an answer, too, while uvicorn's own timer ends who waits in order."""

    async def situation() -> None:
        async with connected() as (protocol, theirs):
            await asyncio.get_running_loop().sock_sendall(theirs, sent)
            await settle()
            protocol.look()
            assert not protocol.transport.is_closing()
            protocol.look()
            assert protocol.transport.is_closing()

        async with connected() as (protocol, theirs):
            await asyncio.get_running_loop().sock_sendall(theirs, REQUEST)
            await read(theirs, LARGE)
            await settle()
            protocol.look()
            protocol.look()
            assert not protocol.transport.is_closing()
            await asyncio.get_running_loop().sock_sendall(theirs, REQUEST[:9])
            await settle()
            protocol.look()
            assert not protocol.transport.is_closing()
            protocol.look()
            assert protocol.transport.is_closing()

    run(asyncio.new_event_loop, situation)


def test_requests_of_one_connection_are_answered_in_their_order(server: Server) -> None:
    """Sent all at once, with errors, a HEAD and a wait for `100 Continue` among them: each has its own answer."""
    token = f"authorization: Bearer {TOKEN}\r\n"
    good, bad = json.dumps({"model": MODEL, "input": "hello"}).encode(), b"{"

    def request(line: str, body: bytes = b"", *headers: str) -> bytes:
        head = [f"{line} HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers]
        return ("\r\n".join(head) + f"\r\n{token}\r\n").encode() + body

    asked = [
        ("POST", request("POST /v1/embeddings", good), 200),
        ("HEAD", request("HEAD /v1/models"), 200),
        ("POST", request("POST /v1/embeddings", bad), 400),
        ("HEAD", request("HEAD /v1/embeddings"), 405),
        ("GET", request("GET /nowhere"), 404),
        ("POST", request("POST /v1/embeddings", good, "expect: 100-continue"), 200),
        ("GET", request("GET /ping"), 200),
    ]
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"".join(data for _, data, _ in asked))
        stream = connection.makefile("rb")
        heard = [_heard(stream, method) for method, _, _ in asked]

    assert [status for status, _ in heard] == [status for *_, status in asked]
    assert heard[0][1] == heard[5][1]
    assert [bool(body) for _, body in heard] == [method != "HEAD" for method, *_ in asked]


def _heard(stream: BinaryIO, method: str) -> tuple[int, bytes]:
    """Read one answer, behind the `100 Continue` that may go before it."""
    status = int(stream.readline().split()[1])
    length = 0
    while line := stream.readline().strip():
        name, _, value = line.partition(b": ")
        length = int(value) if name == b"content-length" else length
    if status == 100:
        return _heard(stream, method)
    return status, b"" if method == "HEAD" else stream.read(length)
