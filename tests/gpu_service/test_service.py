"""What happens to requests while the one worker is busy, while the model is loaded, and when things break."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from gpu_service.batching.limits import Limits
from gpu_service.model import ModelError
from tests.gpu_service.client import Client, Heard, HeldEngine

if TYPE_CHECKING:
    from gpu_service.engine import Engine


async def settle() -> None:
    """Let the event loop do whatever it can do now."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_work_of_a_client_that_left_is_never_begun() -> None:
    """One runs, two wait; the first of the two hangs up: only the other one is computed after it."""

    async def situation() -> tuple[list[int], list[Heard]]:
        engine, gone = HeldEngine(), asyncio.Event()
        async with Client(lambda: engine) as client:
            await client.ready()
            first = asyncio.create_task(client.embed("1"))
            await engine.has_begun()
            leaver = asyncio.create_task(client.embed("22", gone))
            stayer = asyncio.create_task(client.embed("333"))
            await settle()
            gone.set()
            left = await leaver
            engine.released.set()
            return engine.ran, [await first, left, await stayer]

    ran, heard = asyncio.run(situation())
    assert ran == [1, 3]
    assert [(one.status, one.starts) for one in heard] == [(200, 1), (0, 0), (200, 1)]


def test_too_many_are_sent_away_with_a_time_to_come_back() -> None:
    """With two places and both taken the third gets 503 and Retry-After; when one is free again a fourth is served."""

    async def situation() -> list[Heard]:
        engine = HeldEngine()
        async with Client(lambda: engine, places=2) as client:
            await client.ready()
            inside = [asyncio.create_task(client.embed(text)) for text in ("a", "b")]
            await engine.has_begun()
            refused = await client.embed("c")
            engine.released.set()
            return [refused, *await asyncio.gather(*inside), await client.embed("d")]

    refused, *served = asyncio.run(situation())
    assert (refused.status, refused.json["error"]["code"]) == (503, "overloaded")
    assert int(refused.headers["retry-after"]) >= 1
    assert [one.status for one in served] == [200, 200, 200]


def test_a_place_is_given_back_when_a_client_leaves_or_a_run_fails() -> None:
    """One place: after a hang-up and after a failure there is still one place."""

    async def situation() -> list[int]:
        engine, gone = HeldEngine(), asyncio.Event()
        async with Client(lambda: engine, places=1) as client:
            await client.ready()
            leaver = asyncio.create_task(client.embed("a", gone))
            await engine.has_begun()
            gone.set()
            await leaver
            engine.released.set()
            engine.fails = True
            failed = await client.embed("b")
            engine.fails = False
            return [failed.status, (await client.embed("c")).status]

    assert asyncio.run(situation()) == [500, 200]


def test_a_failing_run_tells_the_client_nothing_and_the_log_the_place(capsys: pytest.CaptureFixture[str]) -> None:
    """An exception is a 500 in the envelope; its kind and place stand in the log, but not its words: they may quote."""

    async def situation() -> Heard:
        engine = HeldEngine()
        engine.fails = True
        engine.released.set()
        async with Client(lambda: engine) as client:
            return await client.embed("a")

    heard = asyncio.run(situation())
    assert (heard.status, heard.json["error"]["code"]) == (500, "internal_error")
    assert b"secret reason" not in heard.body
    logged = capsys.readouterr().out
    assert '"error":"RuntimeError"' in logged
    assert "client.py:" in logged
    assert "secret reason" not in logged


def test_probes_tell_the_states_of_a_start_apart() -> None:
    """While the model is loaded the service is live and not ready; a request waits, and is then served."""

    async def situation() -> tuple[list[int], list[int]]:
        engine, loaded = HeldEngine(), threading.Event()
        engine.released.set()

        def load() -> Engine:
            assert loaded.wait(30)
            return engine

        async with Client(load) as client:
            early = asyncio.create_task(client.embed("a"))
            await settle()
            before = [(await client.ask("GET", path)).status for path in PROBES]
            loaded.set()
            served = await early
            return before, [served.status, *[(await client.ask("GET", path)).status for path in PROBES]]

    before, after = asyncio.run(situation())
    assert before == [200, 503, 503, 503]
    assert after == [200] * 5


@pytest.mark.parametrize("kind", [ModelError, MemoryError])
def test_a_model_that_cannot_be_loaded_is_never_ready(
    kind: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    """Liveness stays, readiness and requests get 503; the reason, which names paths, stands in the log alone."""

    async def situation() -> list[Heard]:
        def load() -> Engine:
            raise kind("/secret/path is broken.")

        async with Client(load) as client:
            return [await client.embed("a"), *[await client.ask("GET", path) for path in PROBES]]

    heard = asyncio.run(situation())
    assert [one.status for one in heard] == [503, 200, 503, 503, 503]
    assert heard[0].json["error"]["code"] == "not_ready"
    assert "/secret/path is broken." in capsys.readouterr().out
    assert b"/secret" not in heard[0].body


def test_a_large_request_lets_others_in_between() -> None:
    """Forty runs of one request do not stand in line together: a short one is computed after the first of them."""

    async def situation() -> list[int]:
        engine = HeldEngine()
        async with Client(lambda: engine, batching=Limits(max_batch_size=1)) as client:
            await client.ready()
            large = asyncio.create_task(client.embed(["x" * 250] * 40))  # type: ignore[arg-type]
            await engine.has_begun()
            small = asyncio.create_task(client.embed("yy"))
            await settle()
            engine.released.set()
            await small
            early = list(engine.ran)
            await large
            assert len(engine.ran) == 41
            return early

    assert 2 in asyncio.run(situation())[:3]


PROBES = ("/health/live", "/health/ready", "/health", "/ping")
