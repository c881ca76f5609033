"""What is peculiar to Bedrock: its families, its caches, its errors in frames, and who signs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.core import errors
from shared.core.catalog import Provider, Target
from shared.core.errors import BadRequest, GatewayError, UpstreamError
from shared.core.usage import Usage
from shared.providers.adapter import Head, Signing
from shared.providers.bedrock import BedrockChat
from tests.providers.exchange import completed, heard
from tests.providers.wires.bedrock import WIRE, event, frame, stream, whole
from tests.providers.wires.wire import HELLO, MOMENT, Story

CLAUDE = "us.anthropic.claude-sonnet-5-5"
TOOL = {"type": "function", "function": {"name": "f"}}
CALLED = [
    *HELLO,
    {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]},
    {"role": "tool", "tool_call_id": "c", "content": "5"},
]
PROVIDER = Provider("bedrock", "bedrock", "https://bedrock-runtime.{region}.amazonaws.com")


def sent(model: str = CLAUDE, quirks: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    """Return what a model gets."""
    made: Any = WIRE.adapter(**fields)
    target = Target("bedrock", model, max_output=8000, quirks=quirks)
    request = BedrockChat(made._chat, target, PROVIDER, MOMENT).request("")
    return WIRE.judge(request._replace(url=WIRE.adapter().request("").url))


def test_the_region_is_the_targets() -> None:
    """Its name stays open until the edge, which knows its own, signs; a key is used instead where there is one."""
    made: Any = WIRE.adapter()
    target = Target("bedrock", "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.x", region="eu-west-1")
    adapter = BedrockChat(made._chat, target, PROVIDER, MOMENT)
    request = adapter.request("")
    assert request.signing == Signing("bedrock", "eu-west-1")
    assert request.url.endswith("/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Feu.x/converse")
    keyed = adapter.request("bedrock-api-key")
    assert (keyed.signing, keyed.headers["authorization"]) == (None, "Bearer bedrock-api-key")
    assert keyed.url.startswith("https://bedrock-runtime.eu-west-1.amazonaws.com/")


def test_what_the_cache_took_is_counted_apart() -> None:
    """As at Anthropic."""
    made = WIRE.adapter()
    completed(made, WIRE.whole(Story(texts=("x",))))
    assert made.usage == Usage(100, 20, cached=40, cache_write=10, cache_write_long=6)


def test_thoughts_go_back_as_they_came() -> None:
    """Signed, and only those of Bedrock; streamed ones carry their signature."""
    story = Story(thoughts=("Hmm",), texts=("42",))
    message = completed(WIRE.adapter(), WIRE.whole(story))["choices"][0]["message"]
    redacted = {"type": "reasoning.encrypted", "data": "b3BhcXVl"}
    foreign = {"type": "reasoning.text", "text": "x", "signature": "y", "format": "anthropic-claude-v1"}
    message["reasoning_details"] += [redacted, foreign]
    assert WIRE.sent(messages=[*HELLO, message, *HELLO])["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "Hmm", "signature": "sig-Hmm"}}},
        {"reasoningContent": {"redactedContent": "b3BhcXVl"}},
        {"text": "42"},
    ]
    chunks = heard(WIRE.streaming(), b"".join(stream(story)))
    details = [one for chunk in chunks for one in chunk["choices"][0]["delta"].get("reasoning_details", ())]
    assert [one["signature"] for one in details if "signature" in one] == ["sig-Hmm"]


def test_a_claude_is_told_to_think_as_anthropic_does() -> None:
    """Beside the request; others are told the effort alone."""
    body = sent(reasoning_effort="minimal")
    assert body["additionalModelRequestFields"] == {"thinking": {"type": "adaptive", "display": "summarized"}}
    assert body["outputConfig"] == {"effort": "low"}
    other = sent("amazon.nova-2-lite-v1:0", reasoning_effort="high")
    assert (other["outputConfig"], "additionalModelRequestFields" in other) == ({"effort": "high"}, False)
    assert "outputConfig" not in sent("amazon.nova-2-lite-v1:0", thinking={"type": "adaptive"})


def test_samples_where_the_model_does() -> None:
    """Claude's later models do not, at Bedrock either."""
    assert sent("amazon.nova-2-lite-v1:0", temperature=0.3, top_p=0.5)["inferenceConfig"] == {
        "maxTokens": 8000, "temperature": 0.3, "topP": 0.5
    }  # fmt: skip
    assert sent(quirks=("sampling",), temperature=0.3)["inferenceConfig"]["temperature"] == 0.3


def test_the_likeliest_tokens_are_told_as_the_family_wants_it() -> None:
    """Beside the request, where thinking stands too."""
    fields = sent(quirks=("sampling",), top_k=5, reasoning_effort="low")["additionalModelRequestFields"]
    assert (fields["top_k"], "thinking" in fields) == (5, True)
    nova = sent("us.amazon.nova-2-lite-v1:0", top_k=5)
    assert nova["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 5}}


def test_a_claude_tells_the_sequence_that_ended_it() -> None:
    """Where it is asked to, as the documentation shows it."""
    assert sent(stop="END")["additionalModelResponseFieldPaths"] == ["/stop_sequence"]
    assert "additionalModelResponseFieldPaths" not in sent("amazon.nova-2-lite-v1:0", stop="END")
    more = {"additionalModelResponseFields": {"stop_sequence": "END"}}
    found = completed(WIRE.adapter(), json.dumps({**whole(Story(("x",))), **more}).encode())
    frames = stream(Story(("x",)))
    frames[-2] = event("messageStop", {"stopReason": "stop_sequence", **more})
    for told in (found, heard(WIRE.streaming(), b"".join(frames))[-1]):
        assert told["choices"][0]["stop_reason"] == "END"


@pytest.mark.parametrize("tier", ["default", "flex", "priority"])
def test_tiers_have_the_same_names(tier: str) -> None:
    """But for the one that leaves it open."""
    assert sent(service_tier=tier)["serviceTier"] == {"type": tier}
    assert "serviceTier" not in sent(service_tier="auto")


def test_tools_that_may_not_be_used_are_left_out() -> None:
    """There is no word for it; where calls were made before, they must be there, so that is refused."""
    assert "toolConfig" not in sent(tools=[TOOL], tool_choice="none")
    assert sent(tools=[TOOL], messages=CALLED)["toolConfig"]


@pytest.mark.parametrize(
    ("fields", "model", "param"),
    [
        ({"temperature": 0.3}, CLAUDE, "temperature"),
        ({"reasoning_effort": "none"}, "amazon.nova-2-lite-v1:0", "reasoning_effort"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "amazon.nova-2-lite-v1:0", "thinking"),
        ({"response_format": {"type": "json_object"}}, CLAUDE, "response_format.type"),
        ({"tools": [TOOL], "tool_choice": "none", "messages": CALLED}, CLAUDE, "tool_choice"),
        ({"top_k": 5}, CLAUDE, "top_k"),
        ({"top_k": 5}, "meta.llama4-maverick-17b-instruct-v1:0", "top_k"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]},
         CLAUDE, "messages[0].content[0].image_url.url"),
    ],
)  # fmt: skip
def test_what_bedrock_does_not_do_is_named(fields: dict[str, Any], model: str, param: str) -> None:
    """Before anything is sent."""
    with pytest.raises(BadRequest) as refused:
        sent(model, **fields)
    assert refused.value.param == param


def test_marks_for_the_cache_are_blocks() -> None:
    """Where they stand, a cache may begin; failures of tools and documents have members of their own."""
    mark = {"type": "ephemeral", "ttl": "1h"}
    point = {"cachePoint": {"type": "default", "ttl": "1h"}}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    file = {"filename": "my_file.v2.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}
    made: Any = WIRE.adapter()
    chat = made._chat.__class__(**{name: getattr(made._chat, name) for name in made._chat.__struct_fields__})
    chat.raw["messages"] = [
        {"role": "system", "content": [{"type": "text", "text": "Long.", "cache_control": mark}]},
        {"role": "user", "content": [{"type": "file", "file": file}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "boom", "is_error": True},
    ]
    body = WIRE.judge(BedrockChat(chat, made._target, made._provider, MOMENT).request(""))
    assert body["system"] == [{"text": "Long."}, point]
    document = body["messages"][0]["content"][0]["document"]
    assert (document["format"], document["name"]) == ("pdf", "my file v2 pdf")
    result = body["messages"][2]["content"][0]["toolResult"]
    assert (result["status"], result["content"]) == ("error", [{"text": "boom"}])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("throttlingException", errors.UpstreamRateLimited),
        ("serviceUnavailableException", errors.UpstreamUnavailable),
        ("modelStreamErrorException", errors.UpstreamError),
    ],
)
def test_an_exception_in_the_stream_is_the_error_it_is(kind: str, expected: type[GatewayError]) -> None:
    """At once if nothing has left yet, else behind what has."""
    broken = frame({"message": "no"}, message_type="exception", exception_type=kind)
    with pytest.raises(expected):
        WIRE.streaming().chunk(broken)
    made = WIRE.streaming()
    assert made.chunk(b"".join(stream(Story(texts=("Hello",)))[:3]) + broken)
    with pytest.raises(expected):
        made.end()
    with pytest.raises(UpstreamError, match="reset"):
        WIRE.streaming().chunk(frame({}, message_type="error", error_code="x", error_message="reset"))


def test_a_model_that_failed_is_not_the_requests_fault() -> None:
    """Status 424 there; another target may do better."""
    error = WIRE.adapter().error(Head(424, {}), json.dumps({"message": "model error"}).encode())
    assert (error.status, type(error)) == (502, UpstreamError)


def test_malformed_output_is_an_error() -> None:
    """Whole or streamed."""
    body = {**whole(Story()), "stopReason": "malformed_tool_use"}
    with pytest.raises(UpstreamError):
        WIRE.adapter().reply(json.dumps(body).encode())
    with pytest.raises(UpstreamError):
        WIRE.streaming().chunk(event("messageStop", {"stopReason": "malformed_model_output"}))
