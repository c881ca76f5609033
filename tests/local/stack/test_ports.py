"""A port that somebody else takes, between its choice and its use, is no failure of the start."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from cdk.local import emulator, ports, services, valkey
from cdk.local.child import Child, LocalError, PortTakenError
from cdk.local.ports import HOST, TRIES, held, on_free_port
from cdk.local.state import Logs

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    Start = Callable[[Path], Coroutine[Any, Any, Any]]

STARTS: dict[str, Start] = {
    "emulator": lambda folder: emulator.start(folder, folder / "log"),
    "valkey": valkey.start,
    "simulated": lambda folder: services.start_simulated(Logs(folder)),
    "gpu_service": lambda folder: services.start_gpu_service("token", Logs(folder)),
}


@pytest.fixture
def faster(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Have the first port that is chosen be somebody else's; the list says which ports were."""
    chosen: list[int] = []

    @contextmanager
    def slow() -> Iterator[int]:
        with held() as port:
            chosen.append(theirs if not chosen else port)
            yield chosen[-1]

    with socket.socket() as other:
        other.bind((HOST, 0))
        theirs = other.getsockname()[1]
        monkeypatch.setattr(ports, "held", slow)
        yield chosen


@pytest.mark.parametrize("name", STARTS)
def test_a_part_whose_port_is_taken_starts_on_another(name: str, faster: list[int], tmp_path: Path) -> None:
    """Each in its own words says that it is, and is started again."""
    part = asyncio.run(STARTS[name](tmp_path))
    try:
        assert len(faster) == 2
        assert part.child.process.poll() is None
    finally:
        part.child.stop()


def test_it_is_given_up_in_the_end() -> None:
    """With what the last one said."""
    tried: list[int] = []

    async def start(port: int) -> None:
        tried.append(port)
        raise PortTakenError("in use")

    with pytest.raises(PortTakenError, match="in use"):
        asyncio.run(on_free_port(start))
    assert len(set(tried)) == TRIES


def test_another_failure_is_told_at_once(tmp_path: Path) -> None:
    """By the last words of this child, not by those of one before it in the same log."""
    log = tmp_path / "log"
    log.write_text("Address already in use\n")

    async def start(port: int) -> None:
        tried.append(port)
        await Child.start("It", [sys.executable, "-c", "exit('no such thing')"], log=log).until(bool, seconds=20)

    tried: list[int] = []
    with pytest.raises(LocalError, match=r"It ended while starting \(no such thing\)"):
        asyncio.run(on_free_port(start))
    assert len(tried) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a port cannot be held for somebody else")
def test_nobody_else_can_have_a_port_that_is_held() -> None:
    """But who it is for, and reuses addresses."""
    with held() as port:
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((HOST, port))
        with socket.create_server((HOST, port)), socket.create_connection((HOST, port)):
            pass
