"""Conversations as Anthropic's Messages API has them: turns of blocks, and the instructions beside them.

Instructions lose their place among the turns (there is one `system`, and it comes first) and speakers lose their names.
Thoughts go back as they came, signature and all, and only if it was this dialect that they came in.
"""

from __future__ import annotations

import base64
from functools import partial
from typing import TYPE_CHECKING, Any

from shared.core.errors import Untranslatable
from shared.core.thoughts import interleaved
from shared.providers import translating
from shared.providers.translating import arguments, data_url, no_part, parts

if TYPE_CHECKING:
    from shared.core.catalog import Provider

FORMAT = "anthropic-claude-v1"  # what `reasoning_details` of this dialect are marked with
_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_PDF, _TEXT = "application/pdf", "text/plain"

Block = dict[str, Any]


def conversation(found: list[dict[str, Any]], provider: Provider) -> tuple[list[Block], list[dict[str, Any]]]:
    """Translate messages into the blocks of `system`, and turns; raises as `translating.conversation` does."""

    def told(message: dict[str, Any], where: str) -> list[Block]:
        return _cached(message, _content(message, where, provider))

    return translating.conversation(found, provider, told, partial(_turn, provider=provider), "content")


def _turn(message: dict[str, Any], where: str, provider: Provider) -> tuple[str, list[Block]]:
    match message["role"]:
        case "user":
            return "user", _cached(message, _content(message, where, provider))
        case "assistant":
            return "assistant", _cached(message, _said(message, where, provider))
        case "tool":
            return "user", _cached(message, [_result(message, where, provider)])
        case role:
            raise Untranslatable(
                f"The provider '{provider.name}' knows no role '{role}'; use tools.", param=f"{where}.role"
            )


def _cached(holder: dict[str, Any], blocks: list[Block]) -> list[Block]:
    """Put a message's own mark for the cache onto its last block."""
    if holder.get("cache_control") and blocks:
        blocks[-1] = {**blocks[-1], "cache_control": holder["cache_control"]}
    return blocks


def _content(message: dict[str, Any], where: str, provider: Provider) -> list[Block]:
    return [
        _cached(part, [_part(part, f"{where}.content[{number}]", provider)])[0]
        for number, part in enumerate(parts(message.get("content")))
    ]


def _part(part: dict[str, Any], where: str, provider: Provider) -> Block:
    match part["type"]:
        case "text":
            return {"type": "text", "text": part["text"]}
        case "refusal":
            return {"type": "text", "text": part["refusal"]}
        case "image_url":
            return {"type": "image", "source": _image(part["image_url"]["url"], f"{where}.image_url.url", provider)}
        case "file":
            return _file(part["file"], f"{where}.file", provider)
        case kind:
            raise no_part(where, kind, provider)


def _image(url: str, where: str, provider: Provider) -> dict[str, str]:
    found = data_url(url, where)
    if found is None:
        return {"type": "url", "url": url}
    kind, data = found
    if kind not in _IMAGES:
        raise Untranslatable(
            f"The provider '{provider.name}' reads images of {', '.join(sorted(_IMAGES))}.", param=where
        )
    return {"type": "base64", "media_type": kind, "data": data}


def _file(file: dict[str, Any], where: str, provider: Provider) -> Block:
    kind, data = data_url(file["file_data"], f"{where}.file_data") or ("", "") if file.get("file_data") else ("", "")
    if kind not in {_PDF, _TEXT}:
        raise Untranslatable(
            f"The provider '{provider.name}' takes files as 'file_data': a data URL of a PDF, or of plain text.",
            param=where,
        )
    source = {"type": "base64", "media_type": kind, "data": data} if kind == _PDF else _plain(data, where)
    return {"type": "document", "source": source, **({"title": file["filename"]} if file.get("filename") else {})}


def _plain(data: str, where: str) -> dict[str, str]:
    try:
        text = base64.b64decode(data, validate=True).decode()
    except ValueError as error:
        raise Untranslatable("A file of plain text must be UTF-8, in base64.", param=f"{where}.file_data") from error
    return {"type": "text", "media_type": _TEXT, "data": text}


def _said(message: dict[str, Any], where: str, provider: Provider) -> list[Block]:
    """Return what the assistant thought, said and called, in the order in which that must stand."""
    refused = [{"type": "text", "text": message["refusal"]}] if message.get("refusal") else []
    blocks = interleaved(message.get("reasoning_details"), _thought, _content(message, where, provider) + refused)
    for number, call in enumerate(message.get("tool_calls") or ()):
        path = f"{where}.tool_calls[{number}]"
        if call["type"] != "function":
            raise no_part(path, call["type"], provider)
        given = arguments(call["function"]["arguments"], f"{path}.function.arguments")
        block = {"type": "tool_use", "id": call["id"], "name": call["function"]["name"], "input": given}
        blocks += _cached(call, [block])
    translating.refuse_old(message, where, provider)
    return blocks


def _thought(detail: dict[str, Any]) -> Block | None:
    """Return a thought as it came; None if it came from elsewhere, or without the signature that proves it."""
    if detail.get("format", FORMAT) != FORMAT:
        return None
    if detail.get("type") == "reasoning.encrypted" and detail.get("data"):
        return {"type": "redacted_thinking", "data": detail["data"]}
    if detail.get("type") == "reasoning.text" and detail.get("signature"):
        return {"type": "thinking", "thinking": detail.get("text") or "", "signature": detail["signature"]}
    return None


def _result(message: dict[str, Any], where: str, provider: Provider) -> Block:
    failed = {"is_error": True} if message.get("is_error") else {}
    content = _content(message, where, provider)
    return {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": content, **failed}
