"""OpenAI's older completions, for targets that the catalog marks so: the client's own request, and answers of texts.

A choice becomes that of a chat, with its `text` and its `logprobs` kept as they are; the answer stays marked as what it
is by its `object`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.core.catalog import Target
    from shared.core.chat import Chat

QUIRK = NAME = "completions"  # what the catalog calls such a target, and the requests' dialect is called
OBJECT = "text_completion"


def served(chat: Chat, target: Target) -> bool:
    """Tell whether this is such a request, and goes to such a target."""
    return QUIRK in target.quirks and chat.native is not None and chat.native[0] == NAME


def body(chat: Chat) -> dict[str, Any]:
    """Return the client's own request, with no longer an answer than was granted."""
    return {**(chat.native[1] if chat.native else {}), "max_tokens": chat.max_tokens}


def as_chat(found: dict[str, Any], member: str) -> dict[str, Any]:
    """Return an answer whose choices are those of a chat; `member` is what holds the text: `message` or `delta`."""
    choices = found.get("choices")
    if not isinstance(choices, list):
        return found
    return {**found, "choices": [_choice(one, member) if isinstance(one, dict) else one for one in choices]}


def _choice(found: dict[str, Any], member: str) -> dict[str, Any]:
    text = found.get("text")
    return {**found, member: {"content": text}} if isinstance(text, str) else {**found, "text": ""}
