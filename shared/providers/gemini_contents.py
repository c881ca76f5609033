"""Conversations as Gemini has them: contents of parts, the results of functions among the user's.

Gemini signs what it thought, and its later models take a call of a function back only with that signature. It travels
where Google's own OpenAI endpoint puts it, in `extra_content` of the call; a client that drops it gets by with the word
that Google documents for calls that some other model made.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from shared.core import wire
from shared.core.errors import Untranslatable
from shared.providers import translating
from shared.providers.translating import arguments, data_url, no_part, parts

if TYPE_CHECKING:
    from shared.core.catalog import Provider

FORMAT = "google-gemini-v1"  # what `reasoning_details` of this dialect are marked with
UNSIGNED = "skip_thought_signature_validator"
_SUFFIXES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
}

Part = dict[str, Any]


def conversation(
    found: list[dict[str, Any]], provider: Provider, *, signed: bool
) -> tuple[list[Part], list[dict[str, Any]]]:
    """Translate messages into the parts of `systemInstruction`, and contents whose roles alternate.

    `signed` says that the model takes no call of a function without a signature.

    Raises as `translating.conversation` does.
    """
    names: dict[str, str] = {}  # of functions, by the id of the call

    def turn(message: dict[str, Any], where: str) -> tuple[str, list[Part]]:
        return _turn(message, where, provider, names, signed=signed)

    return translating.conversation(found, provider, partial(_content, provider=provider), turn, "parts")


def _turn(
    message: dict[str, Any], where: str, provider: Provider, names: dict[str, str], *, signed: bool
) -> tuple[str, list[Part]]:
    match message["role"]:
        case "user":
            return "user", _content(_labelled(message), where, provider)
        case "assistant":
            return "model", _said(message, where, provider, names, signed=signed)
        case "tool":
            return "user", [_result(message, where, provider, names)]
        case role:
            raise Untranslatable(
                f"The provider '{provider.name}' knows no role '{role}'; use tools.", param=f"{where}.role"
            )


def _labelled(message: dict[str, Any]) -> dict[str, Any]:
    """Return what a user says, with the names of files before them: a part has no name of its own."""
    said: list[dict[str, Any]] = []
    for part in parts(message.get("content")):
        name = part["file"].get("filename") if part["type"] == "file" else None
        said += [{"type": "text", "text": f"{name}:"}, part] if name else [part]
    return {**message, "content": said}


def _content(message: dict[str, Any], where: str, provider: Provider) -> list[Part]:
    return [
        _part(part, f"{where}.content[{number}]", provider) for number, part in enumerate(parts(message.get("content")))
    ]


def _part(part: dict[str, Any], where: str, provider: Provider) -> Part:
    match part["type"]:
        case "text":
            return {"text": part["text"]}
        case "refusal":
            return {"text": part["refusal"]}
        case "image_url":
            return _image(part["image_url"]["url"], f"{where}.image_url.url")
        case "input_audio":
            audio = part["input_audio"]
            return {"inlineData": {"mimeType": f"audio/{audio['format']}", "data": audio["data"]}}
        case "file" if part["file"].get("file_data"):
            found = data_url(part["file"]["file_data"], f"{where}.file.file_data")
            if found:
                return {"inlineData": {"mimeType": found[0], "data": found[1]}}
            raise Untranslatable("A file must be a data URL in base64.", param=f"{where}.file.file_data")
        case kind:
            raise no_part(where, kind, provider)


def _image(url: str, where: str) -> Part:
    found = data_url(url, where)
    if found:
        return {"inlineData": {"mimeType": found[0], "data": found[1]}}
    suffix = url.partition("?")[0].partition("#")[0].rpartition(".")[2].lower()
    if suffix not in _SUFFIXES:
        raise Untranslatable("This provider must be told the type of an image: send it as a data URL.", param=where)
    return {"fileData": {"mimeType": _SUFFIXES[suffix], "fileUri": url}}


def _said(
    message: dict[str, Any], where: str, provider: Provider, names: dict[str, str], *, signed: bool
) -> list[Part]:
    found = _content(message, where, provider)
    if message.get("refusal"):
        found.append({"text": message["refusal"]})
    signatures = [
        detail["data"]
        for detail in message.get("reasoning_details") or ()
        if detail.get("format") == FORMAT and detail.get("data")
    ]
    if found and signatures:
        found[-1]["thoughtSignature"] = signatures[-1]
    for number, call in enumerate(message.get("tool_calls") or ()):
        path = f"{where}.tool_calls[{number}]"
        if call["type"] != "function":
            raise no_part(path, call["type"], provider)
        names[call["id"]] = call["function"]["name"]
        found.append(_call(call, path, unsigned=signed and number == 0))
    translating.refuse_old(message, where, provider)
    return found


def _call(call: dict[str, Any], path: str, *, unsigned: bool) -> Part:
    """Return a call; only the first of several that were made at once needs a signature."""
    given = arguments(call["function"]["arguments"], f"{path}.function.arguments")
    part: Part = {"functionCall": {"id": call["id"], "name": call["function"]["name"], "args": given}}
    extra = call.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    if isinstance(signature, str) or unsigned:
        part["thoughtSignature"] = signature or UNSIGNED
    return part


def _result(message: dict[str, Any], where: str, provider: Provider, names: dict[str, str]) -> Part:
    """Return what a function answered: an object, which other text is put into."""
    id_ = message["tool_call_id"]
    if id_ not in names:
        raise Untranslatable(
            f"No call before this message has the id '{id_[:64]}', so the provider cannot be told whose result it is.",
            param=f"{where}.tool_call_id",
        )
    found = _content(message, where, provider)
    text = "".join(part.get("text", "") for part in found)
    shown = [part for part in found if "text" not in part]
    response: Part = {"id": id_, "name": names[id_], "response": _object(text, failed=bool(message.get("is_error")))}
    return {"functionResponse": response | ({"parts": shown} if shown else {})}


def _object(text: str, *, failed: bool) -> dict[str, Any]:
    if failed:
        return {"error": text}
    try:
        found = wire.decode(text.encode())
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"result": text}
