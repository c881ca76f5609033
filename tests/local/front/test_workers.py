"""The pool with real processes under the real runtime loop: scaling, isolation, credentials and output."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from cdk.local.invocation import Throttled
from cdk.local.process import MAX_LINE, PASSED_ON
from cdk.local.workers import Credentials
from tests.local.front.pool import dead_soon, running
from tests.local.front.situation import asynchronous

if TYPE_CHECKING:
    from pathlib import Path


@asynchronous
async def test_a_function_sees_its_own_environment_and_nothing_else(
    task_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ours only PATH and the like; Lambda's reserved names, its role's credentials, and no site-packages."""
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret")
    monkeypatch.setenv("PYTHONSTARTUP", "x")
    monkeypatch.setenv("TZ", "UTC")
    asked = []

    async def credentials(name: str) -> Credentials:
        asked.append(name)
        return Credentials("id", "secret", "token", time.time() + 3600)

    async with running(
        task_root, "tell", environment={"STAGE": "dev"}, memory_mb=256, arn="arn:f", credentials=credentials
    ) as it:
        told = await it.call()

    seen = told["environment"]
    passed = {*PASSED_ON, "LC_CTYPE"}  # the last is the interpreter's own doing
    own = {name: value for name, value in seen.items() if name not in passed and not name.startswith("AWS_LAMBDA_")}
    assert own.pop("_X_AMZN_TRACE_ID") == ""
    assert own == {
        "STAGE": "dev",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token",
        "LAMBDA_TASK_ROOT": str(task_root),
        "PYTHONPATH": str(task_root),
        "PYTHONUNBUFFERED": "1",
        "_HANDLER": "app.tell",
    }
    assert (seen["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"], seen["TZ"], told["arn"]) == ("256", "UTC", "arn:f")
    assert asked == ["f"]
    assert not any("site-packages" in part for part in told["path"])


@asynchronous
async def test_one_process_serves_requests_that_follow_one_another(task_root: Path) -> None:
    """A warm process is used again."""
    async with running(task_root) as it:
        pids = {(await it.call())["pid"] for _ in range(5)}

    assert len(pids) == 1


@asynchronous
async def test_processes_grow_with_concurrency_up_to_the_bound_then_callers_wait(
    task_root: Path, tmp_path: Path
) -> None:
    """Two processes serve five callers; the sixth is one too many; all five are answered."""
    gate = tmp_path / "gate"
    async with running(task_root, max_processes=2, max_waiting=3) as it:
        calls = [asyncio.create_task(it.call(until=str(gate), write=["started\n"])) for _ in range(5)]
        while len(it.lines) < 2:  # noqa: ASYNC110 - a log sets no event
            await asyncio.sleep(0.005)
        with pytest.raises(Throttled):
            await it.call()
        assert len(it.pids) == 2
        gate.touch()
        served = {answer["pid"] for answer in await asyncio.gather(*calls)}

        assert served == set(it.pids)
        assert (await it.call())["pid"] in served


@asynchronous
async def test_a_caller_that_gives_up_waiting_takes_nobodys_turn(task_root: Path, tmp_path: Path) -> None:
    """The process goes to the next in the line."""
    gate = tmp_path / "gate"
    async with running(task_root, max_processes=1) as it:
        first = asyncio.create_task(it.call(until=str(gate)))
        await it.until(1)
        second, third = asyncio.create_task(it.call()), asyncio.create_task(it.call())
        await asyncio.sleep(0.05)
        second.cancel()
        gate.touch()

        assert (await first)["pid"] == (await third)["pid"]


@asynchronous
async def test_prewarming_leaves_one_idle_process(task_root: Path) -> None:
    """The first request finds it."""
    async with running(task_root) as it:
        await it.pool.prewarm()
        (pid,) = it.pids

        assert (await it.call())["pid"] == pid


@asynchronous
async def test_output_arrives_line_by_line(task_root: Path) -> None:
    """Also bytes that are no UTF-8, and a line without an end; very long ones are cut."""
    async with running(task_root) as it:
        await it.call(write=["one\ntwo\nthr", "ee\n\xff\n", "x" * 600_000, "\n", "tail"])

    assert it.lines[:4] == ["one", "two", "three", "\ufffd"]
    assert it.lines[-1] == "tail"
    assert "".join(it.lines[4:-1]) == "x" * 600_000
    assert max(map(len, it.lines)) < MAX_LINE * 2


@asynchronous
async def test_a_process_is_replaced_before_its_credentials_expire(task_root: Path) -> None:
    """A process whose credentials would not last for another call is not used."""
    left = iter([1.5, 3600])  # long enough for the first call on a busy machine

    async def credentials(_name: str) -> Credentials:
        return Credentials("i", "s", "t", time.time() + next(left))

    async with running(task_root, credentials=credentials, max_processes=1) as it:
        first = (await it.call())["pid"]
        await asyncio.sleep(1.6)
        second = (await it.call())["pid"]

        assert first != second
        assert (await it.call())["pid"] == second
        assert dead_soon(first)


@asynchronous
async def test_idle_processes_end_but_the_last(task_root: Path, tmp_path: Path) -> None:
    """Three served a burst; one is kept."""
    gate = tmp_path / "gate"
    async with running(task_root, idle_s=0.1) as it:
        calls = [asyncio.create_task(it.call(until=str(gate))) for _ in range(3)]
        await it.until(3)
        gate.touch()
        await asyncio.gather(*calls)
        await it.until(1)

        assert (await it.call())["pid"] in it.pids
