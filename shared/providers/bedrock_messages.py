"""Conversations as Bedrock's Converse has them: turns of blocks, each block an object with one member.

Bedrock fetches nothing: images and documents must come along. Where a cache should begin is a block of its own.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from shared.core.errors import Untranslatable
from shared.core.thoughts import interleaved
from shared.providers import translating
from shared.providers.translating import arguments, data_url, no_part, parts

if TYPE_CHECKING:
    from shared.core.catalog import Provider

FORMAT = "amazon-bedrock-v1"  # what `reasoning_details` of this dialect are marked with
_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}

Block = dict[str, Any]


def conversation(found: list[dict[str, Any]], provider: Provider) -> tuple[list[Block], list[dict[str, Any]]]:
    """Translate messages into the blocks of `system`, and turns; raises as `translating.conversation` does."""

    def told(message: dict[str, Any], where: str) -> list[Block]:
        return _content(message, where, provider) + cache_point(message)

    return translating.conversation(found, provider, told, partial(_turn, provider=provider), "content")


def cache_point(holder: dict[str, Any]) -> list[Block]:
    """Return the block that marks where a cache begins, if `holder` is marked."""
    control = holder.get("cache_control")
    if not control:
        return []
    ttl = {"ttl": control["ttl"]} if control.get("ttl") else {}
    return [{"cachePoint": {"type": "default", **ttl}}]


def _turn(message: dict[str, Any], where: str, provider: Provider) -> tuple[str, list[Block]]:
    match message["role"]:
        case "user":
            return "user", _content(message, where, provider) + cache_point(message)
        case "assistant":
            return "assistant", _said(message, where, provider) + cache_point(message)
        case "tool":
            return "user", [_result(message, where, provider), *cache_point(message)]
        case role:
            raise Untranslatable(
                f"The provider '{provider.name}' knows no role '{role}'; use tools.", param=f"{where}.role"
            )


def _content(message: dict[str, Any], where: str, provider: Provider) -> list[Block]:
    found: list[Block] = []
    for number, part in enumerate(parts(message.get("content"))):
        found += [_part(part, f"{where}.content[{number}]", provider), *cache_point(part)]
    return found


def _part(part: dict[str, Any], where: str, provider: Provider) -> Block:
    match part["type"]:
        case "text":
            return {"text": part["text"]}
        case "refusal":
            return {"text": part["refusal"]}
        case "image_url":
            kind, data = _inline(part["image_url"]["url"], f"{where}.image_url.url", _IMAGES, provider)
            return {"image": {"format": kind, "source": {"bytes": data}}}
        case "file" if part["file"].get("file_data"):
            file = part["file"]
            kind, data = _inline(file["file_data"], f"{where}.file.file_data", _DOCUMENTS, provider)
            return {"document": {"format": kind, "name": _name(file.get("filename")), "source": {"bytes": data}}}
        case kind:
            raise no_part(where, kind, provider)


def _inline(url: str, where: str, kinds: dict[str, str], provider: Provider) -> tuple[str, str]:
    found = data_url(url, where)
    if found is None or found[0] not in kinds:
        raise Untranslatable(
            f"The provider '{provider.name}' fetches nothing: send a data URL of {' or '.join(kinds)}.", param=where
        )
    return kinds[found[0]], found[1]


def _name(given: str | None) -> str:
    """Return a name as Bedrock allows it: letters, digits, single spaces, and a few signs."""
    plain = (letter if letter.isascii() and (letter.isalnum() or letter in "-()[]") else " " for letter in given or "")
    return " ".join("".join(plain).split())[:200] or "document"


def _said(message: dict[str, Any], where: str, provider: Provider) -> list[Block]:
    """Return what the assistant thought, said and called, in the order in which that must stand."""
    refused = [{"text": message["refusal"]}] if message.get("refusal") else []
    blocks = interleaved(message.get("reasoning_details"), _thought, _content(message, where, provider) + refused)
    for number, call in enumerate(message.get("tool_calls") or ()):
        path = f"{where}.tool_calls[{number}]"
        if call["type"] != "function":
            raise no_part(path, call["type"], provider)
        given = arguments(call["function"]["arguments"], f"{path}.function.arguments")
        blocks.append({"toolUse": {"toolUseId": call["id"], "name": call["function"]["name"], "input": given}})
    translating.refuse_old(message, where, provider)
    return blocks


def _thought(detail: dict[str, Any]) -> Block | None:
    """Return a thought as it came; None if it came from elsewhere, or without the signature that proves it."""
    if detail.get("format", FORMAT) != FORMAT:
        return None
    if detail.get("type") == "reasoning.encrypted" and detail.get("data"):
        return {"reasoningContent": {"redactedContent": detail["data"]}}
    if detail.get("type") == "reasoning.text" and detail.get("signature"):
        told = {"text": detail.get("text") or "", "signature": detail["signature"]}
        return {"reasoningContent": {"reasoningText": told}}
    return None


def _result(message: dict[str, Any], where: str, provider: Provider) -> Block:
    content = [block for block in _content(message, where, provider) if "cachePoint" not in block]
    result: Block = {"toolUseId": message["tool_call_id"], "content": content or [{"text": " "}]}
    if message.get("is_error"):
        result["status"] = "error"
    return {"toolResult": result}
