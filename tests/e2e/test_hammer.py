"""A short piece of the hammer, with a seed; `python -m tests.e2e.hammer` goes on for as long as you like."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from shared.core.pricing import NANO
from tests.e2e.hammer import rounds
from tests.e2e.hammer.world import World, running

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = "1"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, guarded: int) -> Iterator[World]:
    """A stack of our own, whose processes may be killed and whose requests are short."""
    with running(tmp_path_factory.mktemp("hammer"), guarded) as made:
        yield made


@pytest.mark.xdist_group("hammer")
@pytest.mark.parametrize("plan", [rounds.CALM, rounds.TIGHT, rounds.MODELS, rounds.FLUSHED], ids=lambda plan: plan.name)
def test_the_money_is_right(world: World, plan: rounds.Plan) -> None:
    """Sixteen clients and one budget: see `hammer/verdict.py`. Without faults nearly all of a dollar can be spent."""
    found = rounds.struck(world, plan, SEED)
    if plan is rounds.CALM:
        assert found.truth >= Decimal("0.95") * NANO
