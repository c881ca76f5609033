"""How a streaming handler answers: it pushes into an `Out`, and does not know what carries the bytes away.

The runtime loop, a test's list, and a local server are all possible implementations. Chunks are pushed rather than
pulled through generators, so that a failure to send travels back through every `with` of the handler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class ClientGone(Exception):  # noqa: N818 - a fact about the caller, not a fault of ours
    """Nobody reads the answer any more; raised by `Out.write`. Settle what was heard, then let it pass."""


class Out(Protocol):
    """Where one response goes: `start` exactly once, then `write` as often as there are bytes."""

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Fix the status (100 to 599) and headers; nothing sent later can change them.

        Raises:
            ClientGone: the other side hung up.
            RuntimeError: called a second time.
        """

    def write(self, chunk: bytes) -> None:
        """Send `chunk` at once; an empty one sends nothing.

        Raises:
            ClientGone: the other side hung up.
            RuntimeError: called before `start`.
        """
