"""Money is exact: no float, no fraction lost, and what is held is never less than what it will cost."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.chat import parse
from shared.core.pricing import IMAGE_TOKENS, MILLION, Price, Rates, cost, find, usd, worst
from shared.core.usage import Usage

GPT = Price(Rates(2_500_000_000, 1_250_000_000, 10_000_000_000))  # $2.50, $1.25 and $10 per million
LONG = Price(Rates(100, 50, 200), long_from=1000, long=Rates(300, 150, 300))
rate = st.integers(0, 10**12)
rates = st.builds(Rates, rate, rate, rate, st.none() | rate, st.none() | rate)
prices = st.builds(Price, rates, st.integers(0, 10**9), st.integers(0, 10**9), added=st.integers(0, 3000))


def test_each_kind_of_token_has_its_rate() -> None:
    """1000 tokens of the prompt, 400 of them cached, and 10 said: 1.5 m$ + 0.5 m$ + 0.1 m$."""
    assert cost(Usage(prompt=1000, completion=10, cached=400), GPT) == 1_500_000 + 500_000 + 100_000


def test_a_long_prompt_changes_all_rates() -> None:
    """At the threshold the short ones hold, one token later the long ones do, for the answer as well."""
    assert cost(Usage(prompt=1000, completion=10_000), LONG) == -(-(1000 * 100 + 10_000 * 200) // MILLION)
    assert cost(Usage(prompt=1001, completion=10_000), LONG) == -(-(1001 * 300 + 10_000 * 300) // MILLION)


@given(price=prices, prompt=st.integers(0, 10**9), cached=st.integers(0, 10**9), completion=st.integers(0, 10**9))
def test_costs_are_exact_and_rounded_up_once(price: Price, prompt: int, cached: int, completion: int) -> None:
    """Never less than the true fraction, and never a whole nano-dollar more."""
    usage = Usage(prompt, completion, min(cached, prompt))
    true = Fraction(
        (prompt - usage.cached) * price.rates.input
        + usage.cached * price.rates.cached_input
        + completion * price.rates.output,
        MILLION,
    )
    assert 0 <= cost(usage, price) - price.per_request - true < 1


@given(
    offered=st.lists(prices, min_size=1, max_size=3),
    size=st.integers(0, 10**6),
    share=st.fractions(0, 1),
    cached=st.fractions(0, 1),
    n=st.integers(1, 128),
    max_tokens=st.integers(0, 10**6),
    images=st.integers(0, 3),
)
def test_the_worst_case_is_never_exceeded(
    *, offered: list[Price], size: int, share: Fraction, cached: Fraction, n: int, max_tokens: int, images: int
) -> None:
    """Whichever target serves, with whatever usage the request allows: what was held suffices."""
    bound = worst(offered, size, n, images)
    prompt = int((size + images * IMAGE_TOKENS) * share)
    for price in offered:
        taken = prompt + price.added
        read = int(taken * cached)
        usage = Usage(taken, n * max_tokens, read, cache_write=taken - read, cache_write_long=(taken - read) // 2)
        assert cost(usage, price, images) <= bound.of(max_tokens)
        assert taken <= bound.tokens


def test_writing_into_the_cache_has_its_own_rates() -> None:
    """1000 tokens: 100 read, 500 written, 200 of those for longer; held at the dearest only if they can be written."""
    price = Price(Rates(1_000_000, 100_000, 0, 1_250_000, 2_000_000))
    usage = Usage(1000, 0, cached=100, cache_write=500, cache_write_long=200)
    assert cost(usage, price) == 400 + 10 + 375 + 400
    assert (worst([price], 1000).fixed, worst([price], 1000, caching=False).fixed) == (2000, 1000)


def test_what_a_provider_adds_to_a_prompt_is_held() -> None:
    """Instructions for tools, which no client has written."""
    assert worst([Price(Rates(1_000_000, 0, 0), added=300)], 1000) == (1300, 0, 1300)


def test_a_prompt_that_may_be_long_is_held_at_the_long_rates() -> None:
    """A body of 2000 bytes may hold more than 1000 tokens; one of 1000 may not."""
    assert worst([LONG], 1_000_000).of(0) == 300
    assert worst([LONG], 1000).of(10_000) == 1 + 10_000


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({}, ""), ({"service_tier": "flex"}, ""), ({"service_tier": "priority"}, "service_tier"),
        ({"web_search_options": {}}, "web_search_options"), ({"modalities": ["text", "audio"]}, "modalities"),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
    ],
)  # fmt: skip
def test_what_has_no_bound_is_known(more: dict[str, object], field: str) -> None:
    """Fields that providers charge extra for are named, so that no budget is spent on what nobody could foresee."""
    request = {"model": "m", "messages": [{"role": "user", "content": "x"}], **more}
    assert parse(json.dumps(request).encode()).unbounded == field


def test_parts_are_counted_or_named() -> None:
    """Two images in two messages are two; a file, which may have any number of pages, has no bound, nor has speech."""
    image = {"type": "image_url", "image_url": {"url": "https://x.invalid"}}
    request: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": [image]}] * 2}
    assert (parse(json.dumps(request).encode()).images, parse(json.dumps(request).encode()).unbounded) == (2, "")
    request["messages"] = [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]
    assert parse(json.dumps(request).encode()).unbounded == "messages"
    request["messages"] = [{"role": "assistant", "audio": {"id": "audio_1"}}]  # minutes of speech, named by an id
    assert parse(json.dumps(request).encode()).unbounded == "messages"


def test_a_price_is_found_by_name_or_for_all_of_a_provider() -> None:
    """A model's own price beats that of its provider; what nobody has named is unpriced."""
    known = {"a": {"x": GPT, "*": LONG}, "b": {"x": GPT}}
    assert (find(known, "a", "x"), find(known, "a", "y")) == (GPT, LONG)
    assert (find(known, "b", "y"), find(known, "c", "x")) == (None, None)


@pytest.mark.parametrize(
    ("nano", "shown"),
    [
        (0, "0"), (1, "0.000000001"), (2_500_000_000, "2.5"), (-10, "-0.00000001"),
        (4_000_000 * 10**9, "4000000"), (1_234_567_890_123_456_789, "1234567890.123456789"),
    ],
)  # fmt: skip
def test_dollars_are_shown_exactly(nano: int, shown: str) -> None:
    """No exponent, no rounding, no idle zeros."""
    assert usd(nano) == shown


def test_a_ranking_is_charged_by_its_searches() -> None:
    """At worst as many as may be, and in the end as many as it took."""
    price = Price(Rates(0, 0, 0), per_request=2_000_000)
    assert worst([price.for_searches(3)], 100).fixed == 6_000_000
    assert cost(Usage(searches=2), price) == 4_000_000
    assert price.for_searches(1) is price
