"""The books of a test: a real Valkey in cluster mode, emptied before each, and DynamoDB by the local run's emulator.

Not by moto, whose transactions are not safe among threads, while two drainers at once are what is tested here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from cdk.local.emulator import start
from shared.edge import admission, counters
from shared.edge.settings import ValkeySettings
from tests.books.loss import EARLIER, keeper
from tests.books.rig import ORG, Paper, always
from tests.books.till import Till
from tests.fakes.books import Tables
from tests.fakes.patience import patiently

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from cdk.local.valkey import Valkey
    from functions.books import Books
    from shared.edge.ledger import Ledger


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """DynamoDB over HTTP on loopback; the fixture is its URL."""
    folder = tmp_path_factory.mktemp("emulator")
    running = asyncio.run(start(folder, folder / "emulator.log"))
    try:
        yield running.endpoint
    finally:
        running.child.stop()


@pytest.fixture
def tables(emulator: str) -> Iterator[Tables]:
    """An empty table."""
    made = Tables(emulator)
    yield made
    made.close()


@pytest.fixture
def ledger(tables: Tables) -> Ledger:
    """An empty ledger."""
    return tables.ledger()


@pytest.fixture
def store(store_server: Valkey) -> Iterator[redis.Redis]:
    """An empty store, as the function connects to it."""
    settings = ValkeySettings(store_server.host, store_server.port, tls=False, user="", cache="")
    with counters.connect(settings, None) as client:
        client.flushall()
        yield client


@pytest.fixture
def paper() -> Paper:
    """An empty log."""
    return Paper()


@pytest.fixture
def till(store_server: Valkey, store: redis.Redis, paper: Paper) -> Iterator[Till]:
    """A gateway on an empty store, and its log."""
    assert store.ping()
    gate = admission.Admission(patiently(store_server.host, store_server.port))
    yield Till(gate, paper)
    gate.drop()


@pytest.fixture
def kept(store: redis.Redis, ledger: Ledger, till: Till) -> Books:
    """The books of an open organization, with some requests in the ledger."""
    made = keeper(store, ledger, till)
    made.keep(ORG, always)
    for _ in range(EARLIER):
        till.request()
    made.keep(ORG, always)
    return made
