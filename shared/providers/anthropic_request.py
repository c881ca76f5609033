"""A chat request as Anthropic's Messages API takes it.

Since version 2026-10-21 of that API nobody chooses a temperature any more. The models up to 4.6 still take one in the
version before, which then is the one asked for; the catalog marks them `sampling`. How a model is made to think differs
as well: most decide by themselves how much, given an effort; those marked `thinking-budget` want a number of tokens,
and those marked `thinking-always` cannot be stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core.errors import Untranslatable
from shared.providers import translating
from shared.providers.anthropic_messages import conversation

if TYPE_CHECKING:
    from shared.core.catalog import Provider, Target
    from shared.core.chat import Chat

VERSION, VERSION_WITH_SAMPLING = "2026-10-21", "2023-06-01"
UNKNOWN_CEILING = 4096  # tokens of an answer, where neither the client nor the catalog says how many there may be
SAMPLING = frozenset({"temperature", "top_p", "top_k"})
_LEAST_BUDGET, _MOST_BUDGET = 1024, 32_000  # tokens to think with; the first is Anthropic's, the second is ours
_SHARE = {"minimal": 10, "low": 20, "medium": 50, "high": 80, "xhigh": 95, "max": 95}  # percent of max_tokens
_TIERS = {"default": "standard_only"}
_EFFORT = {"minimal": "low"}
_TAKES = frozenset({
    "response_format", "stop", "tools", "tool_choice", "parallel_tool_calls", "reasoning_effort", "thinking",
    "service_tier",
})  # fmt: skip


def version(body: dict[str, Any]) -> str:
    """Return the version of the API that takes this body."""
    return VERSION_WITH_SAMPLING if SAMPLING & body.keys() else VERSION


def native(chat: Chat, body: dict[str, Any], target: Target) -> dict[str, Any]:
    """Return the client's own request in this dialect, with our model, and no longer an answer than was granted."""
    most = min(body.get("max_tokens", ceiling(chat, target)), ceiling(chat, target))
    return {**body, "model": target.model, "max_tokens": most}


def ceiling(chat: Chat, target: Target) -> int:
    """Return how many tokens an answer may have: the API wants to be told."""
    most = target.max_output or chat.max_tokens or UNKNOWN_CEILING
    return min(chat.max_tokens or most, most)


def translated(chat: Chat, target: Target, provider: Provider) -> dict[str, Any]:
    """Translate a request.

    Raises:
        BadRequest: the provider cannot serve it; `param` names the field.
    """
    raw, quirks = chat.raw, target.quirks
    translating.refuse_foreign(raw, _TAKES | SAMPLING if "sampling" in quirks else _TAKES, provider)
    system, turns = conversation(raw["messages"], provider)
    stops = translating.stops(raw)
    user = raw.get("safety_identifier") or raw.get("user")
    found = {
        "model": target.model,
        "max_tokens": ceiling(chat, target),
        "messages": turns,
        "system": system,
        "stop_sequences": stops,
        "metadata": {"user_id": user} if user else None,
        "service_tier": translating.tier(raw, _TIERS, provider),
        "stream": True if chat.stream else None,
        **(_sampling(raw) if "sampling" in quirks else {}),
        **_tools(raw, provider),
        **_output(raw, ceiling(chat, target), target, provider),
    }
    return {name: value for name, value in found.items() if value not in (None, [])}


def _sampling(raw: dict[str, Any]) -> dict[str, Any]:
    if (raw.get("temperature") or 0) > 1:
        raise Untranslatable("This model takes a 'temperature' from 0 to 1.", param="temperature")
    return {name: raw.get(name) for name in SAMPLING}


def _tools(raw: dict[str, Any], provider: Provider) -> dict[str, Any]:
    tools = [_tool(tool) for tool in translating.functions(raw, provider)]
    mode, name = translating.tool_mode(raw, provider)
    if not tools:
        return {}
    kinds = {"required": {"type": "tool", "name": name} if name else {"type": "any"}, "none": {"type": "none"}}
    choice: dict[str, Any] = kinds.get(mode, {"type": "auto"} if mode else {})
    if raw.get("parallel_tool_calls") is False and mode != "none":
        choice = {"type": "auto", **choice, "disable_parallel_tool_use": True}
    return {"tools": tools, "tool_choice": choice or None}


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool["function"]
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    strict = bool(function.get("strict"))
    found = {
        "name": function["name"],
        "description": function.get("description"),
        "input_schema": closed(schema) if strict else schema,
        "strict": strict or None,
        "cache_control": tool.get("cache_control"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _output(raw: dict[str, Any], most: int, target: Target, provider: Provider) -> dict[str, Any]:
    """Translate what is said of thinking, and of the form of the answer."""
    config: dict[str, Any] = {}
    if schema := translating.named_schema_of(raw, provider):
        config["format"] = {"type": "json_schema", "schema": closed(schema)}
    told, effort = raw.get("thinking"), translating.effort(raw)
    if effort and not told:
        told = thinking(effort, most, target.quirks)
    if effort and effort != "none" and "thinking-budget" not in target.quirks:
        config["effort"] = _EFFORT.get(effort, effort)
    return {"thinking": told, "output_config": config or None}


def thinking(effort: str, most: int, quirks: tuple[str, ...]) -> dict[str, Any]:
    """Return how a Claude is told to think, with `most` tokens for thoughts and answer together.

    Raises:
        BadRequest: it cannot be kept from thinking, or has no room for it.
    """
    if effort == "none":
        if "thinking-always" in quirks:
            raise Untranslatable("This model always thinks; ask for 'minimal'.", param="reasoning_effort")
        return {"type": "disabled"}
    if "thinking-budget" not in quirks:
        return {"type": "adaptive", "display": "summarized"}
    if most <= _LEAST_BUDGET:
        raise Untranslatable(
            f"This model needs 'max_tokens' above {_LEAST_BUDGET} to think; raise it, or leave 'reasoning_effort' out.",
            param="reasoning_effort",
        )
    budget = min(max(most * _SHARE[effort] // 100, _LEAST_BUDGET), most - 1, _MOST_BUDGET)
    return {"type": "enabled", "budget_tokens": budget}


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema whose objects say that they have no further members: Anthropic takes no other."""
    found: dict[str, Any] = translating.mapped(schema, _closed)
    return found


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type") == "object" and "additionalProperties" not in schema:
        return {**schema, "additionalProperties": False}
    return schema
