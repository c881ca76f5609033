"""However often a request is tried, and with whichever model: what is reserved is enough if all tries are billed."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from shared.core.holding import Amount, Holding

WORST = {"m": Amount(10, 100), "n": Amount(6, 300)}


def test_the_first_try_lacks_nothing() -> None:
    """With whichever model: the dearest is held, in money and in tokens."""
    held = Holding(WORST)
    assert (held.shared, held.models) == (Amount(10, 300), WORST)
    for model in WORST:
        assert held.lacks([], model) == (Amount(), Amount())


def test_a_further_try_lacks_what_it_adds() -> None:
    """With another model only in the scopes that both share; with the same one in its own too."""
    held = Holding(WORST)
    assert held.lacks(["m"], "n") == (Amount(6, 100), Amount())
    assert held.lacks(["m"], "m") == (Amount(10, 0), Amount(10, 100))


def test_nothing_is_held_without_models() -> None:
    """Of what costs nothing."""
    assert Holding({}).shared == Amount()


@given(st.lists(st.tuples(st.sampled_from("mn"), st.booleans()), max_size=8))
def test_what_is_held_covers_every_try(turns: list[tuple[str, bool]]) -> None:
    """Some of which are refused, and so never billed."""
    held, billed = Holding(WORST), list[str]()
    for model, is_billed in turns:
        held.add(model, *held.lacks(billed, model))
        counts = Counter([*billed, model])
        for at in (0, 1):
            assert held.shared[at] >= sum(WORST[name][at] * count for name, count in counts.items())
            assert all(held.models[name][at] >= WORST[name][at] * count for name, count in counts.items())
        if is_billed:
            billed.append(model)
