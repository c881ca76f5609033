"""The loop around the policy: real threads, a made-up model, and whoever is to blame pays alone."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from gpu_service.batching.batcher import Batcher
from gpu_service.batching.limits import Limits
from gpu_service.errors import NotReady, Overloaded, Stuck

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

POISON = "poison"


class Model:
    """Echoes its rows once it is released; remembers each run. What holds `POISON` makes the run fail."""

    def __init__(self, error: type[BaseException] = ValueError, *, held: bool = False) -> None:
        self.runs: list[list[str]] = []
        self.begun = threading.Semaphore(0)
        self.released = threading.Event()
        self._error = error
        if not held:
            self.released.set()

    def __call__(self, rows: Sequence[str]) -> list[str]:
        """Run."""
        self.runs.append(list(rows))
        self.begun.release()
        assert self.released.wait(30)
        if POISON in rows:
            raise self._error("boom")
        return [row.upper() for row in rows]


def with_batcher(
    model: Model, situation: Callable[[Batcher[str, str]], Awaitable[Any]], *, workers: int = 1, **limits: Any
) -> Any:
    """Run `situation` with a batcher on `model`."""

    async def run() -> Any:
        batcher: Batcher[str, str] = Batcher(model, Limits(**limits), workers=workers)
        try:
            return await situation(batcher)
        finally:
            batcher.close()

    return asyncio.run(run())


async def outcomes(batcher: Batcher[str, str], requests: Sequence[Sequence[str]], model: Model) -> list[Any]:
    """Results or errors of `requests`, all of which arrive while a first run is under way."""
    first = asyncio.create_task(batcher.run(["first"]))
    await asyncio.to_thread(model.begun.acquire)
    tasks = [asyncio.create_task(batcher.run(rows)) for rows in requests]
    await asyncio.sleep(0)
    model.released.set()
    await first
    done = await asyncio.gather(*tasks, return_exceptions=True)
    return [one if isinstance(one, BaseException) else one.results for one in done]


def test_requests_that_meet_share_a_run() -> None:
    """What arrives during a run is computed in one run after it, and everybody gets his own."""
    model = Model(held=True)
    found = with_batcher(model, lambda batcher: outcomes(batcher, [["aa"], ["bb", "cc"], ["dd"]], model))

    assert found == [["AA"], ["BB", "CC"], ["DD"]]
    assert model.runs == [["first"], ["aa", "bb", "cc", "dd"]]


@pytest.mark.parametrize("error", [ValueError, MemoryError, SystemExit, KeyboardInterrupt])
def test_only_the_poison_row_fails(error: type[BaseException]) -> None:
    """Sixteen requests share a run that one of them breaks, be it by what would end a thread: fifteen are served."""
    model = Model(error, held=True)
    requests = [[f"row-{number:02}"] for number in range(16)]
    requests[11] = [POISON]
    found = with_batcher(model, lambda batcher: outcomes(batcher, requests, model))

    assert isinstance(found.pop(11), Exception)
    assert found == [[row.upper()] for [row] in requests if row != POISON]
    assert len(model.runs) <= 2 + 2 + 2 * 4  # two halves on each of four levels


def test_a_request_with_a_poison_row_leaves_the_line() -> None:
    """Its other rows are not computed once it has failed."""
    model = Model(held=True)
    found = with_batcher(
        model, lambda batcher: outcomes(batcher, [[POISON, *["x" * 9] * 100]], model), max_batch_size=1
    )

    assert isinstance(found[0], ValueError)
    assert len(model.runs) < 102


def test_a_killed_thread_is_replaced() -> None:
    """A thread that ended, whatever ended it, does not take the service with it."""

    async def situation(batcher: Batcher[str, str]) -> list[str]:
        await batcher.run(["a"])
        with batcher._turn:  # the one thread ends as if the batcher closed
            batcher._closed = True
            batcher._turn.notify_all()
        thread = batcher._threads[0]
        assert thread is not None
        await asyncio.to_thread(thread.join, 30)
        batcher._closed = False
        return (await batcher.run(["b"])).results

    assert with_batcher(Model(), situation) == ["B"]


def test_a_model_that_loses_rows_is_found_out() -> None:
    """Too few results are nobody's: an error, not somebody else's vector."""

    async def situation(batcher: Batcher[str, str]) -> None:
        await batcher.run(["a"])

    model = Model()
    model.__class__ = type("Losing", (Model,), {"__call__": lambda _self, _rows: []})
    with pytest.raises(RuntimeError, match="0 results for 1 rows"):
        with_batcher(model, situation)


def test_who_waits_past_the_deadline_is_given_up() -> None:
    """Even while the only worker hangs: 503, and nothing was computed."""
    model = Model(held=True)

    async def situation(batcher: Batcher[str, str]) -> BaseException:
        first = asyncio.create_task(batcher.run(["first"]))
        await asyncio.to_thread(model.begun.acquire)
        [late] = await asyncio.gather(batcher.run(["late"]), return_exceptions=True)
        model.released.set()
        await first
        assert isinstance(late, BaseException)
        return late

    late = with_batcher(model, situation, deadline=0.05)
    assert isinstance(late, Overloaded)
    assert late.retry_after is not None
    assert model.runs == [["first"]]


def test_a_caller_that_leaves_costs_nothing() -> None:
    """Cancelled while waiting: its row is never run, its neighbours are."""
    model = Model(held=True)

    async def situation(batcher: Batcher[str, str]) -> list[str]:
        first = asyncio.create_task(batcher.run(["first"]))
        await asyncio.to_thread(model.begun.acquire)
        leaver, stayer = (asyncio.create_task(batcher.run([name])) for name in ("leaver", "stayer"))
        await asyncio.sleep(0)
        leaver.cancel()
        await asyncio.wait([leaver])
        model.released.set()
        await first
        return (await stayer).results

    assert with_batcher(model, situation) == ["STAYER"]
    assert model.runs == [["first"], ["stayer"]]


def test_a_run_that_does_not_end_is_no_rows_fault() -> None:
    """Asked to end it fails: all four in it get 504 and none is run again. Nobody hears of it before his deadline."""
    model, hangs, asked = Model(held=True), ["row-01", POISON, "row-02", "row-03"], list[int]()

    async def situation() -> tuple[list[Any], list[str]]:
        batcher: Batcher[str, str] = Batcher(model, Limits(), interrupt=asked.append)
        try:
            task = asyncio.create_task(batcher.run(hangs))
            await asyncio.to_thread(model.begun.acquire)
            assert not batcher.stuck(time.perf_counter())
            batcher.runs.forgive(-1000)
            assert batcher.stuck(time.perf_counter())
            with pytest.raises(NotReady), batcher.admit():
                pass
            assert len(asked) == 1
            model.released.set()
            [found] = await asyncio.gather(task, return_exceptions=True)
            return [found], (await batcher.run(["next"])).results
        finally:
            batcher.close()

    found, following = asyncio.run(situation())
    assert [type(one) for one in found] == [Stuck]
    assert following == ["NEXT"]
    assert [sorted(run) for run in model.runs] == [sorted(hangs), ["next"]]


def test_who_is_in_a_run_that_never_ends_hears_of_it_at_his_deadline() -> None:
    """Not before, as it may still end; who is in the line behind it is told to come back, as always."""
    model = Model(held=True)

    async def situation(batcher: Batcher[str, str]) -> list[Any]:
        tasks = [asyncio.create_task(batcher.run(["first"]))]
        await asyncio.to_thread(model.begun.acquire)
        tasks.append(asyncio.create_task(batcher.run(["second"])))
        await asyncio.sleep(0)
        now = time.perf_counter()
        batcher.runs.forgive(-1000)
        assert batcher.stuck(now)
        await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
        assert batcher.stuck(now + 31)
        await asyncio.sleep(0)
        assert [task.done() for task in tasks] == [True, False]
        batcher.abandon(NotReady("gone"))
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(one) for one in with_batcher(model, situation, deadline=30)] == [Stuck, NotReady]
    model.released.set()


def test_two_workers_run_at_a_time() -> None:
    """The second request does not wait for the first's run."""
    model = Model(held=True)

    async def situation(batcher: Batcher[str, str]) -> None:
        tasks = [asyncio.create_task(batcher.run([name])) for name in ("a" * 100, "b" * 100)]
        for _ in tasks:
            assert await asyncio.to_thread(model.begun.acquire, timeout=30)
        model.released.set()
        await asyncio.gather(*tasks)

    with_batcher(model, situation, workers=2)
    assert sorted(model.runs) == [["a" * 100], ["b" * 100]]


def test_who_would_wait_too_long_is_told_when_to_come_back() -> None:
    """The line holds what can be done in time; the next one is refused before it costs anything."""
    model = Model(held=True)

    async def situation(batcher: Batcher[str, str]) -> Overloaded:
        tasks = [asyncio.create_task(batcher.run(["x" * 100]))]
        await asyncio.to_thread(model.begun.acquire)
        refused: Overloaded | None = None
        while refused is None:
            try:
                with batcher.admit(100):
                    tasks.append(asyncio.create_task(batcher.run(["x" * 100])))
                    await asyncio.sleep(0)
            except Overloaded as error:
                refused = error
        model.released.set()
        await asyncio.gather(*tasks)
        assert len(tasks) < 100
        return refused

    refused = with_batcher(model, situation)
    assert refused.retry_after == 1
    assert 0 < int(refused.headers["retry-after-ms"]) <= 1000
