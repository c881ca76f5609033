"""What models took is written and read without loss, and a correction is the difference of two such lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core import shares
from shared.core.shares import Share

number = st.integers(-(2**62), 2**62)
model = st.from_regex(r"[\w.:/@+-]{1,40}", fullmatch=True)
share = st.builds(Share, number, number, number, number, number, model)


@given(st.lists(share))
def test_what_is_written_is_read(found: list[Share]) -> None:
    """To the nano-dollar."""
    assert shares.read(shares.written(found)) == tuple(found)


@pytest.mark.parametrize("text", ["m", "1 1 1 1 m", "1 1 1 1 x m", "1.5 1 1 1 1 m"])
def test_what_is_no_share_is_refused(text: str) -> None:
    """Nothing is guessed where money is counted."""
    with pytest.raises(ValueError, match=r"invalid literal|not enough values"):
        shares.read(text)


@given(st.lists(share, unique_by=lambda one: one.model), st.lists(share, unique_by=lambda one: one.model))
def test_a_correction_leads_from_one_to_the_other(before: list[Share], after: list[Share]) -> None:
    """In cost and in requests, also of models that only one of them names."""
    known = {one.model: one for one in before}
    changes = {one.model: one for one in shares.corrected(after, known)}
    assert changes.keys() == known.keys() | {one.model for one in after}
    wanted, nothing = {one.model: one for one in after}, Share(0, 0, 0, 0, 0, "")
    for name, change in changes.items():
        then, now = known.get(name, nothing), wanted.get(name, nothing)
        assert (then.cost + change.cost, then.requests + change.requests) == (now.cost, now.requests)
