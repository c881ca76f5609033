"""What the tests of the edge talk to: a real Valkey in cluster mode, emptied before each test, and AWS by moto."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdk.local.valkey import valkey_server
from shared.edge.admission import Admission, connect
from tests.fakes.aws import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdk.local.valkey import Valkey


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with valkey_server(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def valkey(_server: Valkey) -> Valkey:
    """An empty server on loopback, without scripts."""
    with _server.client() as client:
        client.flushall()
        client.script_flush()
    return _server


@pytest.fixture
def admission(valkey: Valkey) -> Iterator[Admission]:
    """The scripts on that server."""
    opened = Admission(connect(valkey.host, valkey.port))
    yield opened
    opened.drop()


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """DynamoDB and Secrets Manager over HTTP on loopback; the fixture is their URL."""
    with serving() as url:
        yield url
