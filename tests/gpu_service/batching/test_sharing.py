"""Two workers with one device: one computes, the other prepares, and leaves its batch open till shortly before."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from gpu_service.batching.batcher import Batcher
from gpu_service.batching.cost import Cost
from gpu_service.batching.limits import Limits
from gpu_service.batching.policy import Policy
from gpu_service.batching.ticket import Batch
from tests.gpu_service.batching.test_policy import offer, taken

if TYPE_CHECKING:
    from collections.abc import Sequence


def sharing(limits: Limits | None = None) -> Policy:
    """A policy of two workers with one device, on which a run takes 0.1 s."""
    found = Policy(limits or Limits(), workers=2, cost=Cost(fixed=0.1, per_token=0), share=True)
    for _ in range(100):
        found.prepared(0.01)
    return found


def begun(policy: Policy) -> Batch:
    """A run that began at 0."""
    offer(policy, 10)
    found = policy.take(0.0)
    assert isinstance(found, Batch)
    return found


def test_the_next_batch_stays_open_until_it_has_to_be_prepared() -> None:
    """Two times the ten milliseconds that it takes, before the end of the run; who comes until then is in it."""
    policy = sharing()
    begun(policy)
    offer(policy, 10, now=0.01)
    waits = policy.take(0.01)
    offer(policy, 10, now=0.07)

    assert not isinstance(waits, Batch)
    assert abs(waits - 0.07) < 0.001
    assert taken(policy.take(0.081)) == [10, 10]


def test_nothing_waits_once_the_run_has_ended_or_the_batch_is_full() -> None:
    """The worker that computed takes what there is, and a batch that has no room need not stay open."""
    policy = sharing(Limits(max_batch_size=2))
    first = begun(policy)
    offer(policy, 10, now=0.01)
    policy.done(first, 0.02)
    assert taken(policy.take(0.02)) == [10]

    policy = sharing(Limits(max_batch_size=2))
    begun(policy)
    offer(policy, 10, 10, now=0.01)
    assert taken(policy.take(0.01)) == [10, 10]


def test_the_wait_is_that_of_one_device() -> None:
    """Two workers are no promise of twice as much."""
    two, one = sharing(), Policy(Limits(), workers=1, cost=Cost(fixed=0.1, per_token=0))
    for policy in (two, one):
        begun(policy)
        for _ in range(50):
            offer(policy, 10, now=0.01)

    assert two.wait(0.02) == one.wait(0.02)


def test_one_computes_while_the_other_prepares() -> None:
    """The second batch is prepared during the first run, and begins after it; its time counts from there."""
    told: list[str] = []
    computing, prepared, released = (threading.Semaphore(0) for _ in range(3))

    async def situation() -> float:
        def work(rows: Sequence[str]) -> Sequence[str]:
            told.append(f"prepare {rows[0]}")
            prepared.release()
            with batcher.turn():
                told.append(f"begin {rows[0]}")
                computing.release()
                assert released.acquire(timeout=30)
                told.append(f"end {rows[0]}")
            return rows

        batcher: Batcher[str, str] = Batcher(work, Limits(), workers=2, share=True)
        try:
            first = asyncio.create_task(batcher.run(["one"]))
            assert await asyncio.to_thread(computing.acquire, timeout=30)
            assert await asyncio.to_thread(prepared.acquire, timeout=30)
            second = asyncio.create_task(batcher.run(["two"]))
            assert await asyncio.to_thread(prepared.acquire, timeout=30)
            released.release(2)
            return (await second).began - (await first).began
        finally:
            batcher.close()

    assert asyncio.run(situation()) > 0
    assert told == ["prepare one", "begin one", "prepare two", "end one", "begin two", "end two"]
