"""A request of Anthropic's Messages API, in the inner form.

What only Anthropic's own models can do (tools that run at Anthropic, uploaded files, an answer begun by the client) is
no mistake: `native_only` names it, and the request goes to providers that speak this dialect, or is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core import body
from shared.core.chat import Chat, may_cache, refuse_strange
from shared.core.errors import BadRequest
from shared.core.fields import typed
from shared.core.usage import estimate
from shared.core.wire import encode
from shared.dialects.anthropic_messages import Conversation
from shared.dialects.anthropic_shapes import CountTokensFields, MessagesFields, Tool

if TYPE_CHECKING:
    from shared.dialects.anthropic_shapes import ToolChoice

NAME = "anthropic"
_IMAGE_TOKENS = 1600  # about as many as Anthropic counts for the largest image
# Members that are translated, or mean nothing elsewhere. What else a client sends goes along unread.
_KNOWN = frozenset({
    *MessagesFields.__struct_fields__,
    *("cache_control", "diagnostics", "user_profile_id", "workspace_id"),
})  # fmt: skip
_NATIVE = ("container", "context_management", "inference_geo", "mcp_servers", "speed")  # each with a price of its own
_USUAL_TIERS = frozenset({None, "auto", "standard_only"})
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def parse(data: bytes) -> Chat:
    """Read the body of `POST /v1/messages`.

    Raises:
        BadRequest: a field is wrong; `param` names it.
        TooLarge: the body is too large.
    """
    given = body.parse(data)
    refuse_strange(given, _KNOWN)
    fields = typed(given, MessagesFields)
    talk = _conversation(fields)
    raw = {name: value for name, value in given.items() if name not in _KNOWN and name not in _NATIVE}
    raw |= _sampling(fields) | _tools(fields, talk) | _output(fields)
    raw |= {"thinking": given["thinking"]} if fields.thinking else {}
    native_only, unbounded = _beyond(given, talk)
    return Chat(
        raw={**raw, "model": fields.model, "messages": talk.messages, "max_tokens": fields.max_tokens},
        model=fields.model,
        stream=bool(fields.stream),
        include_usage=False,
        n=1,
        max_tokens=fields.max_tokens,
        size=len(data),
        images=talk.images,
        unbounded=unbounded,
        caching=may_cache(data),
        extended=True,
        native=None if talk.foreign else (NAME, given),
        native_only=native_only,
    )


def count(data: bytes) -> tuple[str, int]:
    """Read the body of `POST /v1/messages/count_tokens`; return the model and about how many tokens it would read.

    Raises as `parse` does.
    """
    given = body.parse(data)
    fields = typed(given, CountTokensFields)
    talk = _conversation(fields)
    _tools(fields, talk)
    return fields.model, estimate(len(data) - talk.embedded) + _IMAGE_TOKENS * talk.images


def _conversation(fields: CountTokensFields) -> Conversation:
    talk = Conversation()
    if isinstance(fields.system, str):
        talk.say("system", fields.system)
    elif fields.system:
        talk.messages.append({"role": "system", "content": [talk.text(block) for block in fields.system]})
    for at, message in enumerate(fields.messages):
        talk.take(message, f"messages[{at}].content")
    if fields.messages[-1].role == "assistant":  # an answer that the client has begun
        talk.only_natively("messages")
    return talk


def _sampling(fields: MessagesFields) -> dict[str, Any]:
    user = fields.metadata.user_id if fields.metadata else None
    found = {
        "stream": fields.stream,
        "temperature": fields.temperature,
        "top_p": fields.top_p,
        "top_k": fields.top_k,
        "stop": fields.stop_sequences or None,
        "user": user,
    }
    return {name: value for name, value in found.items() if value is not None}


def _tools(fields: CountTokensFields, talk: Conversation) -> dict[str, Any]:
    """Translate the client's own tools; Anthropic's are left to Anthropic."""
    found: dict[str, Any] = {}
    tools = [made for at, tool in enumerate(fields.tools or ()) if (made := _tool(tool, f"tools[{at}]", talk))]
    if tools:
        found["tools"] = tools
    choice = fields.tool_choice
    if choice and not fields.tools:
        raise BadRequest("'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
    if choice:
        found["tool_choice"] = _choice(choice)
        if choice.disable_parallel_tool_use:
            found["parallel_tool_calls"] = False
    return found


def _tool(tool: dict[str, Any], at: str, talk: Conversation) -> dict[str, Any] | None:
    if tool.get("type", "custom") not in ("custom", None):
        talk.only_natively("tools", unbounded=True)
        return None
    known = typed(tool, Tool, at)
    function: dict[str, Any] = {"name": known.name, "parameters": known.input_schema}
    description = _described(known)
    function |= {"description": description} if description is not None else {}
    function |= {"strict": known.strict} if known.strict is not None else {}
    return talk.cached({"type": "function", "function": function}, known.cache_control)


def _described(tool: Tool) -> str | None:
    """Return what a tool does, with the examples of its input, which have no place of their own elsewhere."""
    if not tool.input_examples:
        return tool.description
    examples = "\n".join(encode(example).decode() for example in tool.input_examples)
    return f"{tool.description or ''}\n\nExamples of the input:\n{examples}".strip()


def _choice(choice: ToolChoice) -> str | dict[str, Any]:
    if choice.type != "tool":
        return _CHOICES[choice.type]
    if choice.name is None:
        raise BadRequest("The required field 'tool_choice.name' is missing.", param="tool_choice.name")
    return {"type": "function", "function": {"name": choice.name}}


def _output(fields: MessagesFields) -> dict[str, Any]:
    found: dict[str, Any] = {}
    config = fields.output_config
    if config and config.effort:
        found["reasoning_effort"] = config.effort
    if config and config.format:
        schema = {"name": "answer", "schema": config.format.schema, "strict": True}
        found["response_format"] = {"type": "json_schema", "json_schema": schema}
    return found


def _beyond(given: dict[str, Any], talk: Conversation) -> tuple[str, str]:
    """Name the field that only Anthropic can serve, and the one whose price nobody can foresee."""
    native = [name for name in _NATIVE if given.get(name) is not None]
    tier = [] if given.get("service_tier") in _USUAL_TIERS else ["service_tier"]
    return (*native, talk.native_only)[0], (*tier, *native, talk.unbounded)[0]
