"""What nearly all tests need: a Valkey, one for each process that runs tests, as its start takes two seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdk.local.valkey import valkey_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdk.local.valkey import Valkey


@pytest.fixture(scope="session")
def store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A real one in cluster mode on loopback; whoever takes it empties it first."""
    with valkey_server(tmp_path_factory.mktemp("valkey")) as server:
        yield server
