"""The stores of the admin function's tests: servers for each file, empty tables for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cdk.local.valkey import valkey_server
from tests.functions.control.rig import House, new_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdk.local.valkey import Valkey


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A server for each file."""
    with valkey_server(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="module")
def tables(moto: str) -> Iterator[tuple[Any, Any]]:
    """The Directory and the audit log."""
    made = new_table(moto, "control-directory"), new_table(moto, "control-audit")
    yield made
    for table in made:
        table.delete()
        table.meta.client.close()


@pytest.fixture
def house(tables: tuple[Any, Any], valkey: Valkey) -> Iterator[House]:
    """The function with empty stores."""
    with valkey.client() as client:
        client.flushall()
    for table in tables:
        for item in table.scan()["Items"]:
            table.delete_item(Key={"pk": item["pk"], "sk": item["sk"]})
    house = House(*tables, valkey)
    yield house
    house.admission.drop()
