"""The stores of the admin function's tests: tables for each file, emptied for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.functions.control.rig import LEDGER, House, new_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdk.local.valkey import Valkey


@pytest.fixture(scope="module")
def tables(moto: str) -> Iterator[tuple[Any, Any]]:
    """The Directory and the audit log."""
    made = [new_table(moto, name) for name in ("control-directory", "control-audit", LEDGER)]
    yield made[0], made[1]
    for table in made:
        table.delete()
        table.meta.client.close()


@pytest.fixture
def house(tables: tuple[Any, Any], store_server: Valkey) -> Iterator[House]:
    """The function with empty stores."""
    with store_server.client() as client:
        client.flushall()
    ledger = tables[0].meta.client
    for item in ledger.scan(TableName=LEDGER)["Items"]:
        ledger.delete_item(TableName=LEDGER, Key={"pk": item["pk"], "sk": item["sk"]})
    for table in tables:
        while items := table.scan()["Items"]:  # a megabyte at a time
            for item in items:
                table.delete_item(Key={"pk": item["pk"], "sk": item["sk"]})
    house = House(*tables, store_server)
    yield house
    house.close()
