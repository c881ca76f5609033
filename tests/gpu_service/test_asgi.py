"""A client that leaves ends its own work, at whatever moment, and nothing else does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gpu_service import asgi
from gpu_service.asgi import ClientGone, Exchange


class Peer:
    """A client that leaves when it is `gone`; `watched` once somebody looks."""

    def __init__(self) -> None:
        self.gone, self.watched, self.done = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.cancelled = False

    async def receive(self) -> dict[str, Any]:
        """Say that it has left."""
        self.watched.set()
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Take nothing."""

    async def work(self) -> str:
        """Answer, when it is `done`."""
        try:
            await self.done.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return "answer"

    async def ask(self) -> str:
        """Ask, and let a moment pass before the answer is sent."""
        scope = {"headers": [], "method": "POST", "path": "/"}
        found = await Exchange(scope, self.receive, self.send).unless_gone(self.work())
        for _ in range(5):
            await asyncio.sleep(0)
        return found


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin to watch without delay."""
    monkeypatch.setattr(asgi, "_SOON", 0.0)


def test_who_leaves_before_anybody_looks_is_noticed() -> None:
    """The client goes within the first 100 ms: its work is dropped when the watch begins."""

    async def situation() -> bool:
        peer = Peer()
        peer.gone.set()
        with pytest.raises(ClientGone):
            await peer.ask()
        return peer.cancelled

    assert asyncio.run(situation())


@pytest.mark.usefixtures("at_once")
def test_an_answer_that_comes_as_its_client_leaves_is_an_answer() -> None:
    """Both in one turn of the loop: the request ends in order, and is not cancelled behind its answer."""

    async def situation() -> str:
        peer = Peer()
        asking = asyncio.create_task(peer.ask())
        await peer.watched.wait()
        peer.gone.set()
        peer.done.set()
        return await asking

    assert asyncio.run(situation()) == "answer"


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("leaves", [False, True])
def test_a_shutdown_is_no_client_that_leaves(*, leaves: bool) -> None:
    """Cancelled from outside while it is watched: the work ends, and so does the request."""

    async def situation() -> tuple[bool, object]:
        peer = Peer()
        asking = asyncio.create_task(peer.ask())
        await peer.watched.wait()
        if leaves:
            peer.gone.set()
        asking.cancel()
        (found,) = await asyncio.gather(asking, return_exceptions=True)
        return peer.cancelled, found

    cancelled, found = asyncio.run(situation())
    assert cancelled
    assert isinstance(found, asyncio.CancelledError)
