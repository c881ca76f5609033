"""A chat request as Gemini's generateContent takes it.

How hard a model thinks is a level; the models of 2.5, which the catalog marks `thinking-budget`, want a number of
tokens instead. Most cannot be told not to think at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from shared.core.errors import Untranslatable
from shared.providers import translating
from shared.providers.gemini_contents import conversation

if TYPE_CHECKING:
    from shared.core.catalog import Provider, Target
    from shared.core.chat import Chat

_LEVELS = {"minimal": "LOW", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH", "max": "HIGH"}
_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 24_576, "max": 24_576}
_LEVEL_OF = ((2048, "LOW"), (8192, "MEDIUM"), (2**31, "HIGH"))  # for so many tokens at most; the levels have no number
_ALIKE = {  # fields that only have another name there
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "n": "candidateCount",
}
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY", "validated": "VALIDATED"}  # the last two keep to schemas
_TIERS = {"default": "standard", "flex": "flex", "priority": "priority"}
_TAKES = frozenset({
    *_ALIKE, "response_format", "stop", "tools", "tool_choice", "reasoning_effort", "thinking", "logprobs",
    "top_logprobs", "service_tier",
})  # fmt: skip


def translated(chat: Chat, target: Target, provider: Provider) -> dict[str, Any]:
    """Translate a request.

    Raises:
        BadRequest: the provider cannot serve it; `param` names the field.
    """
    if provider.ignores:  # what one model takes another refuses
        chat = replace(chat, raw={name: value for name, value in chat.raw.items() if name not in provider.ignores})
    raw = chat.raw
    translating.refuse_foreign(raw, _TAKES, provider)
    system, contents = conversation(raw["messages"], provider, signed="thinking-budget" not in target.quirks)
    body: dict[str, Any] = {"contents": contents, **_tools(raw, provider)}
    if system:
        body["systemInstruction"] = {"parts": system}
    if tier := translating.tier(raw, _TIERS, provider):
        body["serviceTier"] = tier
    if config := _config(chat, target, provider):
        body["generationConfig"] = config
    return body


def _config(chat: Chat, target: Target, provider: Provider) -> dict[str, Any]:
    raw = chat.raw
    found = {theirs: raw.get(ours) for ours, theirs in _ALIKE.items()}
    found |= {"maxOutputTokens": chat.max_tokens, "stopSequences": translating.stops(raw) or None}
    if raw.get("logprobs"):
        found |= {"responseLogprobs": True, "logprobs": raw.get("top_logprobs") or None}
    schema = translating.schema_of(raw, provider)
    if schema is not None:
        found |= {"responseMimeType": "application/json", "responseJsonSchema": schema or None}
    if effort := translating.effort(raw):
        found["thinkingConfig"] = _thinking(effort, target.quirks)
    elif thinking := raw.get("thinking"):
        found["thinkingConfig"] = _as_anthropic_says(thinking, target.quirks)
    return {name: value for name, value in found.items() if value is not None}


def _thinking(effort: str, quirks: tuple[str, ...]) -> dict[str, Any]:
    if "thinking-budget" in quirks and (effort != "none" or "thinking-always" not in quirks):
        return {"thinkingBudget": _BUDGETS[effort], "includeThoughts": effort != "none"}
    if effort == "none":
        raise Untranslatable("This model always thinks; ask for 'minimal'.", param="reasoning_effort")
    return {"thinkingLevel": _LEVELS[effort], "includeThoughts": True}


def _as_anthropic_says(thinking: dict[str, Any], quirks: tuple[str, ...]) -> dict[str, Any]:
    """Translate what a client of Anthropic's dialect says of thinking."""
    budget = thinking.get("budget_tokens")
    if thinking.get("type") == "adaptive":
        return {"includeThoughts": True}
    if thinking.get("type") == "enabled" and isinstance(budget, int):
        if "thinking-budget" in quirks:
            return {"thinkingBudget": min(budget, _BUDGETS["max"]), "includeThoughts": True}
        return {"thinkingLevel": next(level for most, level in _LEVEL_OF if budget <= most), "includeThoughts": True}
    if thinking.get("type") == "disabled" and "thinking-budget" in quirks and "thinking-always" not in quirks:
        return {"thinkingBudget": 0, "includeThoughts": False}
    raise Untranslatable("This model cannot be told to think in this way; leave 'thinking' out.", param="thinking")


def _tools(raw: dict[str, Any], provider: Provider) -> dict[str, Any]:
    functions = [tool["function"] for tool in translating.functions(raw, provider)]
    mode, name = translating.tool_mode(raw, provider)
    if not functions:
        return {}
    found: dict[str, Any] = {"tools": [{"functionDeclarations": [_declared(function) for function in functions]}]}
    if mode in {"", "auto"} and any(function.get("strict") for function in functions):
        mode = "validated"
    if mode:
        calling: dict[str, Any] = {"mode": _MODES[mode]}
        if name:
            calling["allowedFunctionNames"] = [name]
        found["toolConfig"] = {"functionCallingConfig": calling}
    return found


def _declared(function: dict[str, Any]) -> dict[str, Any]:
    found = {
        "name": function["name"],
        "description": function.get("description"),
        "parametersJsonSchema": function.get("parameters"),
    }
    return {name: value for name, value in found.items() if value}
