"""A pool with real processes, and ways to see which of them live."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdk.local.workers import FunctionSpec, Pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[3]


class Situation:
    """A pool with one function, and what that wrote."""

    def __init__(self, pool: Pool, lines: list[str]) -> None:
        self.pool = pool
        self.lines = lines

    async def call(self, **event: Any) -> Any:
        """Invoke the function."""
        return await self.pool.call("f", event)

    @property
    def pids(self) -> list[int]:
        """The function's processes."""
        return self.pool.pids("f")

    async def until(self, count: int) -> None:
        """Wait until there are `count` processes."""
        while len(self.pids) != count:  # noqa: ASYNC110 - processes set no event
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(task_root: Path, handler: str = "obey", **more: Any) -> AsyncIterator[Situation]:
    """A pool; `more` are of the function or, by their names, of the pool."""
    lines: list[str] = []
    pool_arguments = {name: more.pop(name) for name in ("credentials", "idle_s", "max_waiting") if name in more}
    properties = {"environment": {}, "timeout_s": 15, **more}
    spec = FunctionSpec(name="f", handler=f"app.{handler}", task_root=task_root, **properties)
    async with Pool([spec], log=lambda _name, line: lines.append(line), **pool_arguments) as pool:
        yield Situation(pool, lines)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def dead_soon(*pids: int) -> bool:
    """Whether all of them end within a second or two."""
    deadline = time.monotonic() + 5
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(map(alive, pids))
