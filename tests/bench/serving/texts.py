"""Texts of known numbers of tokens, no two alike, so that nobody's cache helps."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Words that are one token each for BERT's vocabulary.
_PLAIN = (
    "time year people way day man thing woman life child world school state family student group country problem hand "
    "part place case week company system program question work number night point home water room mother area "
    "money story fact month lot right study book eye job word business side kind head house service friend father "
    "power hour game line end law car city community name president team minute idea body information back parent "
    "face others level office door health person art war history party result change morning reason research girl guy"
)
WORDS = _PLAIN.split()


def short(seed: int) -> Iterator[tuple[str, int]]:
    """Texts of 15 tokens, the two special ones included."""
    chance = random.Random(seed)
    while True:
        yield _text(chance, 13), 15


def mixed(seed: int) -> Iterator[tuple[str, int]]:
    """Texts of 6 to 131 tokens, 43 in the mean, as sentences and paragraphs come."""
    chance = random.Random(seed)
    while True:
        words = min(129, max(4, round(chance.lognormvariate(3.45, 0.75))))
        yield _text(chance, words), words + 2


def long(seed: int) -> Iterator[tuple[str, int]]:
    """Texts of 160 to 250 tokens."""
    chance = random.Random(seed)
    while True:
        words = chance.randint(158, 248)
        yield _text(chance, words), words + 2


def _text(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(WORDS, k=words))
