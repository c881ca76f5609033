"""How Anthropic counts: what was read from its cache and what was written into it stand beside `input_tokens`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core.usage import Usage, count

if TYPE_CHECKING:
    from collections.abc import Mapping

_READ, _WRITTEN = "cache_read_input_tokens", "cache_creation_input_tokens"


def usage(found: Mapping[str, Any]) -> Usage | None:
    """Read a `usage` object, or the halves of one merged; None if it is missing or absurd."""
    prompt, completion = count(found.get("input_tokens")), count(found.get("output_tokens"))
    if prompt is None or completion is None:
        return None
    read, written = count(found.get(_READ)) or 0, count(found.get(_WRITTEN)) or 0
    return Usage(
        prompt=prompt + read + written,
        completion=completion,
        cached=read,
        reasoning=min(completion, _detail(found, "output_tokens_details", "thinking_tokens")),
        cache_write=written,
        cache_write_long=min(written, _detail(found, "cache_creation", "ephemeral_1h_input_tokens")),
    )


def _detail(found: Mapping[str, Any], group: str, name: str) -> int:
    details = found.get(group)
    return (count(details.get(name)) or 0) if isinstance(details, dict) else 0
