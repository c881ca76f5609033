"""What may stand in a request of OpenAI's Responses API, as far as it can be served without keeping anything."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Text = Annotated[str, Meta(min_length=1)]
Name = Annotated[str, Meta(min_length=1, max_length=256)]
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Item = dict[str, Any]


class Message(Struct):
    """What somebody said."""

    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Item]


class FunctionCall(Struct):
    """The model called a function; the arguments are JSON text."""

    call_id: Text
    name: Text
    arguments: str


class CustomCall(Struct):
    """The model called a tool that takes free text."""

    call_id: Text
    name: Text
    input: str


class CallOutput(Struct):
    """What a tool answered."""

    call_id: Text
    output: str | list[Item]


class Thought(Struct):
    """A piece of what the model thought."""

    text: str


class Reasoning(Struct):
    """What the model thought before."""

    summary: list[Thought] = []
    content: list[Thought] | None = None
    encrypted_content: str | None = None


class TextPart(Struct):
    """Text, from either side."""

    text: str


class RefusalPart(Struct):
    """What the model said instead of an answer."""

    refusal: str


class ImagePart(Struct):
    """An image, by address or as a data URL. The gateway does not look it up."""

    image_url: Text | None = None
    file_id: str | None = None
    detail: str | None = None


class FilePart(Struct):
    """A file, in base64 or by id."""

    file_data: Text | None = None
    file_id: Text | None = None
    file_url: str | None = None
    filename: str | None = None


class AudioPart(Struct):
    """A piece of audio."""

    input_audio: dict[str, Any]


class FunctionTool(Struct, tag="function"):
    """A function the model may call."""

    name: Name
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class CustomTool(Struct, tag="custom"):
    """A tool that takes free text."""

    name: Name
    description: str | None = None
    format: dict[str, Any] | None = None


class FunctionChoice(Struct, tag="function"):
    """This function must be called."""

    name: Name


class CustomChoice(Struct, tag="custom"):
    """This custom tool must be called."""

    name: Name


class AllowedTools(Struct, tag="allowed_tools"):
    """Only these may be called."""

    mode: Literal["auto", "required"]
    tools: list[FunctionChoice | CustomChoice]


class TextFormat(Struct, tag="text"):
    """The answer is text."""


class JsonObjectFormat(Struct, tag="json_object"):
    """The answer is some JSON object."""


class JsonSchemaFormat(Struct, tag="json_schema"):
    """The answer keeps to a schema."""

    name: Name
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class TextConfig(Struct):
    """What the text of the answer is like."""

    format: TextFormat | JsonObjectFormat | JsonSchemaFormat | None = None
    verbosity: str | None = None


class ReasoningConfig(Struct):
    """How hard to think."""

    effort: str | None = None


class ResponsesFields(Struct):
    """The members of a request."""

    model: Text
    input: str | Annotated[list[Item], Meta(min_length=1, max_length=16_384)]
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: Annotated[list[Item], Meta(max_length=1024)] | None = None
    tool_choice: Literal["none", "auto", "required"] | FunctionChoice | CustomChoice | AllowedTools | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: ReasoningConfig | None = None
    include: list[str] | None = None
    metadata: dict[str, str] | None = None
    service_tier: str | None = None
    store: bool | None = None
    truncation: Literal["auto", "disabled"] | None = None
    background: bool | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
