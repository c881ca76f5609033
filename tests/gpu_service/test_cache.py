"""A row is computed once for one model, whoever asks and how many at a time, and memory stays bounded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gpu_service.cache import Cache, Memory
from gpu_service.disk import Disk
from gpu_service.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.gpu_service.process import Server


class Model:
    """Gives each row its ids as numbers; remembers what it was asked, and may fail once or hold."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.fails = False
        self.released = asyncio.Event()
        self.released.set()

    async def __call__(self, rows: Sequence[list[int]]) -> tuple[list[NDArray[np.float32]], float]:
        """Compute."""
        self.asked += rows
        await self.released.wait()
        if self.fails:
            self.fails = False
            raise ValueError("boom")
        return [np.array(row, np.float32) for row in rows], 1.0


def cache(*, identity: str = "model", most: int = 10_000, disk: Disk | None = None) -> Cache:
    """A cache of its own."""
    return Cache(identity, Memory(most), disk)


def test_a_row_is_computed_once() -> None:
    """Twice in one request and again in the next: one run, and everybody gets his own result in his own place."""

    async def situation() -> None:
        model, known = Model(), cache()
        first = await known.through([[1], [2, 3], [1]], model)
        second = await known.through([[2, 3], [4]], model)

        assert [result.tolist() for result in first.results] == [[1], [2, 3], [1]]
        assert [result.tolist() for result in second.results] == [[2, 3], [4]]
        assert model.asked == [[1], [2, 3], [4]]
        assert (first.hits, second.hits) == (1, 1)
        assert (await known.through([[4]], model)).began is None

    asyncio.run(situation())


def test_another_model_has_other_results() -> None:
    """The key holds what the results depend on; rows that look alike when run together are told apart."""
    one, other = cache(identity="fp32"), cache(identity="int8")

    assert one.key([1, 2]) != other.key([1, 2])
    assert len({one.key(row) for row in ([1, 2], [12], [1, 2, 0], [2, 1], [0x0201], [])}) == 6


def test_those_who_ask_at_the_same_time_share_one_run() -> None:
    """Ten requests for the same two rows, one run; also without any memory to keep them in."""

    async def situation(most: int) -> None:
        model, known = Model(), cache(most=most)
        model.released.clear()
        tasks = [asyncio.create_task(known.through([[1], [2]], model)) for _ in range(10)]
        await asyncio.sleep(0)
        model.released.set()
        for found in await asyncio.gather(*tasks):
            assert [result.tolist() for result in found.results] == [[1], [2]]
        assert model.asked == [[1], [2]]

    for most in (10_000, 0):
        asyncio.run(situation(most))


@pytest.mark.parametrize("leaves", [True, False], ids=["leaves", "fails"])
def test_who_waits_for_another_does_not_share_its_fate(*, leaves: bool) -> None:
    """The first hangs up, or its run fails: the second computes for itself."""

    async def situation() -> None:
        model, known = Model(), cache()
        model.released.clear()
        model.fails = not leaves
        first, second = (asyncio.create_task(known.through([[1]], model)) for _ in range(2))
        await asyncio.sleep(0)
        if leaves:
            first.cancel()
        model.released.set()
        await asyncio.wait([first])
        assert [result.tolist() for result in (await second).results] == [[1]]
        assert model.asked == [[1], [1]]

    asyncio.run(situation())


def test_memory_is_bounded_and_forgets_what_nobody_used() -> None:
    """A thousand results in room for ten: the bound holds, and the one in use stays."""
    memory = Memory(10 * (400 + 250))
    memory.put(b"used", np.zeros(100, np.float32))
    for number in range(1000):
        memory.put(number.to_bytes(4, "big"), np.zeros(100, np.float32))
        assert memory.get(b"used") is not None
        assert memory.bytes <= 10 * (400 + 250)

    assert len(memory) == 10
    memory.put(b"too large", np.zeros(10_000, np.float32))
    assert memory.get(b"too large") is None


def test_a_kept_result_does_not_keep_its_batch() -> None:
    """One row of a large batch is copied out, and nobody can change it."""
    memory, batch = Memory(10_000), np.ones((1000, 8), np.float32)
    memory.put(b"row", batch[3])
    kept = memory.get(b"row")

    assert kept is not None
    assert kept.base is None
    with pytest.raises(ValueError, match="read-only"):
        kept[0] = 2


def on_disk(path: Path, situation: Any, most: int = 1_000_000) -> Any:
    """Run `situation` with a file, and close it."""

    async def run() -> Any:
        disk = Disk(path, most)
        try:
            return await situation(disk)
        finally:
            disk.close()

    return asyncio.run(run())


def test_the_disk_outlives_the_process(tmp_path: Path) -> None:
    """What one process computed the next one reads."""
    model = Model()

    async def ask(disk: Disk) -> list[float]:
        found = await cache(disk=disk).through([[1, 2]], model)
        return list(found.results[0].tolist())

    assert [on_disk(tmp_path / "folder" / "a", ask) for _ in range(2)] == [[1, 2], [1, 2]]
    assert model.asked == [[1, 2]]


def test_the_disk_is_bounded(tmp_path: Path) -> None:
    """A thousand results in room for a hundred: the newest are there, the oldest are gone."""
    keys = [number.to_bytes(4, "big") for number in range(1000)]

    async def fill(disk: Disk) -> list[bytes]:
        for key in keys:
            disk.write({key: np.zeros(100, np.float32)})
        return sorted(await disk.read(keys))

    assert on_disk(tmp_path / "a", fill, most=100 * 480) == keys[-100:]


def test_a_damaged_result_is_a_miss(tmp_path: Path) -> None:
    """A flipped bit is seen by the sum."""
    path = tmp_path / "a"

    async def fill(disk: Disk) -> dict[bytes, Any]:
        disk.write({b"key": np.array([0.123], np.float32)})
        return await disk.read([b"key"])

    assert on_disk(path, fill)[b"key"].tolist() == [np.float32(0.123)]
    value = np.array([0.123], "<f4").tobytes()
    changed = path.with_suffix(".changed")
    changed.write_bytes(path.read_bytes().replace(value, bytes(4)))

    async def read(disk: Disk) -> dict[bytes, Any]:
        return await disk.read([b"key"])

    assert on_disk(changed, read) == {}


def test_a_broken_file_is_no_reason_to_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told to the log once; results are computed as without it."""
    path = tmp_path / "a"
    path.write_bytes(b"this is no database" * 100)
    model = Model()

    async def ask(disk: Disk) -> None:
        known = cache(disk=disk)
        for number in range(3):
            await known.through([[number]], model)

    on_disk(path, ask)
    assert model.asked == [[0], [1], [2]]
    assert capsys.readouterr().out.count("cache_lost") == 1


def test_the_service_tells_what_it_knew(server: Server) -> None:
    """The second time the header says so, and nothing was computed."""
    headers = {"authorization": "Bearer a-shared-secret"}
    body = {"model": "all-MiniLM-L6-v2", "input": ["asked for twice", "asked for twice", "and once"]}
    answers = [server.ask("POST", "/v1/embeddings", body, headers) for _ in range(2)]

    assert [answer.headers["x-cached-rows"] for answer in answers] == ["1", "3"]
    assert answers[0].json == answers[1].json
    assert answers[1].headers["x-inference-ms"] == "0.0"


def test_settings_say_how_much_is_kept() -> None:
    """64 MB in memory and nothing on disk, unless told otherwise."""
    default = Settings.from_env({})
    told = Settings.from_env({"CACHE_MB": "0", "CACHE_DIR": "/var/cache/x", "CACHE_DISK_MB": "2"})

    assert (default.cache_bytes, default.cache_dir) == (64 * 2**20, None)
    assert (told.cache_bytes, str(told.cache_dir), told.cache_disk_bytes) == (0, "/var/cache/x", 2 * 2**20)
