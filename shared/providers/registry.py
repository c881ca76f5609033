"""Which adapter speaks which dialect. A new one is a file here and a line in the table.

Those of OpenAI's dialect are loaded with the function, the others with the first request to such a provider: a cold
start should not read five languages to speak one.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from shared.core.errors import UpstreamUnavailable
from shared.providers.openai import OpenAIChat
from shared.providers.openai_embeddings import OpenAIEmbeddings

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.core.catalog import Kind
    from shared.providers import (  # noqa: F401 - loaded by name below; the zips hold what an import names
        anthropic,
        bedrock,
        gemini,
        gemini_embeddings,
        openai_judgements,
        sagemaker,
        sagemaker_async,
    )
    from shared.providers.adapter import Adapter

_ADAPTERS: dict[tuple[str, str], Callable[..., Adapter] | str] = {
    ("anthropic", "chat"): "anthropic.AnthropicChat",
    ("bedrock", "chat"): "bedrock.BedrockChat",
    ("gemini", "chat"): "gemini.GeminiChat",
    ("gemini", "embedding"): "gemini_embeddings.GeminiEmbeddings",
    ("openai", "chat"): OpenAIChat,
    ("openai", "embedding"): OpenAIEmbeddings,
    ("openai", "moderation"): "openai_judgements.OpenAIJudgements",
    ("openai", "rerank"): "openai_judgements.OpenAIJudgements",
    ("sagemaker", "chat"): "sagemaker.SageMakerChat",
    ("sagemaker", "embedding"): "sagemaker.SageMakerEmbeddings",
    ("sagemaker-async", "chat"): "sagemaker_async.LaterChat",
    ("sagemaker-async", "embedding"): "sagemaker_async.LaterEmbeddings",
}


def speaks(dialect: str, kind: Kind) -> bool:
    """Tell whether models of this kind can be reached in this dialect."""
    return (dialect, kind) in _ADAPTERS


def dialects() -> list[str]:
    """List the dialects that are spoken here."""
    return sorted({dialect for dialect, _ in _ADAPTERS})


@cache
def adapter_for(dialect: str, kind: Kind) -> Callable[..., Adapter]:
    """Return what makes an adapter out of `(request, target, provider, moment)`.

    Raises:
        UpstreamUnavailable: the dialect has no such kind.
    """
    try:
        known = _ADAPTERS[dialect, kind]
    except KeyError as error:
        raise UpstreamUnavailable(f"The dialect {dialect!r} has no adapter for {kind} models.") from error
    if not isinstance(known, str):
        return known
    module, _, name = known.partition(".")
    found: Callable[..., Adapter] = getattr(import_module(f"shared.providers.{module}"), name)
    return found
