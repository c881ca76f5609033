"""What is written within one turn of the event loop goes out in one piece, in its order, and nothing stays behind."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from gpu_service.corked import Corked


class Wire:
    """A transport that remembers what it was given."""

    def __init__(self) -> None:
        self.sent: list[list[bytes]] = []
        self.closed = False

    def writelines(self, parts: list[bytes]) -> None:
        """Remember one system call."""
        assert not self.closed
        self.sent.append(list(parts))

    def is_closing(self) -> bool:
        """Tell what a transport tells."""
        return self.closed

    def close(self) -> None:
        """Take nothing more."""
        self.closed = True


def corked() -> tuple[Corked, Wire]:
    """Make one, around a wire."""
    wire = Wire()
    return Corked(cast("Any", wire)), wire


def test_head_and_body_go_together() -> None:
    """One system call per turn, however many writes; the next turn's are another."""

    async def main() -> list[list[bytes]]:
        transport, wire = corked()
        transport.write(b"head")
        transport.write(b"body")
        assert not wire.sent
        await asyncio.sleep(0)
        transport.write(b"event")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return wire.sent

    assert asyncio.run(main()) == [[b"head", b"body"], [b"event"]]


def test_what_was_written_before_the_end_is_sent() -> None:
    """A close comes behind it, and the flush that was due finds nothing."""

    async def main() -> Wire:
        transport, wire = corked()
        transport.write(b"farewell")
        transport.close()
        await asyncio.sleep(0)
        assert transport.is_closing()
        return wire

    assert asyncio.run(main()).sent == [[b"farewell"]]
