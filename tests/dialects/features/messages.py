"""What can be asked for in Anthropic's Messages API."""

from __future__ import annotations

from tests.dialects.features.feature import PIXEL, SCHEMA, SHEET, asks, says, user

PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
RESULT = {"type": "tool_result", "tool_use_id": "mark-use", "content": "mark-result"}
USE = {
    "role": "assistant",
    "content": [{"type": "tool_use", "id": "mark-use", "name": "mark_called", "input": {"mark-given": 417}}],
}
OWN_TOOL = {"name": "mark_tool", "description": "mark-tool-described", "input_schema": SCHEMA}
MESSAGES = {
    "instructions": asks("mark-system", system="mark-system"),
    "instructions in parts": asks("mark-s1", "mark-s2", system=[
        {"type": "text", "text": "mark-s1"}, {"type": "text", "text": "mark-s2"},
    ]),
    "a text": says("mark-text", said=user({"type": "text", "text": "mark-text"})),
    "an image": says(PIXEL, said=user(
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    )),
    "an image elsewhere": says("https://mark.example/x.png", said=user(
        {"type": "image", "source": {"type": "url", "url": "https://mark.example/x.png"}}
    )),
    "an image by id": says("mark-file", said=user(
        {"type": "image", "source": {"type": "file", "file_id": "mark-file"}}
    )),
    "a sheet": says(SHEET, ("mark-title", "mark title"), said=user({
        "type": "document", "title": "mark-title",
        "source": {"type": "base64", "media_type": "application/pdf", "data": SHEET},
    })),
    "a sheet's story": says("mark-context", said=user({
        "type": "document", "title": "t", "context": "mark-context",
        "source": {"type": "base64", "media_type": "application/pdf", "data": SHEET},
    })),
    "a document": says("mark-plain", "mark-title", "mark-context", said=user({
        "type": "document", "title": "mark-title", "context": "mark-context",
        "source": {"type": "text", "media_type": "text/plain", "data": "mark-plain"},
    })),
    "a document of parts": says("mark-inner", PIXEL, said=user({"type": "document", "source": {
        "type": "content", "content": [{"type": "text", "text": "mark-inner"}, PICTURE],
    }})),
    "citations": says("citations", said=user({
        "type": "document", "citations": {"enabled": True},
        "source": {"type": "text", "media_type": "text/plain", "data": "x"},
    })),
    "a find": says("mark-source", "mark-title", "mark-found", said=user({
        "type": "search_result", "source": "mark-source", "title": "mark-title",
        "content": [{"type": "text", "text": "mark-found"}],
    })),
    "what nobody knows": says("mark-new", said=user({"type": "new_block", "mark": "mark-new"})),
    "calls": says("mark-use", "mark_called", "mark-given", 417, "mark-result", said=[USE, user(RESULT)]),
    "a failed call": says(
        "mark-result", ("is_error", "error", "Error: mark-result"), said=[USE, user({**RESULT, "is_error": True})]
    ),
    "a call that shows": says("mark-shown", PIXEL, said=[USE, user({**RESULT, "content": [
        {"type": "text", "text": "mark-shown"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
    ]})]),
    "an answer to begin with": says("mark-begun", said={"role": "assistant", "content": "mark-begun"}),
    "tools": asks("mark_tool", "mark-tool-described", "mark_property", "mark-described", tools=[OWN_TOOL]),
    "strict tools": asks(("strict", "VALIDATED"), tools=[{**OWN_TOOL, "strict": True}]),
    "tools with examples": asks("mark-example", tools=[{**OWN_TOOL, "input_examples": [{"x": "mark-example"}]}]),
    "tools of Anthropic's": asks("web_search_20250305", tools=[{"type": "web_search_20250305", "name": "web_search"}]),
    "a tool to use": asks("mark_tool", ("tool", "ANY", "function"), tools=[OWN_TOOL],
                          tool_choice={"type": "tool", "name": "mark_tool"}),
    "any tool": asks(("required", "any", "ANY"), tools=[OWN_TOOL], tool_choice={"type": "any"}),
    "one tool at a time": asks(("parallel_tool_calls", "disable_parallel_tool_use"), tools=[OWN_TOOL],
                               tool_choice={"type": "auto", "disable_parallel_tool_use": True}),
    "a schema": asks("mark_property", output_config={"format": {"type": "json_schema", "schema": SCHEMA}}),
    "effort": asks(("high", "HIGH"), output_config={"effort": "high"}),
    "ends": asks("mark-end", stop_sequences=["mark-end"]),
    "heat": asks(0.37, temperature=0.37),
    "a nucleus": asks(0.91, top_p=0.91),
    "the likeliest": asks(17, top_k=17),
    "a place": asks("mark-us", inference_geo="mark-us"),
    "speed": asks("fast", speed="fast"),
    "a container": asks("mark-container", container="mark-container"),
    "servers": asks("mark-server", mcp_servers=[{"type": "url", "url": "https://mark-server", "name": "x"}]),
    "what is new": asks("mark-new", mark_new="mark-new"),
}  # fmt: skip
