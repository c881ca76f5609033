"""Which answers are one, who leads, and when a vote is decided."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.ballot import Standing, normalized, standing


@pytest.mark.parametrize(
    "same",
    [
        ("Paris", "paris.", " **Paris** ", '"PARIS"', "\uff30aris", "Paris!"),
        ("42", "42.0", "42.", "+42", "**42**", "42.000"),
        ("1,000", "1000", "1_000", "1e3"),
        ("-7", "-7.0", "- 7"),
        ("12.5 %", "12.50%"),
        ('{"a": 1, "b": [2]}', '{"b":[2],"a":1}', '```json\n{"a": 1,\n "b": [2]}\n```'),
        ("a  b\nc", "A b c"),
    ],
)
def test_answers_that_say_the_same_are_one(same: tuple[str, ...]) -> None:
    """However they are dressed."""
    assert len({normalized(answer) for answer in same}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("7", "-7"), ("12.5", "12.5%"), ("Paris", "Paris, Texas"), ("1.10", "1.1.0"), ("", "0"), ("{a}", "{b}")],
)
def test_answers_that_differ_stay_apart(one: str, other: str) -> None:
    """A vote must not be decided by what was never said."""
    assert normalized(one) != normalized(other)


@given(st.text())
def test_normalizing_knows_every_text_and_is_done_once(text: str) -> None:
    """No answer breaks it, and what is normal stays so unless its edges were inside a fence or a number."""
    once = normalized(text)
    assert isinstance(once, str)
    assert normalized(text) == once


def test_most_votes_lead_and_the_first_member_breaks_ties() -> None:
    """Members are listed by preference."""
    assert standing({0: "a", 1: "b", 2: "b"}, 0) == Standing(1, 2, decided=True)
    assert standing({0: "a", 1: "b"}, 0) == Standing(0, 1, decided=True)
    assert standing({1: "b", 0: "a"}, 0) == Standing(0, 1, decided=True)
    assert standing({}, 2) == Standing(-1, 0, decided=False)
    assert standing({}, 0) == Standing(-1, 0, decided=True)


@given(st.lists(st.sampled_from("abc"), max_size=5), st.integers(0, 3))
def test_decided_means_that_nothing_can_change_it(votes: list[str], pending: int) -> None:
    """Against every way in which the rest may vote; and what is not decided can still change, or end in a tie."""
    given_ = dict(enumerate(votes))
    now = standing(given_, pending)
    leading = given_.get(now.leader)
    ends = []
    for rest in itertools.product("abcd", repeat=pending):
        final = given_ | {len(votes) + number: vote for number, vote in enumerate(rest)}
        end = standing(final, 0)
        ends.append(final.get(end.leader))
    if now.decided:
        assert set(ends) == {leading}
