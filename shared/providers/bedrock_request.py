"""A chat request as Bedrock's Converse takes it, for whichever model it serves.

What only one family knows goes beside, in `additionalModelRequestFields`: how a Claude is made to think.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core import wire
from shared.core.errors import Untranslatable
from shared.providers import anthropic_request, translating
from shared.providers.bedrock_messages import cache_point, conversation

if TYPE_CHECKING:
    from shared.core.catalog import Provider, Target
    from shared.core.chat import Chat

_CLAUDE = "anthropic."
_NOVA = "amazon.nova"
_TAKES = frozenset({"response_format", "stop", "tools", "tool_choice", "reasoning_effort", "thinking", "service_tier"})
_SAMPLING = frozenset({"temperature", "top_p"})
_TIERS = {"default": "default", "flex": "flex", "priority": "priority"}


def translated(chat: Chat, target: Target, provider: Provider) -> dict[str, Any]:
    """Translate a request.

    Raises:
        BadRequest: the provider cannot serve it; `param` names the field.
    """
    raw = chat.raw
    samples = _CLAUDE not in target.model or "sampling" in target.quirks
    takes = _TAKES | _SAMPLING if samples else _TAKES
    translating.refuse_foreign(raw, takes | {"top_k"} if samples and _ranks(target) else takes, provider)
    system, turns = conversation(raw["messages"], provider)
    stops = translating.stops(raw)
    inference = {
        "maxTokens": chat.max_tokens or target.max_output or None,
        "temperature": raw.get("temperature") if samples else None,
        "topP": raw.get("top_p") if samples else None,
        "stopSequences": stops or None,
    }
    found = {
        "messages": turns,
        "system": system,
        "inferenceConfig": {name: value for name, value in inference.items() if value is not None},
        "toolConfig": _tools(raw, turns, provider),
        "outputConfig": _output(raw, provider),
        "serviceTier": _tier(raw, provider),
        "additionalModelResponseFieldPaths": ["/stop_sequence"] if stops and _CLAUDE in target.model else [],
        "additionalModelRequestFields": _beside(raw, chat, target) | (_top_k(raw, target) if samples else {}),
    }
    return {name: value for name, value in found.items() if value}


def _ranks(target: Target) -> bool:
    """Tell whether the model's family samples from the likeliest tokens only, if it is told to."""
    return _CLAUDE in target.model or _NOVA in target.model


def _top_k(raw: dict[str, Any], target: Target) -> dict[str, Any]:
    if raw.get("top_k") is None or not _ranks(target):
        return {}
    return {"top_k": raw["top_k"]} if _CLAUDE in target.model else {"inferenceConfig": {"topK": raw["top_k"]}}


def _tier(raw: dict[str, Any], provider: Provider) -> dict[str, str]:
    tier = translating.tier(raw, _TIERS, provider)
    return {"type": tier} if tier else {}


def _tools(raw: dict[str, Any], turns: list[dict[str, Any]], provider: Provider) -> dict[str, Any]:
    tools = [made for tool in translating.functions(raw, provider) for made in (_tool(tool), *cache_point(tool))]
    mode, name = translating.tool_mode(raw, provider)
    if not tools:
        return {}
    if mode == "none":  # there is no such word: they are left out, unless earlier calls need them
        if any("toolUse" in block or "toolResult" in block for turn in turns for block in turn["content"]):
            raise Untranslatable(
                f"The provider '{provider.name}' cannot be told to leave tools alone after calls; send 'auto'.",
                param="tool_choice",
            )
        return {}
    choices: dict[str, dict[str, Any]] = {
        "auto": {"auto": {}},
        "required": {"tool": {"name": name}} if name else {"any": {}},
    }
    return {"tools": tools, **({"toolChoice": choices[mode]} if mode else {})}


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool["function"]
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    strict = bool(function.get("strict"))
    found = {
        "name": function["name"],
        "description": function.get("description"),
        "inputSchema": {"json": anthropic_request.closed(schema) if strict else schema},
        "strict": strict or None,
    }
    return {"toolSpec": {name: value for name, value in found.items() if value}}


def _output(raw: dict[str, Any], provider: Provider) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if schema := translating.named_schema_of(raw, provider):
        text = wire.encode(anthropic_request.closed(schema)).decode()
        named = {"schema": text, "name": raw["response_format"]["json_schema"]["name"]}
        found["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": named}}
    effort = translating.effort(raw)
    if effort and effort != "none":
        found["effort"] = "low" if effort == "minimal" else effort
    return found


def _beside(raw: dict[str, Any], chat: Chat, target: Target) -> dict[str, Any]:
    """Return what the model's own family wants to be told of thinking."""
    thinking, effort = raw.get("thinking"), translating.effort(raw)
    if _CLAUDE not in target.model:
        if (thinking or {}).get("type", "adaptive") != "adaptive" or effort == "none":
            raise Untranslatable(
                "This model is not told to think in this way; use 'reasoning_effort' from 'low'.",
                param="thinking" if thinking else "reasoning_effort",
            )
        return {}
    if effort and not thinking:
        thinking = anthropic_request.thinking(effort, anthropic_request.ceiling(chat, target), target.quirks)
    return {"thinking": thinking} if thinking else {}
