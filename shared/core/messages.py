"""What may stand in `messages`, `tools` and `response_format` of a chat completion.

These shapes only judge: the provider gets the client's own members, also those that no shape here knows.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Name = Annotated[str, Meta(min_length=1, max_length=256)]


class TextPart(Struct, tag="text"):
    """Text."""

    text: str


class RefusalPart(Struct, tag="refusal"):
    """What an assistant said instead of an answer."""

    refusal: str


class ImageUrl(Struct):
    """An image by address or data URL. The gateway does not look it up."""

    url: Annotated[str, Meta(min_length=1)]
    detail: str | None = None


class ImagePart(Struct, tag="image_url"):
    """An image."""

    image_url: ImageUrl


class InputAudio(Struct):
    """Audio in base64."""

    data: str
    format: str


class AudioPart(Struct, tag="input_audio"):
    """A piece of audio."""

    input_audio: InputAudio


class File(Struct):
    """A file, by id or in base64."""

    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None


class FilePart(Struct, tag="file"):
    """A file."""

    file: File


Texts = str | list[TextPart]


class FunctionCall(Struct):
    """A call as the model wrote it: the arguments are JSON text, not an object."""

    name: str
    arguments: str


class FunctionToolCall(Struct, tag="function"):
    """The model calls a function."""

    id: str
    function: FunctionCall


class CustomCall(Struct):
    """A call with free text."""

    name: str
    input: str


class CustomToolCall(Struct, tag="custom"):
    """The model calls a custom tool."""

    id: str
    custom: CustomCall


class SystemMessage(Struct, tag_field="role", tag="system"):
    """Instructions."""

    content: Texts
    name: str | None = None


class DeveloperMessage(Struct, tag_field="role", tag="developer"):
    """Instructions, as newer models call them."""

    content: Texts
    name: str | None = None


class UserMessage(Struct, tag_field="role", tag="user"):
    """What the user says and shows."""

    content: str | list[TextPart | ImagePart | AudioPart | FilePart]
    name: str | None = None


class AssistantMessage(Struct, tag_field="role", tag="assistant"):
    """What the model said before; null beside tool calls."""

    content: str | list[TextPart | RefusalPart] | None = None
    refusal: str | None = None
    name: str | None = None
    tool_calls: list[FunctionToolCall | CustomToolCall] | None = None
    function_call: FunctionCall | None = None
    audio: dict[str, Any] | None = None


class ToolMessage(Struct, tag_field="role", tag="tool"):
    """What a tool answered."""

    content: Texts
    tool_call_id: str


class FunctionMessage(Struct, tag_field="role", tag="function"):
    """What a function answered, in the older form."""

    name: str
    content: str | None = None


Message = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage


class Function(Struct):
    """A function the model may call; `parameters` is a JSON schema."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(Struct, tag="function"):
    """A function, as a tool."""

    function: Function


class Custom(Struct):
    """A tool that takes free text."""

    name: Name
    description: str | None = None
    format: dict[str, Any] | None = None


class CustomTool(Struct, tag="custom"):
    """A tool that takes free text, as a tool."""

    custom: Custom


Tool = FunctionTool | CustomTool


class Named(Struct):
    """A choice by name."""

    name: Name


class FunctionChoice(Struct, tag="function"):
    """This function must be called."""

    function: Named


class CustomChoice(Struct, tag="custom"):
    """This custom tool must be called."""

    custom: Named


class AllowedTools(Struct):
    """A subset of the tools."""

    mode: Literal["auto", "required"]
    tools: list[dict[str, Any]]


class AllowedToolsChoice(Struct, tag="allowed_tools"):
    """Only these may be called."""

    allowed_tools: AllowedTools


ToolChoice = FunctionChoice | CustomChoice | AllowedToolsChoice


class TextFormat(Struct, tag="text"):
    """The answer is text."""


class JsonObjectFormat(Struct, tag="json_object"):
    """The answer is some JSON object."""


class JsonSchema(Struct):
    """A schema the answer keeps to."""

    name: Name
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class JsonSchemaFormat(Struct, tag="json_schema"):
    """The answer keeps to a schema."""

    json_schema: JsonSchema


ResponseFormat = TextFormat | JsonObjectFormat | JsonSchemaFormat
