"""What was really spent: the provider's own log of calls, at the published prices. Knows nothing of the gateway."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

INPUT_OUTPUT: Final = {"gpt-5.4-mini": (750, 4_500), "gpt-5.4-nano": (200, 1_250), "gpt-5.6-luna": (250, 1_200)}
"""Nano-dollars per token of a prompt and of an answer."""

_OPENING = 1  # the first chunk of a stream gives the role, and no token


def cost(call: dict[str, Any]) -> int:
    """Nano-dollars that one logged call is billed for: of a stream that broke, what had left."""
    usage = call["usage"]
    if not usage:
        return 0
    spoken = usage["completion_tokens"]
    if call["stream"] and call["outcome"] != "answered":
        spoken = min(spoken, max(0, call["frames"] - _OPENING))
    price, per_token = INPUT_OUTPUT[call["model"]]
    return int(usage["prompt_tokens"] * price + spoken * per_token)


def spent(calls: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Nano-dollars by tag: each tag is one request of a client, whatever number of tries it took."""
    found: dict[str, int] = defaultdict(int)
    for call in calls:
        found[call["tag"] or _first_word(call)] += cost(call)
    return dict(found)


def by_model(calls: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Nano-dollars by the provider's name of the model."""
    found: dict[str, int] = defaultdict(int)
    for call in calls:
        found[call["model"]] += cost(call)
    return dict(found)


def _first_word(call: dict[str, Any]) -> str:
    """Return the tag of a call for an ensemble, which passes on nothing but what is said."""
    said: str = json.loads(call["body"])["messages"][-1]["content"]
    return said.partition(" ")[0]
