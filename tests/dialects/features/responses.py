"""What can be asked for in OpenAI's Responses API, and in its completions."""

from __future__ import annotations

from tests.dialects.features.feature import PIXEL, SCHEMA, SHEET, TOOL, asks, says, user

OUTPUT = {"type": "function_call_output", "call_id": "mark-call", "output": "mark-result"}
FUNCTION_CALL = {
    "type": "function_call",
    "call_id": "mark-call",
    "name": "mark_called",
    "arguments": '{"mark-given": 417}',
}
RESPONSES = {
    "instructions": asks("mark-system", instructions="mark-system"),
    "a text": says("mark-text", said=user({"type": "input_text", "text": "mark-text"})),
    "an image": says(PIXEL, said=user({"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"})),
    "an image by id": says("mark-file", said=user({"type": "input_image", "file_id": "mark-file"})),
    "a sheet": says(SHEET, said=user({"type": "input_file", "file_data": f"data:application/pdf;base64,{SHEET}"})),
    "an answer": says(
        "mark-said", said={"role": "assistant", "content": [{"type": "output_text", "text": "mark-said"}]}
    ),
    "a refusal": says("mark-no", said={"role": "assistant", "content": [{"type": "refusal", "refusal": "mark-no"}]}),
    "calls": says("mark-call", "mark_called", "mark-given", 417, "mark-result", said=[FUNCTION_CALL, OUTPUT]),
    "a call that shows": says("mark-shown", PIXEL, said=[FUNCTION_CALL, {**OUTPUT, "output": [
        {"type": "input_text", "text": "mark-shown"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"},
    ]}]),
    "a call with free text": says("mark-free", said=[
        {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "mark-free"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "x"},
    ]),
    "an item by reference": says("mark-item", said={"type": "item_reference", "id": "mark-item"}),
    "tools": asks("mark_tool", "mark-tool-described", "mark_property", tools=[{"type": "function", **TOOL}]),
    "strict tools": asks(("strict", "VALIDATED"), tools=[{"type": "function", **TOOL, "strict": True}]),
    "tools of OpenAI's": asks("web_search", tools=[{"type": "web_search"}]),
    "a tool to use": asks("mark_tool", ("tool", "ANY", "function"), tools=[{"type": "function", **TOOL}],
                          tool_choice={"type": "function", "name": "mark_tool"}),
    "one tool at a time": asks(("parallel_tool_calls", "disable_parallel_tool_use"),
                               tools=[{"type": "function", **TOOL}], parallel_tool_calls=False),
    "a schema": asks("mark_property", "mark-form-described", text={"format": {
        "type": "json_schema", "name": "form", "description": "mark-form-described", "schema": SCHEMA,
    }}),
    "JSON": asks(("json_object", "application/json"), text={"format": {"type": "json_object"}}),
    "few words": asks("low", text={"verbosity": "low"}),
    "effort": asks(("high", "HIGH"), reasoning={"effort": "high"}),
    "a bound": asks(1234, max_output_tokens=1234),
    "heat": asks(0.37, temperature=0.37),
    "a nucleus": asks(0.91, top_p=0.91),
    "probabilities": asks(("logprobs", "responseLogprobs"), 4, top_logprobs=4),
    "a tier": asks("flex", service_tier="flex"),
    "what came before": asks("mark-before", previous_response_id="mark-before"),
    "what is new": asks("mark-new", mark_new="mark-new"),
}  # fmt: skip

COMPLETIONS = {
    "a suffix": asks("mark-suffix", suffix="mark-suffix"),
    "tokens": asks(417, prompt=[417, 418]),
    "several prompts": asks("mark-a", "mark-b", prompt=["mark-a", "mark-b"]),
    "the best": asks("best_of", best_of=5),
    "probabilities": asks(("logprobs", "responseLogprobs"), 4, logprobs=4),
    "an end": asks("mark-end", stop="mark-end"),
    "a bound": asks(1234, max_tokens=1234),
    "heat": asks(0.37, temperature=0.37),
    "several": asks(3, n=3),
    "a seed": asks(7341, seed=7341),
    "a bias": asks("50256", logit_bias={"50256": 7}),
    "what is new": asks("mark-new", mark_new="mark-new"),
}
