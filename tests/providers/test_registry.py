"""Which adapter serves which dialect and kind."""

from __future__ import annotations

import subprocess
import sys

import pytest

from shared.core.errors import UpstreamUnavailable
from shared.providers.openai import OpenAIChat
from shared.providers.openai_embeddings import OpenAIEmbeddings
from shared.providers.registry import _ADAPTERS, adapter_for, speaks


def test_openai_speaks_both_kinds() -> None:
    """One adapter for each."""
    assert adapter_for("openai", "chat") is OpenAIChat
    assert adapter_for("openai", "embedding") is OpenAIEmbeddings


def test_every_line_of_the_table_can_be_loaded() -> None:
    """Nobody looks until the first request comes."""
    for dialect, kind in _ADAPTERS:
        assert speaks(dialect, kind)  # type: ignore[arg-type]
        assert callable(adapter_for(dialect, kind).reply)  # type: ignore[attr-defined]


def test_a_gateway_loads_no_language_that_it_does_not_speak() -> None:
    """Its cold start knows OpenAI's dialect alone."""
    code = "import sys, functions.gateway; print([n for n in sys.modules if n.startswith('shared.providers.')])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "shared.providers.openai'" in loaded
    assert not [name for name in ("anthropic", "bedrock", "gemini", "sagemaker") if f"providers.{name}" in loaded]


def test_an_unknown_dialect_is_told() -> None:
    """A catalog that names one is refused earlier; this is the last line."""
    assert not speaks("klingon", "chat")
    with pytest.raises(UpstreamUnavailable, match="klingon"):
        adapter_for("klingon", "chat")
