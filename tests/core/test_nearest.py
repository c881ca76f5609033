"""A slip of the hand is understood; what is like nothing is not guessed at."""

from __future__ import annotations

import pytest

from shared.core.nearest import nearest

KNOWN = ("gpt-5-mini", "claude-sonnet-5", "acme/chat-1", "all-MiniLM-L6-v2")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("gpt5-mini", "gpt-5-mini"),
        ("GPT-5-MINI", "gpt-5-mini"),
        ("all-minilm-l6-v2", "all-MiniLM-L6-v2"),
        ("anthropic-vertex-proxy/claude-sonnet-5", "claude-sonnet-5"),
        ("acme/chat-2", "acme/chat-1"),
        ("llama", ""),
        ("", ""),
        ("/", ""),
    ],
)
def test_the_nearest_name_is_found(written: str, meant: str) -> None:
    """Whatever the case, and also behind a provider's name."""
    assert nearest(written, KNOWN) == meant


def test_a_name_of_any_length_is_compared_by_its_beginning() -> None:
    """What comes behind cannot make it dear."""
    longest = "gpt-5-mini".ljust(64, "x")
    assert nearest(longest + "y" * 1_000_000, [longest]) == longest
