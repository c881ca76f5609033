"""Loopback ports for children that have to be told theirs, and take them a moment later."""

from __future__ import annotations

import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from cdk.local.child import PortTakenError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    Made = TypeVar("Made")

HOST: Final = "127.0.0.1"
TRIES: Final = 4


async def on_free_port(start: Callable[[int], Awaitable[Made]]) -> Made:
    """Have `start` start a child on a port; where somebody else was faster, on another one.

    Raises:
        PortTakenError: it happened each time.
    """
    for left in reversed(range(TRIES)):
        with held() as port:
            try:
                return await start(port)
            except PortTakenError:
                if not left:
                    raise
    raise AssertionError


@contextmanager
def held() -> Iterator[int]:
    """Find a port that nobody has, and let nobody choose it for the length of the block.

    Linux lets a child that reuses addresses, as servers do, listen where another socket is merely bound. Other systems
    do not, so the port is given up there before it is used.
    """
    with socket.socket() as holder:
        if sys.platform == "linux":
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((HOST, 0))
        port = int(holder.getsockname()[1])
        if sys.platform != "linux":
            holder.close()
        yield port
