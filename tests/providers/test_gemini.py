"""What is peculiar to Gemini: calls without ids, signed thoughts, blocked prompts, several candidates, its errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.core import errors
from shared.core.errors import BadRequest, GatewayError, UpstreamError
from shared.core.usage import Usage
from shared.providers.adapter import Head
from tests.providers.exchange import completed, heard
from tests.providers.wires.gemini import WIRE, answer, candidate, event, stream
from tests.providers.wires.wire import HELLO, SECRET, Story

CALLS = Story(calls=(("", "f", {"a": 1}), ("", "g", {})), finish="tool_calls")
BUDGET = ("thinking-budget",)


def test_thoughts_are_paid_beside_what_is_said() -> None:
    """Both are the completion; what was cached is part of the prompt."""
    made = WIRE.adapter()
    completed(made, WIRE.whole(Story(texts=("x",))))
    assert made.usage == Usage(100, 20, cached=40, reasoning=5)


def test_calls_get_ids_and_go_back_signed() -> None:
    """The signature travels with the call; each result finds its function."""
    message = completed(WIRE.adapter(), WIRE.whole(CALLS))["choices"][0]["message"]
    ids = [call["id"] for call in message["tool_calls"]]
    assert len(set(ids)) == 2
    results = [{"role": "tool", "tool_call_id": id_, "content": "5"} for id_ in reversed(ids)]
    sent = WIRE.sent(messages=[*HELLO, message, *results])["contents"]
    assert [turn["role"] for turn in sent] == ["user", "model", "user"]
    first, second = sent[1]["parts"]
    assert first["thoughtSignature"] == "c2lnbmVk"
    assert "thoughtSignature" not in second
    assert [part["functionResponse"]["name"] for part in sent[2]["parts"]] == ["g", "f"]
    assert sent[2]["parts"][0]["functionResponse"]["response"] == {"result": "5"}


def test_streamed_calls_are_whole_and_signed() -> None:
    """As Google's own OpenAI endpoint has them."""
    chunks = heard(WIRE.streaming(), b"".join(stream(CALLS)))
    calls = [one for chunk in chunks for one in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert [(one["index"], one["function"]["arguments"]) for one in calls] == [(0, '{"a":1}'), (1, "{}")]
    assert calls[0]["extra_content"] == {"google": {"thought_signature": "c2lnbmVk"}}


@pytest.mark.parametrize(("quirks", "signed"), [((), True), (BUDGET, False)])
def test_a_call_of_unknown_origin_says_so(quirks: tuple[str, ...], signed: bool) -> None:  # noqa: FBT001
    """Models that want a signature get the word that is meant for this; only the first of a turn needs one."""
    calls = [{"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in (1, 2)]
    history = [*HELLO, {"role": "assistant", "tool_calls": calls}]
    made = WIRE.adapter(quirks=quirks, messages=history).request(SECRET)
    parts = json.loads(made.body)["contents"][1]["parts"]
    marks = [part.get("thoughtSignature") for part in parts]
    assert marks == (["skip_thought_signature_validator", None] if signed else [None, None])


def test_signed_text_goes_back_signed() -> None:
    """A signature without a call belongs to what was said."""
    parts = [{"text": "Hello"}, {"text": "", "thoughtSignature": "c2ln"}]
    body = json.dumps(answer(Story(), [candidate(parts, "STOP")])).encode()
    message = completed(WIRE.adapter(), body)["choices"][0]["message"]
    sent = WIRE.sent(messages=[*HELLO, message, *HELLO])["contents"][1]["parts"]
    assert sent == [{"text": "Hello", "thoughtSignature": "c2ln"}]


@pytest.mark.parametrize(
    ("effort", "quirks", "thinking"),
    [
        ("minimal", (), {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("max", (), {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("medium", BUDGET, {"thinkingBudget": 8192, "includeThoughts": True}),
        ("none", BUDGET, {"thinkingBudget": 0, "includeThoughts": False}),
    ],
)
def test_effort_is_a_level_or_a_number(effort: str, quirks: tuple[str, ...], thinking: dict[str, Any]) -> None:
    """By the model's generation."""
    assert WIRE.sent(quirks=quirks, reasoning_effort=effort)["generationConfig"]["thinkingConfig"] == thinking


@pytest.mark.parametrize(
    ("thinking", "quirks", "config"),
    [
        ({"type": "adaptive"}, (), {"includeThoughts": True}),
        ({"type": "enabled", "budget_tokens": 4000}, (), {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        ({"type": "enabled", "budget_tokens": 4000}, BUDGET, {"thinkingBudget": 4000, "includeThoughts": True}),
        ({"type": "disabled"}, BUDGET, {"thinkingBudget": 0, "includeThoughts": False}),
    ],
)
def test_clients_of_anthropics_dialect_are_understood(
    thinking: dict[str, Any], quirks: tuple[str, ...], config: dict[str, Any]
) -> None:
    """Where they say how to think."""
    assert WIRE.sent(quirks=quirks, thinking=thinking)["generationConfig"]["thinkingConfig"] == config


def test_what_has_another_name_there_is_renamed() -> None:
    """And keeps its value."""
    fields = {"temperature": 1.5, "top_p": 0.9, "top_k": 5, "seed": 7, "presence_penalty": 1, "frequency_penalty": -1}
    config = WIRE.sent(**fields, n=3, max_tokens=9, stop="END")["generationConfig"]
    assert config == {
        "temperature": 1.5, "topP": 0.9, "topK": 5, "seed": 7, "presencePenalty": 1, "frequencyPenalty": -1,
        "candidateCount": 3, "maxOutputTokens": 9, "stopSequences": ["END"],
    }  # fmt: skip


def test_json_without_a_schema_is_promised_too() -> None:
    """By its media type alone."""
    sent = WIRE.sent(response_format={"type": "json_object"})["generationConfig"]
    assert sent == {"responseMimeType": "application/json"}


LIKELY = {
    "chosenCandidates": [{"token": "H", "tokenId": 5, "logProbability": -0.5}, {"token": "ö"}],
    "topCandidates": [{"candidates": [{"token": "H", "logProbability": -0.5}, {"token": "W", "logProbability": -2}]}],
}


def test_what_only_some_models_take_can_be_ignored() -> None:
    """It is left out, also where there is a name for it."""
    ignores = ("logprobs", "top_logprobs", "presence_penalty")
    fields = {"logprobs": True, "top_logprobs": 2, "presence_penalty": 1, "seed": 7}
    assert WIRE.sent(ignores=ignores, **fields)["generationConfig"] == {"seed": 7}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_probabilities_are_told(streamed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Asked for by two members, and told of each token; JSON leaves out a zero, as of what was certain."""
    config = WIRE.sent(logprobs=True, top_logprobs=2)["generationConfig"]
    assert config == {"responseLogprobs": True, "logprobs": 2}
    assert WIRE.sent(logprobs=True)["generationConfig"] == {"responseLogprobs": True}
    found = answer(Story(), [candidate([{"text": "Hö"}], "STOP") | {"logprobsResult": LIKELY}])
    if streamed:
        [said, *_] = heard(WIRE.streaming(logprobs=True), event(found))
    else:
        said = completed(WIRE.adapter(logprobs=True), json.dumps(found).encode())
    first, second = said["choices"][0]["logprobs"]["content"]
    assert (first["token"], first["logprob"], first["bytes"]) == ("H", -0.5, [72])
    assert [(one["token"], one["logprob"]) for one in first["top_logprobs"]] == [("H", -0.5), ("W", -2)]
    assert second == {"token": "ö", "logprob": 0.0, "bytes": [195, 182], "top_logprobs": []}


@pytest.mark.parametrize(
    ("tier", "sent"), [("default", "standard"), ("flex", "flex"), ("priority", "priority"), ("auto", None)]
)
def test_tiers_are_named_as_google_does(tier: str, sent: str | None) -> None:
    """What is left open stays open."""
    assert WIRE.sent(service_tier=tier).get("serviceTier") == sent


@pytest.mark.parametrize(("choice", "mode"), [(None, "VALIDATED"), ("auto", "VALIDATED"), ("required", "ANY")])
def test_a_strict_schema_is_kept_to(choice: str | None, mode: str) -> None:
    """Of whichever tool; by what makes Gemini promise it."""
    tools = [{"type": "function", "function": {"name": name, "strict": name == "g"}} for name in "fg"]
    asked = {"tool_choice": choice} if choice else {}
    assert WIRE.sent(tools=tools, **asked)["toolConfig"]["functionCallingConfig"] == {"mode": mode}
    assert "toolConfig" not in WIRE.sent(tools=tools[:1])


@pytest.mark.parametrize(
    ("fields", "quirks", "param"),
    [
        ({"reasoning_effort": "none"}, (), "reasoning_effort"),
        ({"reasoning_effort": "none"}, ("thinking-always", *BUDGET), "reasoning_effort"),
        ({"parallel_tool_calls": False}, (), "parallel_tool_calls"),
        ({"thinking": {"type": "disabled"}}, (), "thinking"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y"}}]}]},
         (), "messages[0].content[0].image_url.url"),
        ({"messages": [*HELLO, {"role": "tool", "tool_call_id": "c9", "content": "x"}]}, (),
         "messages[1].tool_call_id"),
    ],
)  # fmt: skip
def test_what_gemini_does_not_do_is_named(fields: dict[str, Any], quirks: tuple[str, ...], param: str) -> None:
    """Before anything is sent."""
    with pytest.raises(BadRequest) as refused:
        WIRE.sent(quirks=quirks, **fields)
    assert refused.value.param == param


def test_media_go_inline_or_by_address() -> None:
    """Images, sound and documents."""
    found = [
        {"type": "image_url", "image_url": {"url": "https://x.invalid/a.PNG?size=1"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}},
    ]
    assert WIRE.sent(messages=[{"role": "user", "content": found}])["contents"][0]["parts"] == [
        {"fileData": {"mimeType": "image/png", "fileUri": "https://x.invalid/a.PNG?size=1"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}},
    ]


def test_a_blocked_prompt_is_a_refusal() -> None:
    """Not an empty answer, and not an error: nobody else should be asked."""
    found = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 7}}
    made = WIRE.adapter()
    choice = completed(made, json.dumps(found).encode())["choices"][0]
    assert (choice["finish_reason"], made.usage) == ("content_filter", Usage(7))
    assert "SAFETY" in choice["message"]["refusal"]
    last = heard(WIRE.streaming(n=2), event(found))[-1]["choices"][0]
    assert (last["finish_reason"], "SAFETY" in last["delta"]["refusal"]) == ("content_filter", True)


def test_several_candidates_come_in_order() -> None:
    """Whichever speaks first; all must have stopped."""
    frames = [
        event(answer(Story(), [candidate([{"text": "b"}], index=1)])),
        event(answer(Story(), [candidate([{"text": "a"}], "STOP", 0)])),
        event(answer(Story(), [candidate([], "MAX_TOKENS", 1)])),
    ]
    chunks = heard(WIRE.streaming(n=2), b"".join(frames))
    assert [choice["index"] for chunk in chunks for choice in chunk["choices"]] == [0, 1, 0, 0, 1]
    cut = WIRE.streaming(n=2)
    cut.chunk(b"".join(frames[:2]))
    with pytest.raises(UpstreamError):
        cut.end()


def test_a_broken_call_is_an_error() -> None:
    """Another target may do better."""
    body = answer(Story(), [candidate([], "MALFORMED_FUNCTION_CALL")])
    with pytest.raises(UpstreamError, match="MALFORMED"):
        WIRE.adapter().reply(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "body", "seen", "wait"),
    [
        (400, {"details": [{"reason": "API_KEY_INVALID"}], "message": "API key not valid."}, 502, None),
        (429, {"status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "17s"}], "message": "quota"}, 429, 17),
        (400, {"message": "Unknown name"}, 400, None),
    ],
)
def test_refusals_are_told_apart(status: int, body: dict[str, Any], seen: int, wait: float | None) -> None:
    """A bad key is not the caller's mistake; how long to wait stands in the body, for streams within an array."""
    for said in ({"error": body}, [{"error": body}]):
        made = WIRE.adapter()
        made.request(SECRET)
        error = made.error(Head(status, {}), json.dumps(said).encode())
        assert (error.status, error.retry_after) == (seen, wait)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("UNAVAILABLE", errors.UpstreamUnavailable),
        ("RESOURCE_EXHAUSTED", errors.UpstreamRateLimited),
        ("INTERNAL", errors.UpstreamError),
    ],
)
def test_an_error_in_the_stream_is_the_error_it_is(status: str, expected: type[GatewayError]) -> None:
    """At once, if nothing has left yet."""
    with pytest.raises(expected):
        WIRE.streaming().chunk(event({"error": {"status": status, "message": "no"}}))


def test_an_address_with_a_version_gets_no_other() -> None:
    """Another cloud's, for one."""
    made: Any = WIRE._replace(base_url="https://x.invalid/v1/projects/p/locations/l/publishers/google").adapter()
    assert made.request("").url.endswith("/publishers/google/models/m-1:generateContent")
    assert "x-goog-api-key" not in made.request("").headers
