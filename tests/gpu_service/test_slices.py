"""Every row is computed once, and little of what is computed is padding."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpu_service.slices import BUDGET, EFFICIENCY, ROWS, slices

LENGTHS = st.lists(st.integers(1, 700), max_size=200)


@given(LENGTHS)
def test_every_row_is_in_one_slice(lengths: list[int]) -> None:
    """No row is lost, none is computed twice."""
    assert sorted(index for part in slices(lengths) for index in part) == list(range(len(lengths)))


@given(LENGTHS)
def test_a_slice_keeps_its_bounds(lengths: list[int]) -> None:
    """Rows, padded tokens and the share of padding are bounded; a single row may be as long as it is."""
    for part in slices(lengths):
        own = [lengths[index] for index in part]
        padded = len(own) * max(own)
        assert len(own) == 1 or (len(own) <= ROWS and padded <= BUDGET and sum(own) >= EFFICIENCY * padded)


def test_equal_rows_share_slices() -> None:
    """64 rows of 16 tokens are two full slices, not more."""
    assert [len(part) for part in slices([16] * 64)] == [32, 32]
