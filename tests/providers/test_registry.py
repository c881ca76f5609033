"""Which adapter serves which dialect and kind."""

from __future__ import annotations

import pytest

from shared.core.errors import UpstreamUnavailable
from shared.providers.openai import OpenAIChat
from shared.providers.openai_embeddings import OpenAIEmbeddings
from shared.providers.registry import adapter_for, speaks


def test_openai_speaks_both_kinds() -> None:
    """One adapter for each."""
    assert adapter_for("openai", "chat") is OpenAIChat
    assert adapter_for("openai", "embedding") is OpenAIEmbeddings


def test_an_unknown_dialect_is_told() -> None:
    """A catalog that names one is refused earlier; this is the last line."""
    assert not speaks("klingon", "chat")
    with pytest.raises(UpstreamUnavailable, match="klingon"):
        adapter_for("klingon", "chat")
