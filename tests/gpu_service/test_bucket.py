"""A bucket keeps results for all machines, and no request ever notices that it is slow, broken or away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from moto import mock_aws

from gpu_service import stores
from gpu_service.bucket import Bucket, StoreError, unpacked
from gpu_service.cache import Cache, Memory
from gpu_service.metrics import Metric, render
from gpu_service.settings import Settings
from shared.edge.settings import SettingsError
from tests.gpu_service import buckets
from tests.gpu_service.process import Server
from tests.gpu_service.test_cache import Model

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

BOTH = ["s3://b/some/prefix", "gs://b/some/prefix"]
PATIENT, HASTY = 30.0, 0.01  # seconds


class Tier:
    """A cache with nothing but a bucket below its memory, on a clock of its own."""

    def __init__(self, uri: str, patience: float) -> None:
        self.now = 0.0
        self.rows = Metric("rows", "", "tier", "outcome")
        self.writes = Metric("writes", "", "tier", "outcome")
        self.bucket = Bucket(
            stores.at(uri), patience=patience, rows=self.rows, writes=self.writes, clock=lambda: self.now
        )
        self.cache = Cache("model", Memory(10_000), bucket=self.bucket)
        self.model = Model()

    async def ask(self, *rows: list[int]) -> int:
        """Have rows computed or found; gives how many were known."""
        found = await self.cache.through(list(rows), self.model)
        assert [result.tolist() for result in found.results] == list(rows)
        return found.hits

    def told(self, metric: Metric) -> dict[str, int]:
        """What was counted, by outcome."""
        lines = [line for line in render([metric]).decode().splitlines() if not line.startswith("#")]
        return {line.split('"')[3]: int(line.split()[-1]) for line in lines}


def play(uri: str, situation: Callable[[Tier], Coroutine[Any, Any, None]], patience: float = PATIENT) -> Tier:
    """Play a situation with a tier that is connected, and close it."""

    async def run() -> Tier:
        tier = Tier(uri, patience)
        assert not tier.bucket.is_open
        assert tier.bucket._connecting is not None
        await tier.bucket._connecting
        await situation(tier)
        await asyncio.to_thread(tier.bucket.close)
        return tier

    return asyncio.run(run())


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Iterator[buckets.Bucket]:
    """A bucket on the loopback that both clients are led to."""
    with buckets.bucket() as found:
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.mark.parametrize("uri", BOTH)
def test_what_one_machine_computed_another_one_reads(uri: str, away: buckets.Bucket) -> None:
    """The same keys as on disk, below the prefix; of three rows the two that were known are not computed again."""

    async def first(tier: Tier) -> None:
        assert await tier.ask([1, 2], [3]) == 0

    async def second(tier: Tier) -> None:
        assert await tier.ask([1, 2], [3], [4]) == 2
        assert await tier.ask([1, 2]) == 1  # from memory

    one, other = play(uri, first), play(uri, second)
    key = one.cache.key([3]).hex()

    assert other.model.asked == [[4]]
    assert unpacked(one.cache.key([3]), away.objects[f"some/prefix/{key[:2]}/{key}"]) == np.array([3], np.float32)
    assert (one.told(one.rows), one.told(one.writes)) == ({"miss": 2}, {"written": 2})
    assert (other.told(other.rows), other.told(other.writes)) == ({"hit": 2, "miss": 1}, {"written": 1})


def test_s3_itself_says_what_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """By moto: a key that is not there is a miss, one that was written is read, a missing bucket is a failure."""
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    with mock_aws():
        import boto3  # noqa: PLC0415 - within the imitation

        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="b-real")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        here, nowhere = stores.at("s3://b-real"), stores.at("s3://b-other")
        for store in (here, nowhere):
            store.connect()
        here.put("a/b", b"content")

        assert (here.get("a/b"), here.get("a/c")) == (b"content", None)
        with pytest.raises(StoreError, match="NoSuchBucket"):
            nowhere.get("a/b")


@pytest.mark.parametrize("uri", BOTH)
def test_a_damaged_or_misplaced_object_is_a_miss(uri: str, away: buckets.Bucket) -> None:
    """A flipped bit, a cut, nothing at all, or another row's result: computed again, and right."""

    async def fill(tier: Tier) -> None:
        await tier.ask([1], [2], [3], [4])

    async def again(tier: Tier) -> None:
        assert await tier.ask([1], [2], [3], [4]) == 0

    names = [f"some/prefix/{key[:2]}/{key}" for key in (play(uri, fill).cache.key([n]).hex() for n in (1, 2, 3, 4))]
    whole = away.objects[names[0]]
    bad = [whole[:-1] + bytes([whole[-1] ^ 1]), whole[:-1], b"", whole]
    away.objects.update(zip(names, [*bad[:3], whole], strict=True))
    tier = play(uri, again)

    assert tier.told(tier.rows) == {"broken": 4}


@pytest.mark.parametrize("uri", BOTH)
def test_a_slow_bucket_is_not_waited_for(uri: str, away: buckets.Bucket) -> None:
    """Nobody waits past the patience; after three rows it is let alone for half a minute, and then asked again."""

    async def situation(tier: Tier) -> None:
        away.released.clear()
        for number in range(10):
            assert await tier.ask([number]) == 0
        assert tier.told(tier.rows) == {"late": 3, "unasked": 7}
        away.released.set()
        tier.now = 31
        assert await tier.ask([10]) == 0

    tier = play(uri, situation, HASTY)
    assert tier.model.asked == [[number] for number in range(11)]
    assert tier.told(tier.rows)["unasked"] == 7


@pytest.mark.parametrize("uri", BOTH)
@pytest.mark.parametrize("status", [403, 500, 0])
def test_a_bucket_that_refuses_is_let_alone(
    uri: str, status: int, away: buckets.Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No rights, an error, nobody at home: the rows are computed, and the log has one line that says why."""
    away.status = status
    away.objects = {}
    if not status:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:1")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")

    async def situation(tier: Tier) -> None:
        for number in range(6):
            key = tier.cache.key([number]).hex()
            away.objects[f"some/prefix/{key[:2]}/{key}"] = b"x"
            assert await tier.ask([number]) == 0

    tier = play(uri, situation)
    assert tier.model.asked == [[number] for number in range(6)]
    assert tier.told(tier.rows)["unasked"] >= 3
    assert capsys.readouterr().out.count("cache_resting") == 1


def test_writing_has_a_short_queue(away: buckets.Bucket) -> None:
    """Two thousand results for a bucket that takes none: most are let go, and nothing waits, the end included."""

    async def situation(tier: Tier) -> None:
        away.released.clear()
        result = np.ones(4, np.float32)
        tier.bucket.write({number.to_bytes(4, "big"): result for number in range(2000)})

    tier = play(BOTH[1], situation)
    assert tier.told(tier.writes)["dropped"] >= 2000 - 1024 - 1


def test_many_rows_are_sooner_computed(away: buckets.Bucket) -> None:
    """Of a request with more than 32 rows that are not in memory, the bucket is not asked."""

    async def situation(tier: Tier) -> None:
        assert await tier.ask(*[[number] for number in range(33)]) == 0

    tier = play(BOTH[0], situation)
    assert (tier.told(tier.rows), "GET" in away.asked) == ({"unasked": 33}, False)


def test_those_who_ask_at_the_same_time_share_one_look() -> None:
    """Five requests for one row: one GET."""
    with buckets.bucket() as found, pytest.MonkeyPatch.context() as patch:
        for name, value in found.environment.items():
            patch.setenv(name, value)

        async def situation(tier: Tier) -> None:
            assert sorted(await asyncio.gather(*(tier.ask([7]) for _ in range(5)))) == [0, 1, 1, 1, 1]

        play(BOTH[1], situation)
        assert found.asked.count("GET") == 1


def test_two_processes_share_a_bucket(model_dir: Path) -> None:
    """What the first one computed the second one finds, and `/metrics` has each tier."""
    told: list[tuple[str, str]] = []
    body = {"model": "all-MiniLM-L6-v2", "input": "asked of two machines"}
    with buckets.bucket() as found:
        given: dict[str, Any] = {**found.environment, "NEXUS_CACHE_URI": "gs://b/x", "NEXUS_CACHE_MS": "30000"}
        for _ in range(2):
            with Server(model_dir, **given) as server:
                server.wait_until_ready()
                server.ask("POST", "/v1/embeddings", body | {"input": "connects"})
                hits = server.ask("POST", "/v1/embeddings", body).headers["x-cached-rows"]
                told.append((hits, server.ask("GET", "/metrics").body.decode()))
                server.terminate()
                assert server.ended() == 0

    assert [hits for hits, _ in told] == ["0", "1"]
    assert 'gpu_service_cache_rows_total{tier="memory",outcome="miss"} 2' in told[1][1]
    assert 'gpu_service_cache_rows_total{tier="bucket",outcome="hit"} 1' in told[1][1]


def test_settings_name_the_bucket() -> None:
    """None by default; what is no bucket is told."""
    told = Settings.from_env({"NEXUS_CACHE_URI": "s3://bucket/prefix", "NEXUS_CACHE_MS": "20"})

    assert Settings.from_env({}).cache_uri == ""
    assert (told.cache_uri, told.cache_patience) == ("s3://bucket/prefix", 0.02)
    for wrong in ("bucket", "s3://", "https://bucket/x", "gs://Bucket!"):
        with pytest.raises(SettingsError, match=r"NEXUS_CACHE_URI=.* is neither s3://"):
            Settings.from_env({"NEXUS_CACHE_URI": wrong})
