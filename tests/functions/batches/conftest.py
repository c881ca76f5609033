"""The stores of these tests: made and removed with each, for moto's take no time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.functions.batches.rig import House

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def house(moto: str) -> Iterator[House]:
    """The function with empty stores."""
    house = House(moto)
    yield house
    house.close()
