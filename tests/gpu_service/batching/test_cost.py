"""What a run costs is learned within some runs, whatever was assumed before."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_service.batching.cost import Cost

SHAPES = [16, 32, 64, 128, 256, 512]


def taught(fixed: float, per_token: float, *, noise: float = 0.0, runs: int = 200, seed: int = 1) -> Cost:
    """A cost that has seen runs of a model with these numbers."""
    chance, cost = random.Random(seed), Cost()
    for _ in range(runs):
        padded = chance.choice(SHAPES)
        cost.learn(padded, (fixed + per_token * padded) * chance.uniform(1 - noise, 1 + noise))
    return cost


@settings(deadline=None)
@given(st.floats(1e-5, 1e-1), st.floats(1e-7, 1e-2))
def test_the_two_numbers_are_found(fixed: float, per_token: float) -> None:
    """From a small GPU kernel to a large model on a CPU: predictions within 2 % after 200 runs."""
    cost = taught(fixed, per_token)

    for padded in SHAPES:
        assert abs(cost.seconds(padded) / (fixed + per_token * padded) - 1) < 0.02


@settings(deadline=None)
@given(st.integers(0, 50))
def test_a_noisy_machine_does_not_mislead(seed: int) -> None:
    """With runs that vary by a third, predictions are within a quarter."""
    cost = taught(2e-3, 2e-4, noise=1 / 3, seed=seed)

    assert all(abs(cost.seconds(padded) / (2e-3 + 2e-4 * padded) - 1) < 0.25 for padded in SHAPES)


def test_an_hour_of_equal_texts_wears_nothing_away() -> None:
    """After ten thousand runs of one size the other sizes are still known."""
    cost = taught(2e-3, 2e-4)
    chance = random.Random(2)
    for _ in range(10_000):
        cost.learn(128, (2e-3 + 2e-4 * 128) * chance.uniform(0.8, 1.2))

    assert abs(cost.seconds(512) / (2e-3 + 2e-4 * 512) - 1) < 0.2
    assert 3 < cost.worth < 30


def test_a_slower_machine_is_noticed_within_a_dozen_runs() -> None:
    """Every run takes three times as long from now on: sizes that were not seen since are expected to, too."""
    cost = taught(2e-3, 2e-4)
    for _ in range(12):
        cost.learn(64, 3 * (2e-3 + 2e-4 * 64))

    assert cost.seconds(512) > 2 * (2e-3 + 2e-4 * 512)


def test_room_is_the_inverse_of_seconds() -> None:
    """As many tokens as fit into a time take that time."""
    cost = Cost(fixed=1e-3, per_token=1e-4)

    assert abs(cost.seconds(cost.room(0.1)) - 0.1) < 1e-9
    assert cost.room(1e-4) == 0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10**6), st.floats(0, 1e4)), max_size=50))
def test_no_measurement_breaks_it(runs: list[tuple[int, float]]) -> None:
    """Whatever a clock says, predictions are finite and above zero."""
    cost = Cost()
    for padded, seconds in runs:
        cost.learn(padded, seconds)

    assert 0 < cost.seconds(1000) < 1e9
    assert cost.room(1.0) >= 0
    assert cost.worth >= 0


def test_what_neighbours_take_is_told_from_what_a_run_costs() -> None:
    """A machine that others use, five times slower by fits: predictions follow the clock, the two numbers do not."""
    cost, chance = Cost(), random.Random(5)
    for number in range(600):
        padded, slow = chance.choice(SHAPES), 5 if number % 200 > 100 else 1
        busy = 2e-3 + 2e-4 * padded
        cost.learn(padded, busy * slow * chance.uniform(0.7, 1.3), busy)

    assert abs(cost.worth - 10) < 1
    assert 3 < cost.seconds(256) / (2e-3 + 2e-4 * 256) < 7
