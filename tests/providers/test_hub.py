"""The streamed answer in the making that all translating adapters share."""

from __future__ import annotations

from shared.providers.adapter import Moment
from shared.providers.hub import Answer


def test_what_was_heard_is_guessed_by_bytes() -> None:
    """One piece of eighty Chinese characters is no twenty tokens, as eighty letters are."""
    for text, tokens in (("a" * 80, 20), ("\u4f60\u597d" * 40, 60)):
        answer = Answer(Moment(), "m")
        answer.text(text)
        assert answer.heard == tokens
