"""The vectors are those of all-MiniLM-L6-v2, to the last bit that matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from gpu_service import specs
from gpu_service.model import NAME
from gpu_service.sources import package
from tests.gpu_service.reference import LONGEST, Reference

if TYPE_CHECKING:
    from gpu_service.engine import Engine

TEXTS = (
    "hello world",
    "This is an example sentence",
    "The weather is lovely today.",
    "a",
    ".",
    " ",
    "",
    "\t\n\r",
    "Ünïcödé, naïve façade, Straße, ŁÓDŹ",
    "日本語のテキスト、東京タワー",
    "Привет, как дела?",
    "مرحبا بالعالم",
    "👩‍👩‍👧‍👦 emoji 🎉🎉 and a \ufffd replacement",
    "zero\u200bwidth \x00 and \x1f control",
    "[CLS] special [SEP] tokens [MASK] in the text [PAD]",
    "def f(x):\n    return {k: v for k, v in x.items() if v != '\"'}",
    "https://example.com/a?b=c&d=%20e#f user@example.com +49 (0)30 1234-5678",
    "pneumonoultramicroscopicsilicovolcanoconiosis " * 3,
    "x" * 101,
    "The quick brown fox jumps over the lazy dog. " * 40,
    ("word " * 253) + "edge",
    "lorem ipsum dolor sit amet " * 5_000,
)


@pytest.fixture(scope="module")
def reference() -> Reference:
    """The independent computation, on the package's own files."""
    return Reference(package(specs.find(NAME).source))


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_agrees_with_the_published_formulae(text: str, engine: Engine, reference: Reference) -> None:
    """The cosine with a float64 computation of the same text is above 0.9999 and the tokens are the same."""
    embedded = engine.embed([text])

    assert float(embedded.vectors[0] @ reference.embed(text)) > 0.9999
    assert embedded.tokens == [len(reference.tokens(text))]


def test_the_texts_reach_the_limit(reference: Reference) -> None:
    """Some of the texts are cut at 256 tokens, some fall short of it."""
    lengths = [len(reference.tokens(text)) for text in TEXTS]

    assert lengths.count(LONGEST) >= 3
    assert min(lengths) == 2


def test_agrees_with_numbers_printed_by_sentence_transformers(engine: Engine) -> None:
    """The documentation of sentence-transformers prints these similarities and these components."""
    weather = engine.embed(["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."])
    example = engine.embed(["This is an example sentence"])
    hello = engine.embed(["hello world"])

    similarities = weather.vectors @ weather.vectors.T
    assert np.allclose(
        similarities, [[1, 0.6660, 0.1046], [0.6660, 1, 0.1411], [0.1046, 0.1411, 1]], rtol=0, atol=5.1e-5
    )
    assert np.allclose(example.vectors[0][:5], [0.06765691, 0.06349591, 0.04871312, 0.07930496, 0.03744807], atol=1e-6)
    assert hello.vectors[0][0] == pytest.approx(-0.0345, abs=5e-5)


def test_a_vector_does_not_depend_on_its_neighbours(engine: Engine) -> None:
    """A text alone and the same text padded in a batch with all the others: one vector."""
    rows = engine.rows(TEXTS)
    together = engine.run(rows)

    alone = np.concatenate([engine.run([row]) for row in rows])
    assert (together * alone).sum(axis=1).min() > 0.999999
    assert (engine.embed(TEXTS).vectors * alone).sum(axis=1).min() > 0.999999


def test_another_text_has_another_vector(engine: Engine) -> None:
    """The comparison above can fail: neighbours in the list are far apart."""
    vectors = engine.embed(TEXTS[:3]).vectors

    assert float(vectors[0] @ vectors[1]) < 0.9
