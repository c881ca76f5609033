"""What the policy does to a load, seen as a whole; in made-up time, so that it repeats to the last digit."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from gpu_service.batching.cost import Cost
from gpu_service.batching.limits import Limits
from gpu_service.batching.policy import Policy
from gpu_service.batching.simulator import Arrival, Simulator
from gpu_service.batching.traces import even, poisson
from gpu_service.simulate import SIZES, WAITS, fixed

if TYPE_CHECKING:
    from gpu_service.batching.simulator import Report, Truth

CPU = Cost(1.7e-3, 220e-6)  # measured: MiniLM on one core
GPU = Cost(4e-3, 2e-6)  # assumed: dear to start, cheap to fill
TARGET = 1.0


def play(load: list[Arrival], truth: Truth, limits: Limits | None = None, *, workers: int = 1) -> Report:
    """Run a policy that knows nothing of the model yet."""
    policy = Policy(limits or Limits(target_latency=TARGET), workers=workers)
    return Simulator(policy, truth, workers=workers).run(load)


def noisy(cost: Cost) -> Truth:
    """A model whose runs vary by a tenth."""
    chance = random.Random(7)
    return lambda padded, _now: cost.seconds(padded) * chance.uniform(0.9, 1.1)


@pytest.mark.parametrize(
    ("cost", "workers", "capacity", "seconds"),
    [(CPU, 2, 2 / 220e-6, 20), (GPU, 1, 32 * 68 / (4e-3 + 32 * 72 * 2e-6), 4)],
    ids=["cpu", "gpu"],
)
def test_overload_costs_no_capacity(cost: Cost, workers: int, capacity: float, seconds: float) -> None:
    """At three times what can be done, nine tenths of it is done, in time, and the 95th percentile holds."""
    rate = 3 * capacity / 68
    report = play(list(poisson(rate, seconds, even(6, 131))), noisy(cost), workers=workers)
    settled = report.part(seconds / 4, seconds)

    assert settled.goodput(TARGET) > 0.9 * capacity * 0.95  # the fixed cost of a run is up to 5 %
    assert settled.percentile(0.95) < TARGET
    assert report.expired == 0


def test_at_low_load_everybody_is_served_as_if_alone() -> None:
    """A tenth of the capacity: nobody waits for company, half of them take as long as their own run."""
    report = play(list(poisson(10, 60, even(15, 15))), noisy(CPU))

    assert report.refused == 0
    assert report.percentile(0.5) < 1.1 * CPU.seconds(15)


SECONDS = 10.0
DEAR, SLOW = Cost(20e-3, 40e-6), Cost(2e-3, 200e-6)


def day(seed: int) -> list[Arrival]:
    """Many short texts, then long ones in too great number, then few, then many again."""
    short, long = even(8, 24), even(60, 250)
    parts = [(700, short), (60, long), (10, short), (700, short)]
    return [
        arrival
        for number, (rate, lengths) in enumerate(parts)
        for arrival in poisson(rate, SECONDS, lengths, seed=seed + number, start=number * SECONDS)
    ]


def changing(seed: int) -> Truth:
    """A model that is dear to start and cheap to fill, another that is the reverse while long texts come."""
    chance = random.Random(seed)

    def seconds(padded: int, now: float) -> float:
        model = SLOW if SECONDS <= now < 2 * SECONDS else DEAR
        return model.seconds(padded) * chance.uniform(0.9, 1.1)

    return seconds


@pytest.mark.parametrize("seed", [1, 2])
def test_no_fixed_setting_does_more_on_a_changing_day(seed: int) -> None:
    """Load and model change: every batch size with every wait gets less done in time than the tuned policy."""
    load = day(seed)
    tuned = play(load, changing(seed))
    rivals = {
        (size, wait): play(load, changing(seed), fixed(size, wait, TARGET)) for size in SIZES for wait in WAITS[::2]
    }

    best = max(rivals, key=lambda setting: rivals[setting].goodput(TARGET))
    assert tuned.goodput(TARGET) > rivals[best].goodput(TARGET), best
    for number in range(4):  # and it keeps the target, but for the seconds in which it learns the new model
        settled = tuned.part((number + 0.5) * SECONDS, (number + 1) * SECONDS)
        assert settled.percentile(0.95) <= TARGET


def test_a_day_repeats() -> None:
    """The same seed gives the same report."""
    one, other = (play(day(3)[:3000], changing(3)) for _ in range(2))

    assert one == other
