"""What is written within one turn of the event loop goes out in one piece, in its order, and nothing stays behind."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, cast

import pytest
import uvloop

from gpu_service.corked import Corked

if TYPE_CHECKING:
    from collections.abc import Callable


BOTH = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


class Wire:
    """A transport that remembers what it was given."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        """Remember one system call."""
        assert not self.closed
        self.sent.append(data)

    def is_closing(self) -> bool:
        """Tell what a transport tells."""
        return self.closed

    def close(self) -> None:
        """Take nothing more."""
        self.closed = True


class Flow(asyncio.Protocol):
    """A protocol that is told when to stop writing."""

    def __init__(self) -> None:
        self.is_paused = False
        self.resumed = asyncio.Event()

    def pause_writing(self) -> None:
        """Stop."""
        self.is_paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self.is_paused = False
        self.resumed.set()


def corked() -> tuple[Corked, Wire]:
    """Make one, around a wire."""
    wire = Wire()
    return Corked(cast("Any", wire)), wire


def test_head_and_body_go_together() -> None:
    """One system call per turn, however many writes; the next turn's are another."""

    async def main() -> list[bytes]:
        transport, wire = corked()
        transport.write(b"head")
        transport.write(b"body")
        assert not wire.sent
        await asyncio.sleep(0)
        transport.write(b"event")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return wire.sent

    assert asyncio.run(main()) == [b"headbody", b"event"]


def test_what_was_written_before_the_end_is_sent() -> None:
    """A close comes behind it, and the flush that was due finds nothing."""

    async def main() -> Wire:
        transport, wire = corked()
        transport.write(b"farewell")
        transport.close()
        await asyncio.sleep(0)
        assert transport.is_closing()
        return wire

    assert asyncio.run(main()).sent == [b"farewell"]


@BOTH
def test_what_nobody_is_there_for_is_dropped_in_silence(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """A connection that breaks between a write and the end of its turn; either loop would complain."""
    complaints: list[dict[str, Any]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, told: complaints.append(told))
        ours, theirs = socket.socketpair()
        with theirs:
            transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, ours)
            corked = Corked(transport)
            transport.abort()
            for _ in range(3):
                await asyncio.sleep(0)
            corked.write(b"late")
            for _ in range(3):
                await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    assert complaints == []


@BOTH
def test_a_client_that_does_not_read_is_waited_for(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """The protocol is told that the buffer is full, and when there is room again; every byte arrives in its order."""
    data = bytes(range(256)) * 65_536

    async def main() -> tuple[bool, bytes, bool]:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        with theirs:
            transport, flow = await loop.connect_accepted_socket(Flow, ours)
            corked = Corked(transport)
            corked.write(data[:1000])
            corked.write(data[1000:])
            await asyncio.sleep(0)
            stopped, found = flow.is_paused, bytearray()
            while len(found) < len(data):
                found += await loop.sock_recv(theirs, 1 << 20)
            await flow.resumed.wait()
            corked.close()
            return stopped, bytes(found), flow.is_paused

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(main()) == (True, data, False)
