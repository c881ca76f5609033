"""Which adapter speaks which dialect. A new one is a file here and a line in the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.core.errors import UpstreamUnavailable
from shared.providers.anthropic import AnthropicChat
from shared.providers.bedrock import BedrockChat
from shared.providers.gemini import GeminiChat
from shared.providers.openai import OpenAIChat
from shared.providers.openai_embeddings import OpenAIEmbeddings
from shared.providers.openai_judgements import OpenAIJudgements
from shared.providers.sagemaker import SageMakerChat, SageMakerEmbeddings

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.core.catalog import Kind
    from shared.providers.adapter import Adapter

_ADAPTERS: dict[tuple[str, str], Callable[..., Adapter]] = {
    ("anthropic", "chat"): AnthropicChat,
    ("bedrock", "chat"): BedrockChat,
    ("gemini", "chat"): GeminiChat,
    ("openai", "chat"): OpenAIChat,
    ("openai", "embedding"): OpenAIEmbeddings,
    ("openai", "moderation"): OpenAIJudgements,
    ("openai", "rerank"): OpenAIJudgements,
    ("sagemaker", "chat"): SageMakerChat,
    ("sagemaker", "embedding"): SageMakerEmbeddings,
}


def speaks(dialect: str, kind: Kind) -> bool:
    """Tell whether models of this kind can be reached in this dialect."""
    return (dialect, kind) in _ADAPTERS


def dialects() -> list[str]:
    """List the dialects that are spoken here."""
    return sorted({dialect for dialect, _ in _ADAPTERS})


def adapter_for(dialect: str, kind: Kind) -> Callable[..., Adapter]:
    """Return what makes an adapter out of `(request, target, provider, moment)`.

    Raises:
        UpstreamUnavailable: the dialect has no such kind.
    """
    try:
        return _ADAPTERS[dialect, kind]
    except KeyError as error:
        raise UpstreamUnavailable(f"The dialect {dialect!r} has no adapter for {kind} models.") from error
