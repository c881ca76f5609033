"""What may stand in a request of Anthropic's Messages API, as far as it is translated; the rest passes on unread."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Text = Annotated[str, Meta(min_length=1)]
Block = dict[str, Any]


class Message(Struct):
    """One turn. Its blocks are read one by one: there are kinds that only Anthropic's own models know."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class Base64Source(Struct, tag="base64"):
    """An image or a PDF in base64."""

    media_type: Text
    data: Text


class UrlSource(Struct, tag="url"):
    """One by address. The gateway does not look it up."""

    url: Text


class FileSource(Struct, tag="file"):
    """One that was uploaded to Anthropic."""

    file_id: Text


class TextSource(Struct, tag="text"):
    """A document of plain text."""

    data: str
    media_type: Literal["text/plain"] = "text/plain"


class ContentSource(Struct, tag="content"):
    """A document of blocks."""

    content: str | list[Block]


class Citations(Struct):
    """Whether the answer should say where it has things from."""

    enabled: bool | None = None


class TextBlock(Struct):
    """Text."""

    text: str
    cache_control: Block | None = None


class ImageBlock(Struct):
    """An image."""

    source: Base64Source | UrlSource | FileSource
    cache_control: Block | None = None


class DocumentBlock(Struct):
    """A document."""

    source: Base64Source | UrlSource | FileSource | TextSource | ContentSource
    title: str | None = None
    context: str | None = None
    citations: Citations | None = None
    cache_control: Block | None = None


class SearchResultBlock(Struct):
    """What a search of the client's own has found."""

    source: str
    title: str
    content: list[TextBlock]
    citations: Citations | None = None
    cache_control: Block | None = None


class ThinkingBlock(Struct):
    """What the model thought before; the signature proves it."""

    thinking: str
    signature: str = ""


class RedactedThinkingBlock(Struct):
    """What it thought and nobody may read."""

    data: str


class ToolUseBlock(Struct):
    """A call as the model made it."""

    id: Text
    name: Text
    input: dict[str, Any]
    cache_control: Block | None = None


class ToolResultBlock(Struct):
    """What a tool answered."""

    tool_use_id: Text
    content: str | list[Block] | None = None
    is_error: bool | None = None
    cache_control: Block | None = None


class SystemBlock(Struct, tag_field="type", tag="text"):
    """Instructions."""

    text: str
    cache_control: Block | None = None


class Tool(Struct):
    """A tool of the client's own."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    input_schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None
    input_examples: list[dict[str, Any]] | None = None
    cache_control: Block | None = None


class ToolChoice(Struct):
    """How the tools may be used."""

    type: Literal["auto", "any", "tool", "none"]
    name: Text | None = None
    disable_parallel_tool_use: bool | None = None


class Format(Struct, tag="json_schema"):
    """The answer is JSON of this schema."""

    schema: dict[str, Any]


class OutputConfig(Struct):
    """What the answer is like, and how hard the model tries."""

    effort: str | None = None
    format: Format | None = None


class Metadata(Struct):
    """About the request."""

    user_id: str | None = None


class Thinking(Struct):
    """Whether to think first."""

    type: Text
    budget_tokens: Count | None = None


class CountTokensFields(Struct):
    """The members whose tokens can be counted."""

    model: Text
    messages: Annotated[list[Message], Meta(min_length=1, max_length=100_000)]
    system: str | list[SystemBlock] | None = None
    tools: Annotated[list[Block], Meta(max_length=1024)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None


class MessagesFields(CountTokensFields, kw_only=True):
    """The members of a request."""

    max_tokens: Count
    stream: bool | None = None
    temperature: Share | None = None
    top_p: Share | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    stop_sequences: Annotated[list[Text], Meta(max_length=1024)] | None = None
    metadata: Metadata | None = None
    service_tier: str | None = None
