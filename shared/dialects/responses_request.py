"""A request of OpenAI's Responses API, in the inner form. Nothing is kept: what needs a memory is refused by name."""

from __future__ import annotations

from typing import Any

from shared.core import body
from shared.core.chat import USUAL_TIERS, Chat, may_cache, refuse_strange
from shared.core.errors import BadRequest
from shared.core.fields import typed
from shared.dialects import responses_shapes as shapes
from shared.dialects.responses_input import Conversation

NAME = "responses"
LOGPROBS = "message.output_text.logprobs"
_PASSED = frozenset({
    *("temperature", "top_p", "parallel_tool_calls", "service_tier", "user", "safety_identifier", "moderation"),
    *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
})  # fmt: skip
_MEMORY = {  # what takes one, and what to do instead
    "previous_response_id": "send the earlier items in 'input'",
    "conversation": "send the earlier items in 'input'",
    "prompt": "send its text in 'instructions'",
    "context_management": "shorten 'input'",
    "background": "set 'stream' and read on",
}
# Members that are translated, or mean nothing elsewhere. What else a client sends goes along unread.
_KNOWN = frozenset({
    *shapes.ResponsesFields.__struct_fields__,
    *_MEMORY,
    *("background_options", "max_tool_calls", "stream_options", "image", "access_programs"),
}) - _PASSED  # fmt: skip


def parse(data: bytes) -> Chat:
    """Read the body of `POST /v1/responses`.

    Raises:
        BadRequest: a field is wrong, or needs a memory; `param` names it.
        TooLarge: the body is too large.
    """
    given = body.parse(data)
    _refuse_memory(given)
    refuse_strange(given, _KNOWN | _PASSED)
    fields = typed(given, shapes.ResponsesFields)
    talk = _conversation(fields)
    raw = {name: value for name, value in given.items() if name not in _KNOWN and value is not None}
    raw |= {"model": fields.model, "messages": talk.messages, **_tools(fields), **_output(fields)}
    return Chat(
        raw=raw,
        model=fields.model,
        stream=bool(fields.stream),
        include_usage=False,
        n=1,
        max_tokens=fields.max_output_tokens,
        size=len(data),
        images=talk.images,
        unbounded="service_tier" if fields.service_tier not in USUAL_TIERS else talk.unbounded,
        caching=may_cache(data),
        extended=True,
        native=(NAME, given),
    )


def _refuse_memory(given: dict[str, Any]) -> None:
    for name, instead in _MEMORY.items():
        if given.get(name):
            raise BadRequest(
                f"'{name}' cannot be served: the gateway keeps nothing between requests; {instead}.", param=name
            )
    if given.get("truncation") == "auto":
        raise BadRequest("'truncation' must be 'disabled': nothing is left out of 'input' here.", param="truncation")


def _conversation(fields: shapes.ResponsesFields) -> Conversation:
    talk = Conversation()
    if fields.instructions:
        talk.messages.append({"role": "system", "content": fields.instructions})
    if isinstance(fields.input, str):
        talk.messages.append({"role": "user", "content": fields.input})
    else:
        for at, item in enumerate(fields.input):
            talk.take(item, f"input[{at}]")
    if not talk.messages:
        raise BadRequest("'input' holds nothing that anybody said.", param="input")
    return talk


def _tools(fields: shapes.ResponsesFields) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if fields.tools:
        found["tools"] = [_tool(tool, f"tools[{at}]") for at, tool in enumerate(fields.tools)]
    choice = fields.tool_choice
    if choice not in (None, "none", "auto") and not fields.tools:
        raise BadRequest("'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
    if choice is not None and fields.tools:
        found["tool_choice"] = choice if isinstance(choice, str) else _choice(choice)
    return found


def _tool(tool: dict[str, Any], at: str) -> dict[str, Any]:
    match tool.get("type"):
        case "function":
            known = typed(tool, shapes.FunctionTool, at)
            function = {"name": known.name, "description": known.description, "strict": known.strict}
            return {"type": "function", "function": _given(function) | {"parameters": known.parameters or {}}}
        case "custom":
            custom = typed(tool, shapes.CustomTool, at)
            free = {"name": custom.name, "description": custom.description, "format": _grammar(custom.format)}
            return {"type": "custom", "custom": _given(free)}
        case other:
            raise BadRequest(
                f"Tools of type '{other}' do not run here: known are function and custom.", param=f"{at}.type"
            )


def _grammar(form: dict[str, Any] | None) -> dict[str, Any] | None:
    if form is None or form.get("type") != "grammar":
        return form
    return {"type": "grammar", "grammar": {name: value for name, value in form.items() if name != "type"}}


def _choice(choice: shapes.FunctionChoice | shapes.CustomChoice | shapes.AllowedTools) -> dict[str, Any]:
    if isinstance(choice, shapes.AllowedTools):
        tools = [_choice(tool) for tool in choice.tools]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": tools}}
    kind = "function" if isinstance(choice, shapes.FunctionChoice) else "custom"
    return {"type": kind, kind: {"name": choice.name}}


def _output(fields: shapes.ResponsesFields) -> dict[str, Any]:
    text = fields.text or shapes.TextConfig()
    told = fields.top_logprobs is not None or LOGPROBS in (fields.include or ())
    return _given(
        {
            "stream": fields.stream,
            "max_tokens": fields.max_output_tokens,
            "reasoning_effort": fields.reasoning.effort if fields.reasoning else None,
            "verbosity": text.verbosity,
            "response_format": _format(text.format),
            "logprobs": True if told else None,
            "top_logprobs": fields.top_logprobs,
        }
    )


def _format(
    form: shapes.TextFormat | shapes.JsonObjectFormat | shapes.JsonSchemaFormat | None,
) -> dict[str, Any] | None:
    if isinstance(form, shapes.JsonSchemaFormat):
        schema = {"name": form.name, "schema": form.schema, "description": form.description, "strict": form.strict}
        return {"type": "json_schema", "json_schema": _given(schema)}
    return {"type": "json_object"} if isinstance(form, shapes.JsonObjectFormat) else None


def _given(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value is not None}
