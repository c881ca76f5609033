"""How long a run may take, and what happens to one that takes longer."""

from __future__ import annotations

import math
import threading
import time

import pytest

from gpu_service.batching.cost import Cost
from gpu_service.batching.limits import Patience
from gpu_service.runs import Runs

PATIENCE = Patience(factor=20, least=10, most=300)


@pytest.mark.parametrize(
    ("expected", "known", "bound"),
    [(0.01, True, 10), (1.0, True, 20), (100, True, 300), (0.01, False, 10), (1.0, False, 200)],
)
def test_the_bound_follows_the_prediction(expected: float, known: bool, bound: float) -> None:  # noqa: FBT001 - a table
    """Twenty times as long as predicted, between ten seconds and five minutes; a guess may be ten times too small."""
    assert PATIENCE.bound(expected, known=known) == bound


def test_a_stuck_run_is_asked_to_end_once() -> None:
    """By the thread that waits for it; what is over, or was forgiven the time, is not stuck."""
    asked: list[int] = []
    runs = Runs(PATIENCE, asked.append)
    with runs.of(["request"], Cost(), 16) as run:
        now = time.perf_counter()
        assert runs.interrupt(now + 9) == []
        assert [runs.interrupt(now + 11), runs.interrupt(now + 12)] == [[run], [run]]
        assert run.requests == ["request"]
        runs.forgive(5)
        assert runs.stuck(now + 14) == []
    assert runs.stuck(math.inf) == []
    assert asked == [threading.get_ident()]


def test_a_guess_becomes_knowledge() -> None:
    """The first three runs may take ten times what is predicted; then the prediction counts."""
    cost, patience = Cost(fixed=1.0, per_token=0.0), Patience(factor=1, least=0, most=300)
    bounds = []
    for _ in range(4):
        with Runs(patience, lambda _: None).of([], cost, 16) as run:
            bounds.append(round(run.until - time.perf_counter()))
        cost.learn(16, 1.0)
    assert bounds == [10, 10, 10, 1]
