"""What the tests of the edge talk to: a real Valkey in cluster mode, emptied before each test, and AWS by moto."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.edge.admission import Admission
from tests.fakes.aws import serving
from tests.fakes.line import Line
from tests.fakes.patience import patiently

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdk.local.valkey import Valkey


@pytest.fixture
def valkey(store_server: Valkey) -> Valkey:
    """An empty server on loopback, without scripts."""
    with store_server.client() as client:
        client.flushall()
        client.script_flush()
    return store_server


@pytest.fixture
def admission(valkey: Valkey) -> Iterator[Admission]:
    """The scripts on that server."""
    opened = Admission(patiently(valkey.host, valkey.port))
    yield opened
    opened.drop()


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """DynamoDB and Secrets Manager over HTTP on loopback; the fixture is their URL."""
    with serving() as url:
        yield url


@pytest.fixture
def line(valkey: Valkey) -> Iterator[Line]:
    """A relay in front of the store."""
    relay = Line(valkey.port)
    yield relay
    relay.stop()
