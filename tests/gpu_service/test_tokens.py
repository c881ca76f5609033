"""Texts become the tokens that the reference reads, at a cost that does not grow with what is thrown away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from gpu_service.model import TOKENIZER, Manifest
from gpu_service.tokens import Tokens
from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from pathlib import Path

CLS, SEP, HELLO, WORLD = 101, 102, 7592, 2088
WORDS = st.sampled_from(
    ["a", "Zürich", "日本", "x" * 120, "...", "[SEP]", "e\u0301", "\u0301", "\x1f", "\t", "🎉", "don't"]
)


@pytest.fixture(scope="module")
def tokens(model_dir: Path) -> Tokens:
    """The product's tokenizer."""
    manifest = Manifest.read(model_dir)
    return Tokens.open(model_dir / TOKENIZER, limit=manifest.max_tokens, vocabulary=manifest.vocabulary)


@pytest.fixture(scope="module")
def reference(model_dir: Path) -> Tokenizer:
    """The tokenizers library alone, cutting at 256 itself."""
    tokenizer = Tokenizer.from_file(str(model_dir / TOKENIZER))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    return tokenizer


@given(words=st.lists(WORDS, max_size=60), times=st.integers(1, 60), gap=st.sampled_from([" ", "  ", "\n", ", "]))
def test_a_long_text_is_read_like_the_reference_reads_it(
    words: list[str], times: int, gap: str, tokens: Tokens, reference: Tokenizer
) -> None:
    """Whatever the words and however many: looking only at the head of a text changes none of its tokens."""
    text = gap.join(words * times)

    assert tokens.rows([text]) == [reference.encode(text).ids]


def test_a_word_on_the_edge_of_the_head_is_read_whole(tokens: Tokens, reference: Tokenizer) -> None:
    """The last token that fits begins within the first 8,192 characters and its word ends behind them."""
    before = ("x" * 120 + " ") * 64 + "a " * 189
    text = before.ljust(8_187) + "understanding " * 1_000

    assert tokens.rows([text]) == [reference.encode(text).ids]
    assert tokens.rows([text])[0][-2] != tokens.rows([before + "under"])[0][-2]


def test_six_megabytes_cost_what_their_head_costs(tokens: Tokens) -> None:
    """A text of six million brackets, each of which is a token, gives a full row."""
    assert [len(row) for row in tokens.rows(["[" * 6_000_000, "a " * 3_000_000])] == [256, 256]


def test_token_ids_mean_the_same_with_and_without_special_tokens(tokens: Tokens) -> None:
    """Ids from `encode` with or without special tokens, and the text, are one row."""
    expected = [CLS, HELLO, WORLD, SEP]

    assert tokens.rows(["hello world", [HELLO, WORLD], expected]) == [expected] * 3


def test_token_ids_are_cut_like_texts(tokens: Tokens) -> None:
    """More ids than fit: the head stays, between the special tokens."""
    assert tokens.rows([[HELLO] * 300, [CLS, *[HELLO] * 300, SEP]]) == [[CLS, *[HELLO] * 254, SEP]] * 2


@pytest.mark.parametrize("token", [30_522, 2**31 - 1])
def test_a_token_id_beyond_the_vocabulary_is_named(token: int, tokens: Tokens) -> None:
    """The second array holds an id that the model does not have: the error says so."""
    with pytest.raises(BadRequest, match=rf"{token}; this model's ids are 0 to 30521") as caught:
        tokens.rows([[1], [1, token]])
    assert caught.value.param == "input[1]"
