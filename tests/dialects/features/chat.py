"""What can be asked for in chat completions."""

from __future__ import annotations

from tests.dialects.features.feature import PIXEL, SCHEMA, SHEET, TOOL, asks, says, user

FILE = {"file_data": f"data:application/pdf;base64,{SHEET}"}
CALL = {"id": "mark-call", "type": "function", "function": {"name": "mark_called", "arguments": '{"mark-given": 417}'}}
CHAT = {
    "a text": says("mark-text", said={"role": "user", "content": "mark-text"}),
    "texts": says("mark-1", "mark-2", said=user(*({"type": "text", "text": f"mark-{n}"} for n in (1, 2)))),
    "instructions": says("mark-system", said={"role": "system", "content": "mark-system"}),
    "a developer's": says("mark-dev", said={"role": "developer", "content": [{"type": "text", "text": "mark-dev"}]}),
    "an image": says(
        PIXEL, said=user({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}})
    ),
    "an image elsewhere": says(
        "https://mark.example/x.png", said=user({"type": "image_url", "image_url": {"url": "https://mark.example/x.png"}})
    ),
    "a sheet": says(SHEET, said=user({"type": "file", "file": FILE})),
    "a sheet's name": says(
        ("mark-sheet.pdf", "mark-sheet pdf"),
        said=user({"type": "file", "file": {**FILE, "filename": "mark-sheet.pdf"}}),
    ),
    "a plain file": says(
        ("bWFyay1wbGFpbg==", "mark-plain"),
        said=user({"type": "file", "file": {"file_data": "data:text/plain;base64,bWFyay1wbGFpbg=="}}),
    ),
    "a file by id": says("mark-file", said=user({"type": "file", "file": {"file_id": "mark-file"}})),
    "sound": says("MARK", said=user({"type": "input_audio", "input_audio": {"data": "MARK", "format": "wav"}})),
    "an answer": says("mark-said", said=[{"role": "assistant", "content": "mark-said"}]),
    "a refusal": says("mark-no", said={"role": "assistant", "content": None, "refusal": "mark-no"}),
    "a refusal in parts": says(
        "mark-no", said={"role": "assistant", "content": [{"type": "refusal", "refusal": "mark-no"}]}
    ),
    "a spoken answer": says("mark-audio", said={"role": "assistant", "audio": {"id": "mark-audio"}}),
    "calls": says(
        "mark-call", "mark_called", "mark-given", 417, "mark-result",
        said=[
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "mark-call", "content": "mark-result"},
        ],
    ),
    "a call beside words": says(
        "mark-words", "mark_called", "mark-part",
        said=[
            {"role": "assistant", "content": "mark-words", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "mark-call", "content": [{"type": "text", "text": "mark-part"}]},
        ],
    ),
    "a call with free text": says(
        "mark-free",
        said=[
            {
                "role": "assistant",
                "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "f", "input": "mark-free"}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "x"},
        ],
    ),
    "an older call": says(
        "mark-older",
        said=[
            {"role": "assistant", "content": None, "function_call": {"name": "mark-older", "arguments": "{}"}},
            {"role": "function", "name": "mark-older", "content": "x"},
        ],
    ),
    "tools": asks("mark_tool", "mark-tool-described", "mark_property", "mark-described",
                  tools=[{"type": "function", "function": TOOL}]),
    "strict tools": asks("mark_tool", ("strict", "VALIDATED"),
                         tools=[{"type": "function", "function": {**TOOL, "strict": True}}]),
    "tools that take text": asks("mark_free", tools=[{"type": "custom", "custom": {"name": "mark_free"}}]),
    "older tools": asks("mark_tool", functions=[TOOL]),
    "a tool to use": asks(
        "mark_tool", ("tool", "ANY", "required", "function"),
        tools=[{"type": "function", "function": TOOL}],
        tool_choice={"type": "function", "function": {"name": "mark_tool"}},
    ),
    "any tool": asks(
        ("required", "any", "ANY"), tools=[{"type": "function", "function": TOOL}], tool_choice="required"
    ),
    "one tool at a time": asks(
        ("parallel_tool_calls", "disable_parallel_tool_use"),
        tools=[{"type": "function", "function": TOOL}], parallel_tool_calls=False,
    ),
    "JSON": asks(("json_object", "application/json"), response_format={"type": "json_object"}),
    "a schema": asks(
        "mark_property", "mark-described", "mark-form-described",
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "form", "description": "mark-form-described", "schema": SCHEMA},
        },
    ),
    "an end": asks("mark-end", stop="mark-end"),
    "ends": asks("mark-end-1", "mark-end-2", stop=["mark-end-1", "mark-end-2"]),
    "a bound": asks(1234, max_tokens=1234),
    "a newer bound": asks(1234, max_completion_tokens=1234),
    "heat": asks(0.37, temperature=0.37),
    "a nucleus": asks(0.91, top_p=0.91),
    "several": asks(3, n=3),
    "a seed": asks(7341, seed=7341),
    "presence": asks(0.21, presence_penalty=0.21),
    "frequency": asks(0.22, frequency_penalty=0.22),
    "a bias": asks("50256", logit_bias={"50256": 7}),
    "probabilities": asks(("logprobs", "responseLogprobs"), 4, logprobs=True, top_logprobs=4),
    "effort": asks(("high", "HIGH"), reasoning_effort="high"),
    "no words": asks("low", verbosity="low"),
    "a tier": asks("flex", service_tier="flex"),
    "a spoken one": asks("wav", modalities=["text", "audio"], audio={"format": "wav", "voice": "x"}),
    "a prediction": asks("mark-predicted", prediction={"type": "content", "content": "mark-predicted"}),
    "a search": asks("web_search_options", web_search_options={}),
    "a verdict": asks("moderation", moderation=True),
    "what nobody knows": asks("mark-new", mark_new="mark-new"),
}  # fmt: skip
