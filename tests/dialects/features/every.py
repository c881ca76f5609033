"""All that a client can ask for, in whichever language."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from shared.dialects import anthropic, completions, openai, responses
from tests.dialects.features.chat import CHAT
from tests.dialects.features.messages import MESSAGES
from tests.dialects.features.responses import COMPLETIONS, RESPONSES

if TYPE_CHECKING:
    from shared.dialects.dialect import Dialect
    from tests.dialects.features.feature import Feature


class Spoken(NamedTuple):
    """One language of clients: what every request says, where its conversation stands, and what can be asked in it."""

    dialect: Dialect
    base: dict[str, Any]
    conversation: str
    features: dict[str, Feature]


SPOKEN = {
    "chat": Spoken(openai.CHAT, {"model": "m"}, "messages", CHAT),
    "messages": Spoken(anthropic.MESSAGES, {"model": "m", "max_tokens": 4000}, "messages", MESSAGES),
    "responses": Spoken(responses.RESPONSES, {"model": "m"}, "input", RESPONSES),
    "completions": Spoken(completions.COMPLETIONS, {"model": "m", "prompt": "mark-prompt"}, "", COMPLETIONS),
}
