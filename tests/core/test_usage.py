"""What providers say of tokens is believed only where it can be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.usage import CEILING, Usage, estimate, from_openai, size, to_openai

FULL = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 3},
}


def test_all_that_openai_says() -> None:
    """Cached and reasoning tokens are parts of the two sums."""
    assert from_openai(FULL) == Usage(prompt=10, completion=5, cached=4, reasoning=3)
    assert to_openai(Usage(prompt=10, completion=5), FULL) == FULL


def test_details_are_told_whoever_counted() -> None:
    """Of a provider that has other words for them."""
    told = to_openai(Usage(prompt=10, completion=5, cached=4, reasoning=3, cache_write=2))
    assert told["prompt_tokens_details"] == {"cached_tokens": 4, "cache_write_tokens": 2}
    assert told["completion_tokens_details"] == {"reasoning_tokens": 3}


def test_zero_is_a_number() -> None:
    """A provider that says zero is believed."""
    assert from_openai({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}) == Usage()


def test_embeddings_have_no_completion() -> None:
    """The total then equals the prompt."""
    assert from_openai({"prompt_tokens": 8, "total_tokens": 8}) == Usage(prompt=8)


@pytest.mark.parametrize(
    "found",
    [
        None,
        "many",
        [],
        {},
        {"prompt_tokens": 5},
        {"prompt_tokens": -5, "completion_tokens": 5},
        {"prompt_tokens": 5, "completion_tokens": -5},
        {"prompt_tokens": "5", "completion_tokens": 5},
        {"prompt_tokens": 10**15, "completion_tokens": 5},
        {"prompt_tokens": 5, "completion_tokens": True},
        {"prompt_tokens": 5, "completion_tokens": 1.5},
        {"prompt_tokens": 5, "completion_tokens": None},
        {"prompt_tokens": 9, "total_tokens": 5},
    ],
    ids=str,
)
def test_the_absurd_is_not_believed(found: Any) -> None:
    """Missing, negative, huge, text, halves: nothing is better than a lie."""
    assert from_openai(found) is None


def test_details_never_exceed_their_sum() -> None:
    """More cached than sent would make money out of nothing."""
    found = from_openai({**FULL, "prompt_tokens_details": {"cached_tokens": 99}, "completion_tokens_details": "?"})
    assert found == Usage(prompt=10, completion=5, cached=10)


JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dictionaries(st.text(), st.integers())


@given(st.dictionaries(st.sampled_from([*FULL, "x"]), JSON) | JSON)
def test_usage_is_never_negative_nor_beyond_the_ceiling(found: Any) -> None:
    """Whatever a provider sends, a budget never goes down the wrong way."""
    usage = from_openai(found)
    if usage is not None:
        assert 0 <= usage.cached <= usage.prompt <= CEILING
        assert 0 <= usage.reasoning <= usage.completion <= CEILING


def test_estimates_round_up() -> None:
    """One byte is a token; nothing is none."""
    assert [estimate(size) for size in (0, 1, 4, 5)] == [0, 1, 1, 2]


@pytest.mark.parametrize(("text", "bytes_"), [("", 0), ("abcd", 4), ("\u4f60\u597d", 6), ("\ud83d", 3)])
def test_a_text_is_as_long_as_its_bytes(text: str, bytes_: int) -> None:
    """Half a pair of surrogates, too, which JSON can hold."""
    assert size(text) == bytes_
