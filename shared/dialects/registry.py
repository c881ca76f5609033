"""Which dialects clients may speak. Those beside OpenAI's are loaded with the first request in them."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.dialects import anthropic, completions, generate, responses  # noqa: F401 - the zips hold what an import names

MESSAGES, COUNT_TOKENS = "anthropic.MESSAGES", "anthropic.count"
RESPONSES, GENERATE = "responses.RESPONSES", "generate.GENERATE"
COMPLETIONS = "completions.COMPLETIONS"


@cache
def loaded(name: str) -> Any:  # noqa: ANN401 - a dialect, but for what counts tokens
    """Return what is called `name`: module and member."""
    module, _, member = name.partition(".")
    return getattr(import_module(f"shared.dialects.{module}"), member)
