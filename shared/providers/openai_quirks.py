"""Servers that speak OpenAI's dialect nearly: what the catalog says of them is done to a request before it is sent.

- `max-tokens`: knows `max_tokens` and not the newer `max_completion_tokens`, which it would pass over in silence
- `no-developer`: its models know no role `developer`; instructions go as `system`
- `no-stream-usage`: refuses `stream_options`; what a stream took is then a guess
- `completions`: serves `/v1/completions` as well (`openai_completions`)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.core.catalog import Provider, Target


def adapted(body: dict[str, Any], target: Target, provider: Provider) -> dict[str, Any]:
    """Return the body as this server takes it, without what it is to ignore."""
    found = {name: value for name, value in body.items() if name not in provider.ignores}
    if "max-tokens" in target.quirks and found.get("max_completion_tokens") is not None:
        found["max_tokens"] = found.pop("max_completion_tokens")
    if "no-developer" in target.quirks and "messages" in found:
        found["messages"] = [_instructed(message) for message in found["messages"]]
    if "no-stream-usage" in target.quirks:
        found.pop("stream_options", None)
    return found


def _instructed(message: dict[str, Any]) -> dict[str, Any]:
    return {**message, "role": "system"} if message["role"] == "developer" else message
