"""What Anthropic is sent: thinking by the model's generation, its versions, limits, forms, results and documents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from shared.core.errors import BadRequest
from shared.providers.anthropic import AnthropicChat
from tests.providers.wires.anthropic import WIRE
from tests.providers.wires.wire import HELLO, SECRET

EPHEMERAL = {"type": "ephemeral", "ttl": "1h"}
BUDGET = ("sampling", "thinking-budget")


@pytest.mark.parametrize(
    ("fields", "quirks", "thinking", "effort"),
    [
        ({"reasoning_effort": "minimal"}, (), {"type": "adaptive", "display": "summarized"}, "low"),
        ({"reasoning_effort": "xhigh"}, (), {"type": "adaptive", "display": "summarized"}, "xhigh"),
        ({"reasoning_effort": "none"}, (), {"type": "disabled"}, None),
        ({"reasoning_effort": "low"}, BUDGET, {"type": "enabled", "budget_tokens": 1600}, None),
        ({"reasoning_effort": "max", "max_tokens": 1025}, BUDGET, {"type": "enabled", "budget_tokens": 1024}, None),
        ({"thinking": {"type": "between_tools"}}, (), {"type": "between_tools"}, None),
        ({}, (), None, None),
    ],
)
def test_effort_is_told_as_the_model_takes_it(
    fields: dict[str, Any], quirks: tuple[str, ...], thinking: dict[str, Any] | None, effort: str | None
) -> None:
    """A word for most, a number of tokens for some; the client's own `thinking` passes."""
    body = WIRE.sent(quirks=quirks, **fields)
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == effort


@pytest.mark.parametrize(
    ("fields", "quirks", "param"),
    [
        ({"service_tier": "flex"}, (), "service_tier"),
        ({"logprobs": True}, (), "logprobs"),
        ({"n": 2}, (), "n"),
        ({"reasoning_effort": "none"}, ("thinking-always",), "reasoning_effort"),
        ({"reasoning_effort": "low", "max_tokens": 1024}, BUDGET, "reasoning_effort"),
        ({"temperature": 1.5}, ("sampling",), "temperature"),
        ({"temperature": 0.5}, (), "temperature"),
        ({"top_k": 5}, (), "top_k"),
        ({"seed": 1}, (), "seed"),
        ({"response_format": {"type": "json_object"}}, (), "response_format.type"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, (),
         "response_format.json_schema.schema"),
        ({"messages": [{"role": "user", "content": [
            {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]}]}, (), "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
         (), "messages[0].content[0].file"),
        ({"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA=="}}]}]},
         (), "messages[0].content[0].image_url.url"),
    ],
)  # fmt: skip
def test_what_claude_does_not_do_is_named(fields: dict[str, Any], quirks: tuple[str, ...], param: str) -> None:
    """And why, where it is the model that does not."""
    with pytest.raises(BadRequest) as refused:
        WIRE.sent(quirks=quirks, **fields)
    assert refused.value.param == param


def test_models_that_take_a_temperature_get_it_in_the_older_version() -> None:
    """The newer one refuses even the default."""
    body = WIRE.sent(quirks=("sampling",), temperature=0.2, top_p=0.9, top_k=5)
    assert (body["temperature"], body["top_p"], body["top_k"]) == (0.2, 0.9, 5)


@pytest.mark.parametrize(("asked", "sent"), [({}, 8000), ({"max_tokens": 9}, 9), ({"max_tokens": 9000}, 8000)])
def test_an_answer_always_has_a_limit(asked: dict[str, int], sent: int) -> None:
    """The client's, and never more than the model has."""
    assert WIRE.sent(**asked)["max_tokens"] == sent


def test_calls_may_be_kept_apart() -> None:
    """With or without a tool that must be called."""
    tools = [{"type": "function", "function": {"name": "f", "strict": True}}]
    one = {"disable_parallel_tool_use": True}
    assert WIRE.sent(tools=tools, parallel_tool_calls=False)["tool_choice"] == {"type": "auto", **one}
    sent = WIRE.sent(tools=tools, parallel_tool_calls=False, tool_choice="required")
    assert sent["tool_choice"] == {"type": "any", **one}
    assert sent["tools"][0]["input_schema"] == {"type": "object", "properties": {}, "additionalProperties": False}


def test_a_form_is_closed_as_anthropic_wants_it() -> None:
    """Every object says that it has no further members; the client's own schema stays as it was."""
    inner = {"type": "object", "properties": {"type": {"type": "string"}}}
    schema = {"type": "object", "properties": {"a": inner, "b": {"type": "object", "additionalProperties": True}}}
    kept = json.dumps(schema)
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    sent = WIRE.sent(response_format=form)["output_config"]["format"]["schema"]
    assert sent["additionalProperties"] is False
    assert sent["properties"]["a"] == {**inner, "additionalProperties": False}
    assert sent["properties"]["b"]["additionalProperties"] is True
    assert json.dumps(schema) == kept


def test_results_of_tools_may_be_failures_and_images() -> None:
    """Several answer one turn, in one turn; marks for the cache stay where they were put."""
    calls = [{"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in (1, 2)]
    image = {"type": "image_url", "image_url": {"url": "https://x.invalid/a.png"}, "cache_control": EPHEMERAL}
    body = {
        **made_chat().raw,
        "messages": [
            {"role": "system", "content": "Long.", "cache_control": EPHEMERAL},
            *HELLO,
            {"role": "assistant", "content": "", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c1", "content": "boom", "is_error": True},
            {"role": "tool", "tool_call_id": "c2", "content": [image]},
        ],
    }
    made = AnthropicChat(replace(made_chat(), raw=body), *target())
    sent = WIRE.judge(made.request(SECRET))
    assert sent["system"] == [{"type": "text", "text": "Long.", "cache_control": EPHEMERAL}]
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user"]
    first, second = sent["messages"][2]["content"]
    assert first == {
        "type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "boom"}], "is_error": True
    }  # fmt: skip
    url = {"type": "url", "url": "https://x.invalid/a.png"}
    assert second["content"] == [{"type": "image", "source": url, "cache_control": EPHEMERAL}]


def made_chat(**fields: Any) -> Any:
    """Return a request, parsed."""
    made: Any = WIRE.adapter(**fields)
    return made._chat


def target() -> tuple[Any, Any, Any]:
    """Return where requests go."""
    made: Any = WIRE.adapter()
    return made._target, made._provider, made._moment


def test_documents_are_read() -> None:
    """As data URLs of PDFs."""
    file = {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}
    sent = WIRE.sent(messages=[{"role": "user", "content": [{"type": "file", "file": file}]}])
    source = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    assert sent["messages"][0]["content"] == [{"type": "document", "source": source, "title": "a.pdf"}]


def test_plain_text_is_a_document_too() -> None:
    """As what it is, and not as base64; a PDF or a text is all that can be read."""
    file = {"file_data": "data:text/plain;base64,SMOkbGxv"}
    sent = WIRE.sent(messages=[{"role": "user", "content": [{"type": "file", "file": file}]}])
    source = {"type": "text", "media_type": "text/plain", "data": "Hällo"}
    assert sent["messages"][0]["content"] == [{"type": "document", "source": source}]
    for odd, param in (("data:text/plain;base64,/w==", ".file_data"), ("data:text/csv;base64,YQ==", "")):
        with pytest.raises(BadRequest) as refused:
            WIRE.sent(messages=[{"role": "user", "content": [{"type": "file", "file": {"file_data": odd}}]}])
        assert refused.value.param == f"messages[0].content[0].file{param}"


@pytest.mark.parametrize(
    ("asked", "sent"), [({}, None), ({"service_tier": "auto"}, None), ({"service_tier": "default"}, "standard_only")]
)
def test_the_usual_tier_is_never_one_that_was_bought(asked: dict[str, str], sent: str | None) -> None:
    """Where a client asks for it; else the account decides, as at OpenAI."""
    assert WIRE.sent(**asked).get("service_tier") == sent
