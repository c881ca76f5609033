"""What every translation out of the inner language (OpenAI's chat) shares, and what it refuses.

A field that the provider cannot serve is a 400 that names it, never silence: an answer that quietly lacks what was
asked for is worse than none. Three kinds pass: hints that change no answer, values that say what holds anyway, and what
the catalog lets a provider ignore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from shared.core import wire
from shared.core.errors import Untranslatable
from shared.core.fields import typed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from shared.core.catalog import Provider

    Turn = tuple[str, list[Any]]  # a role, and what it says

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
ALWAYS = frozenset({"model", "messages", "stream", "max_tokens", "max_completion_tokens"})
_HINTS = frozenset({
    "stream_options", "user", "safety_identifier", "store", "metadata",
    "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
})  # fmt: skip
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "temperature": (1,),
    "top_p": (1,),
    "parallel_tool_calls": (True,),
    "modalities": (["text"],),
    "verbosity": ("medium",),
    "service_tier": ("auto", "default"),
    "moderation": (False,),
    "response_format": ({"type": "text"},),
    "functions": ([],),
    "function_call": ("none",),
}


class _Marked(Struct):
    cache_control: dict[str, Any] | None = None


class _Message(_Marked):
    content: str | list[_Marked] | None = None
    tool_calls: list[_Marked] | None = None
    reasoning_details: list[dict[str, Any]] | None = None


class _Beside(Struct):
    """What a chat holds beside OpenAI's own members: clients may send it too, and no other shape looks at it."""

    messages: list[_Message]
    thinking: dict[str, Any] | None = None
    tools: list[_Marked] | None = None


def refuse_foreign(raw: Mapping[str, Any], takes: Collection[str], provider: Provider) -> None:
    """Raise BadRequest for the first field that is no translatable one; `takes` are those that are translated."""
    typed(raw, _Beside)
    for name, value in raw.items():
        if value is None or name in takes or name in ALWAYS or name in _HINTS or name in provider.ignores:
            continue
        if value not in _NEUTRAL.get(name, ()):
            raise Untranslatable(
                f"The provider '{provider.name}' cannot serve '{name}'. Leave it out, or use another provider's model.",
                param=name,
            )


def no_part(where: str, kind: str, provider: Provider) -> Untranslatable:
    """Return what to raise for a part of a message that the provider does not take."""
    return Untranslatable(f"The provider '{provider.name}' takes no part of type '{kind}' here.", param=where)


def conversation(
    found: list[dict[str, Any]],
    provider: Provider,
    told: Callable[[dict[str, Any], str], list[Any]],
    turn: Callable[[dict[str, Any], str], Turn],
    member: str,
) -> tuple[list[Any], list[dict[str, Any]]]:
    """Part messages into instructions, which lose their place, and turns, of which no two neighbours have one role.

    `told` translates instructions, `turn` any other message, each given the message and its path; a turn keeps what it
    says as its `member`.

    Raises:
        BadRequest: nobody says anything; or a message holds what cannot be said, and `param` is its path.
    """
    system: list[Any] = []
    turns: list[dict[str, Any]] = []
    for at, message in enumerate(found):
        where = f"messages[{at}]"
        if message["role"] in {"system", "developer"}:
            system += told(message, where)
            continue
        role, said = turn(message, where)
        if turns and turns[-1]["role"] == role:
            turns[-1][member] += said
        elif said:
            turns.append({"role": role, member: said})
    if not turns:
        raise Untranslatable(f"The provider '{provider.name}' needs a message that says something.", param="messages")
    return system, turns


def refuse_old(message: Mapping[str, Any], where: str, provider: Provider) -> None:
    """Raise BadRequest for what else an assistant may have said: a call in its older form, or aloud."""
    for kind in ("function_call", "audio"):
        if message.get(kind):
            raise no_part(f"{where}.{kind}", kind, provider)


def parts(content: object) -> list[dict[str, Any]]:
    """Return the content of a message as parts; text that is empty is none."""
    if isinstance(content, list):
        return [part for part in content if part.get("text") != ""]
    return [{"type": "text", "text": content}] if isinstance(content, str) and content else []


def data_url(url: str, where: str) -> tuple[str, str] | None:
    """Take a data URL apart: the media type, and the base64; None for an address elsewhere.

    Raises:
        BadRequest: it is neither a data URL in base64 nor one of http or https.
    """
    scheme, _, rest = url.partition(":")
    if scheme.lower() in {"http", "https"}:
        return None
    kind, comma, data = rest.partition(",")
    if scheme.lower() != "data" or not comma or not kind.endswith(";base64"):
        raise Untranslatable(f"The field '{where}' must be an http(s) URL, or a data URL in base64.", param=where)
    return kind.partition(";")[0].lower(), data


def arguments(text: str, where: str) -> dict[str, Any]:
    """Parse the arguments of a tool call that an assistant's message repeats; nothing stands for none.

    Raises:
        BadRequest: they are no JSON object.
    """
    try:
        found = wire.decode(text.encode()) if text.strip() else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Untranslatable(f"The field '{where}' must be a JSON object, in text.", param=where)
    return found


def effort(raw: Mapping[str, Any]) -> str | None:
    """Return how hard the model should think, None if the request leaves that to it.

    Raises:
        BadRequest: it is no such word.
    """
    found = raw.get("reasoning_effort")
    if found is not None and found not in EFFORTS:
        raise Untranslatable(f"'reasoning_effort' is one of {', '.join(EFFORTS)}.", param="reasoning_effort")
    return found


def tier(raw: Mapping[str, Any], names: Mapping[str, str], provider: Provider) -> str | None:
    """Return how urgent the answer is, in the provider's words for OpenAI's (`names`); None leaves it to the account.

    Raises:
        BadRequest: the provider has no such tier, and may not ignore it.
    """
    found = raw.get("service_tier")
    if found in (None, "auto") or (found not in names and "service_tier" in provider.ignores):
        return None
    if found not in names:
        raise Untranslatable(
            f"The provider '{provider.name}' has no tier '{found}'; it has {', '.join(('auto', *names))}.",
            param="service_tier",
        )
    return names[found]


def stops(raw: Mapping[str, Any]) -> list[str]:
    """Return the sequences that end an answer."""
    found = raw.get("stop") or []
    return [found] if isinstance(found, str) else found


def schema_of(raw: Mapping[str, Any], provider: Provider) -> dict[str, Any] | None:
    """Return the JSON schema that the answer must keep to, None if it is text; {} for any JSON object.

    Raises:
        BadRequest: a schema is promised and not given.
    """
    found = raw.get("response_format") or {"type": "text"}
    if found["type"] == "text":
        return None
    if found["type"] == "json_object":
        return {}
    form: dict[str, Any] = found["json_schema"]
    schema: dict[str, Any] | None = form.get("schema")
    if not schema:
        raise Untranslatable(
            f"The provider '{provider.name}' needs the schema itself.", param="response_format.json_schema.schema"
        )
    return {"description": form["description"], **schema} if form.get("description") else schema


def named_schema_of(raw: Mapping[str, Any], provider: Provider) -> dict[str, Any] | None:
    """Return the same for a provider that promises JSON by a schema only.

    Raises:
        BadRequest: any JSON object is wanted; and as `schema_of` does.
    """
    schema = schema_of(raw, provider)
    if schema == {}:
        raise Untranslatable(
            f"The provider '{provider.name}' promises JSON by a schema only: use type 'json_schema'.",
            param="response_format.type",
        )
    return schema


def functions(raw: Mapping[str, Any], provider: Provider) -> list[dict[str, Any]]:
    """Return the tools that the model may use now: all of them, or those that `tool_choice` allows.

    Raises:
        BadRequest: one is no function.
    """
    tools: list[dict[str, Any]] = raw.get("tools") or []
    for at, tool in enumerate(tools):
        if tool["type"] != "function":
            raise Untranslatable(
                f"The provider '{provider.name}' knows tools of type 'function' only.", param=f"tools[{at}].type"
            )
    choice = raw.get("tool_choice")
    if isinstance(choice, dict) and choice["type"] == "allowed_tools":
        allowed = {(tool.get("function") or tool).get("name") for tool in choice["allowed_tools"]["tools"]}
        return [tool for tool in tools if tool["function"]["name"] in allowed]
    return tools


def tool_mode(raw: Mapping[str, Any], provider: Provider) -> tuple[str, str]:
    """Return whether the model may use tools (none, auto, required, or "" if that is not said), and the one it must.

    Raises:
        BadRequest: it must use a tool that is no function.
    """
    choice = raw.get("tool_choice")
    if not isinstance(choice, dict):
        return choice or "", ""
    if choice["type"] == "allowed_tools":
        return choice["allowed_tools"]["mode"], ""
    if choice["type"] == "function":
        return "required", choice["function"]["name"]
    raise Untranslatable(
        f"The provider '{provider.name}' knows tools of type 'function' only.", param="tool_choice.type"
    )


def mapped(schema: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:  # noqa: ANN401, JSON has any type
    """Return a JSON schema with `change` made to each object in it, innermost first; the given one stays as it is."""
    if isinstance(schema, list):
        return [mapped(item, change) for item in schema]
    if isinstance(schema, dict):
        return change({name: mapped(value, change) for name, value in schema.items()})
    return schema
