"""Durations in buckets: each in exactly one, and quantiles as near to the truth as they say."""

from __future__ import annotations

from collections import Counter
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from shared.core.durations import bounds, bucket, quantile

LASTED = st.integers(0, 2**20)


@given(LASTED)
def test_a_duration_is_within_its_bucket(milliseconds: int) -> None:
    """Above the lower bound and up to the upper one, which is where the next bucket begins; nothing at all is short."""
    lower, upper = bounds(bucket(milliseconds))
    assert lower < max(milliseconds, 1) <= upper
    assert bounds(bucket(milliseconds) + 1)[0] == upper


@given(st.lists(LASTED, min_size=1), st.sampled_from([0.01, 0.5, 0.95, 1.0]))
def test_a_quantile_is_off_by_an_eighth_at_most(lasted: list[int], share: float) -> None:
    """Against the one of the sorted list, by its rank."""
    truth = max(1, sorted(lasted)[ceil(share * len(lasted)) - 1])
    found = quantile(Counter(map(bucket, lasted)), share)
    assert found is not None
    assert abs(found - truth) <= truth / 8


def test_what_is_absurd_is_the_longest() -> None:
    """Whatever a clock has done; and of nothing there is no quantile."""
    assert bucket(2**62) == bucket(2**20)
    assert bucket(-5) == bucket(1) == 0
    assert quantile({}, 0.5) is None


def test_powers_of_two_end_a_bucket() -> None:
    """So that a histogram of octaves can be made of them."""
    assert all(bounds(bucket(2**power))[1] == 2**power for power in range(21))
