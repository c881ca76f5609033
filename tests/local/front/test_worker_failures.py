"""What goes wrong with function processes: how the caller hears of it, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from cdk.local.invocation import FunctionError, FunctionTimeout, InitError, PayloadTooLarge
from cdk.local.workers import MAX_EVENT, Credentials
from tests.local.front.pool import ROOT, alive, dead_soon, running
from tests.local.front.situation import asynchronous

if TYPE_CHECKING:
    from pathlib import Path

    from cdk.local.invocation import Invocation


async def collect(invocation: Invocation, seen: list[bytes]) -> None:
    """Put what comes into `seen`, however it ends."""
    async for chunk in invocation:
        seen.append(chunk)  # noqa: PERF401 - a comprehension would lose what came before an error


@asynchronous
async def test_a_function_that_cannot_be_loaded_says_why(task_root: Path) -> None:
    """To each caller, in the log, and without leaving a process; it is tried again each time."""
    async with running(task_root, environment={"BROKEN": "no catalog"}) as it:
        for _ in range(2):
            with pytest.raises(InitError, match="RuntimeError: no catalog"):
                await it.call()

        assert it.pids == []
    assert any("no catalog" in line for line in it.lines)


@asynchronous
async def test_a_process_that_ends_before_it_is_ready_fails_every_caller(task_root: Path) -> None:
    """Also those who wait beyond the bound of processes."""
    async with running(task_root, environment={"ENDS": "1"}, max_processes=1) as it:
        ended = await asyncio.gather(*(it.call() for _ in range(3)), return_exceptions=True)

    assert [str(error) for error in ended] == ["Runtime.ExitError: The process ended with status 3."] * 3


@asynchronous
async def test_a_task_root_that_is_not_there_is_an_init_error(tmp_path: Path) -> None:
    """Nothing hangs when a process cannot even be started."""
    async with running(tmp_path / "missing") as it:
        with pytest.raises(InitError, match="missing"):
            await it.call()


@asynchronous
async def test_credentials_that_cannot_be_had_are_an_init_error(task_root: Path) -> None:
    """The provider's words reach the caller."""

    async def credentials(_name: str) -> Credentials:
        raise ConnectionError("the emulator is gone")

    async with running(task_root, credentials=credentials) as it:
        with pytest.raises(InitError, match="the emulator is gone"):
            await it.call()


@asynchronous
async def test_an_exception_fails_the_call_and_keeps_the_process(task_root: Path) -> None:
    """Its type and message are told; the next call is served by the same process."""
    async with running(task_root) as it:
        pid = (await it.call())["pid"]
        with pytest.raises(FunctionError) as raised:
            await it.call(**{"raise": "no"})

        assert (raised.value.kind, raised.value.message) == ("ValueError", "no")
        assert (await it.call())["pid"] == pid


@asynchronous
async def test_a_process_that_ends_fails_its_call_and_is_replaced(task_root: Path) -> None:
    """The next call gets a new process, and what the old one had started is ended too."""
    async with running(task_root, max_processes=1) as it:
        pid, child = (await it.call(grandchild=True)).values()
        with pytest.raises(FunctionError, match=r"Runtime\.ExitError: The process ended with status 7"):
            await it.call(exit=7)

        assert (await it.call())["pid"] != pid
        assert dead_soon(pid, child)


@pytest.mark.parametrize(("end", "kind"), [({"raise": "no"}, "ValueError"), ({"exit": 1}, "Runtime.TruncatedResponse")])
@asynchronous
async def test_a_failure_in_mid_stream_comes_after_what_was_sent(
    task_root: Path, end: dict[str, Any], kind: str
) -> None:
    """By trailers, or by the end of the process."""
    async with running(task_root, "pour") as it:
        invocation = await it.pool.invoke("f", {"chunks": ["a", "b"], **end})
        seen: list[bytes] = []
        with pytest.raises(FunctionError) as raised:
            await collect(invocation, seen)

    assert invocation.streamed
    assert b"".join(seen).partition(bytes(8))[2] == b"ab"
    assert raised.value.kind == kind


@asynchronous
async def test_what_a_process_sent_before_it_ended_is_delivered(task_root: Path) -> None:
    """Its death does not overtake its last bytes, even those that wait behind a slow reader."""
    async with running(task_root, "pour") as it:
        invocation = await it.pool.invoke("f", {"chunks": ["x" * 60_000] * 22, "exit": 1})
        await invocation.start()
        await asyncio.sleep(0.3)
        seen: list[bytes] = []
        with pytest.raises(FunctionError):
            await collect(invocation, seen)

    assert b"".join(seen).partition(bytes(8))[2] == b"x" * 60_000 * 22


@asynchronous
async def test_a_function_that_is_too_slow_is_killed(task_root: Path, tmp_path: Path) -> None:
    """The call fails at the deadline, the process ends, and another serves the next call."""
    async with running(task_root, timeout_s=0.3, max_processes=1) as it:
        await it.pool.prewarm()
        (pid,) = it.pids
        with pytest.raises(FunctionTimeout, match=r"Task timed out after 0\.30 seconds"):
            await it.call(until=str(tmp_path / "never"))

        assert (await it.call())["pid"] != pid
        assert dead_soon(pid)
    assert any("Task timed out" in line for line in it.lines)


@asynchronous
async def test_an_event_over_six_megabytes_is_refused(task_root: Path) -> None:
    """As Lambda does, before anything is started; the largest that fits is served."""
    async with running(task_root) as it:
        with pytest.raises(PayloadTooLarge):
            await it.call(text="x" * MAX_EVENT)
        assert it.pids == []
        await it.call(text="é" * ((MAX_EVENT - len('{"text":""}')) // 2))
        with pytest.raises(FunctionError, match="ResponseSizeTooLarge"):
            await it.call(size=MAX_EVENT + 200)


@asynchronous
async def test_closing_leaves_nothing_behind(task_root: Path, tmp_path: Path) -> None:
    """Neither idle nor busy processes, nor what they started; whoever waits is told."""
    async with running(task_root, max_processes=2) as it:
        started = await it.call(grandchild=True)
        busy = [asyncio.create_task(it.call(until=str(tmp_path / "never"))) for _ in range(4)]
        await it.until(2)
        pids = it.pids
    ended = await asyncio.gather(*busy, return_exceptions=True)

    assert all(isinstance(error, FunctionError) for error in ended)
    assert dead_soon(*pids, started["child"])


def test_a_parent_that_is_killed_leaves_no_process(task_root: Path, tmp_path: Path) -> None:
    """SIGKILL gives it no chance to clean up: a process that never ends by itself ends with it all the same."""
    script = f"""
import asyncio
from pathlib import Path
from cdk.local.workers import FunctionSpec, Pool
async def main():
    root = Path({str(task_root)!r})
    spec = FunctionSpec(name="f", handler="app.obey", task_root=root, environment={{}}, timeout_s=60)
    async with Pool([spec], log=print) as pool:
        await pool.prewarm()
        invocation = await pool.invoke("f", {{"until": {str(tmp_path / "never")!r}}})
        print(pool.pids("f")[0], flush=True)
        await invocation.read()
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert alive(pid)
        os.kill(parent.pid, signal.SIGKILL)

    assert dead_soon(pid)
