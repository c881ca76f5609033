"""OpenAI's older completions: what a chat can do for them, what needs a target of their own, and what SDKs read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion

from shared.core import sse
from shared.core.catalog import Provider, Target
from shared.core.errors import BadRequest, GatewayError, Untranslatable, UpstreamError
from shared.core.usage import Usage
from shared.dialects.completions import COMPLETIONS
from shared.providers.adapter import Head
from shared.providers.registry import adapter_for
from tests.dialects.test_anthropic_writer import piece
from tests.providers.exchange import DONE, SECRET, events
from tests.providers.wires.stories import STORIES, WIRES
from tests.providers.wires.wire import MOMENT

if TYPE_CHECKING:
    from shared.core.chat import Chat
    from shared.providers.adapter import Adapter
    from tests.providers.wires.wire import Story, Wire

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)
HOST = Provider("ours", "openai", "http://127.0.0.1:9/v1")
ECHOED: dict[str, Any] = {"tokens": ["Hi"], "token_logprobs": [None], "top_logprobs": None, "text_offset": [0]}
TOKEN = {"token": "Hel", "logprob": -0.5, "bytes": [72]}
LIKELY = {"content": [{**TOKEN, "top_logprobs": [TOKEN, {**TOKEN, "token": "Wo"}]}, {**TOKEN, "token": "lo"}]}


def parsed(**fields: Any) -> Chat:
    """Parse a request with these fields."""
    return COMPLETIONS.parse(json.dumps({"model": "m", "prompt": "Say", **fields}).encode())  # type: ignore[return-value]


def made(wire: str, target: Target, **fields: Any) -> tuple[Chat, Adapter, Any]:
    """Make the adapter that serves a request with these fields; returns what it sends as well."""
    request = parsed(**fields)
    adapter = adapter_for(wire, "chat")(request, target, HOST, MOMENT)
    return request, adapter, adapter.request(SECRET)


def told(out: bytes) -> list[dict[str, Any]]:
    """Return the choices that a stream tells, as strictly as the SDK can look; usage comes last, if at all."""
    assert out.endswith(DONE)
    found = [json.loads(event.data) for event in sse.Decoder().feed(out.removesuffix(DONE))]
    if found[-1].get("usage"):
        assert found.pop()["choices"] == []
        assert all(one["usage"] is None for one in found)
    for one in found:
        [choice] = one["choices"]
        whole = {**choice, "finish_reason": choice["finish_reason"] or "stop"}  # the SDK's type knows no null here
        Completion.model_validate({**one, "choices": [whole]}, strict=True)
    return [one["choices"][0] for one in found]


def test_a_prompt_is_what_the_user_says() -> None:
    """All other members keep their names, but for the probabilities; an answer has 16 tokens, if nobody says more."""
    request = parsed(temperature=0.5, n=2, seed=1, stop=["x"], logit_bias={"5": 1}, user="u", logprobs=3, top_k=4)
    assert request.raw == {
        "model": "m", "messages": [{"role": "user", "content": "Say"}], "temperature": 0.5, "n": 2, "seed": 1,
        "stop": ["x"], "logit_bias": {"5": 1}, "user": "u", "logprobs": True, "top_logprobs": 3, "top_k": 4,
        "max_tokens": 16,
    }  # fmt: skip
    assert (request.n, request.max_tokens, request.native_only) == (2, 16, "")
    assert parsed(prompt=["Say"], logprobs=0).raw["messages"] == request.raw["messages"]
    assert "top_logprobs" not in parsed(logprobs=0).raw
    assert (parsed(max_tokens=99).max_tokens, parsed(stream=True).stream) == (99, True)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [""]}, "prompt[0]"),
        ({"prompt": ["a", 1]}, "prompt[1]"),
        ({"prompt": ["a", [1]]}, "prompt[1]"),
        ({"prompt": [1, -1]}, "prompt[0]"),
        ({"prompt": [[1], []]}, "prompt[1]"),
        ({"prompt": ["x"] * 129}, "prompt"),
        ({"model": ""}, "model"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"n": 3, "best_of": 2}, "best_of"),
        ({"best_of": 21}, "best_of"),
        ({"logprobs": 6}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"echo": 1}, "echo"),
        ({"suffix": 1}, "suffix"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"temperature": 3}, "temperature"),
        ({"stream_options": {}}, "stream_options"),
        ({"messages": []}, "messages"),
        ({"tools": []}, "tools"),
        ({"max_completion_tokens": 9}, "max_completion_tokens"),
    ],
)
def test_what_is_wrong_is_named(fields: Any, param: str) -> None:
    """By the client's own word."""
    with pytest.raises(BadRequest) as refused:
        parsed(**fields)
    assert refused.value.param == param


@given(JSON, JSON, JSON)
def test_anything_is_parsed_or_refused(prompt: Any, logprobs: Any, rest: Any) -> None:
    """Never another exception; what is parsed has a bound, and answers that are held for."""
    try:
        request = parsed(prompt=prompt, logprobs=logprobs, n=rest, best_of=rest, max_tokens=rest, suffix=rest)
    except GatewayError:
        return
    assert 0 < request.n <= 20 * 128
    assert request.max_tokens


@pytest.mark.parametrize(
    ("fields", "field", "answers"),
    [
        ({"prompt": ["a", "b"], "n": 2}, "prompt", 4),
        ({"prompt": [1, 2]}, "prompt", 1),
        ({"prompt": [[1], [2], [3]]}, "prompt", 3),
        ({"suffix": "end"}, "suffix", 1),
        ({"echo": True, "logprobs": 0}, "echo", 1),
        ({"best_of": 3}, "best_of", 3),
        ({"best_of": 2, "n": 2}, "", 2),
        ({"suffix": "", "echo": True, "best_of": 1}, "", 1),
    ],
)
def test_what_no_chat_can_do_is_marked(fields: Any, field: str, answers: int) -> None:
    """It is served by those alone that go on with texts; all answers are held for, those that are thrown away too."""
    request = parsed(**fields)
    assert (request.native_only, request.n) == (field, answers)


def test_an_error_names_the_clients_own_field() -> None:
    """Where the hub calls it otherwise."""
    error = Untranslatable("The provider 'x' cannot serve 'top_logprobs'.", param="top_logprobs")
    for out in (COMPLETIONS.envelope(error), COMPLETIONS.writer(parsed()).failed(error)[6:]):
        found = json.loads(out)["error"]
        assert (found["param"], found["message"]) == ("logprobs", "The provider 'x' cannot serve 'logprobs'.")


def test_a_field_of_chats_keeps_its_name() -> None:
    """It is the client that wrote it."""
    with pytest.raises(BadRequest) as refused:
        parsed(messages=[])
    assert json.loads(COMPLETIONS.envelope(refused.value))["error"]["param"] == "messages"


@pytest.mark.parametrize("wire", WIRES, ids=[wire.dialect for wire in WIRES])
@pytest.mark.parametrize("name", ["text", "nothing", "cut short", "refused", "thought"])
def test_any_provider_answers(wire: Wire, name: str) -> None:
    """Whole and streamed alike, with the SDK's reasons, and usage only where it was asked for."""
    story: Story = STORIES[name]
    for stream in (False, True):
        more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        request = parsed(echo=True, max_tokens=100, **more)
        provider = Provider(wire.dialect, wire.dialect, wire.base_url)
        adapter = adapter_for(wire.dialect, "chat")(request, Target(wire.dialect, "m-1"), provider, MOMENT)
        wire.judge(adapter.request(wire.secret))
        writer = COMPLETIONS.writer(request)
        if not stream:
            found = Completion.model_validate(
                json.loads(writer.whole(adapter.reply(wire.whole(story)), adapter.usage)), strict=True
            )
            text, finish = found.choices[0].text, found.choices[0].finish_reason
        else:
            adapter.check(Head(200, {"content-type": wire.stream_type}))
            chunks = [*adapter.chunk(b"".join(wire.stream(story))), *adapter.end()]
            out = b"".join(map(writer.chunk, chunks)) + writer.end(Usage(3, 2))
            pieces = told(out)
            text, finish = "".join(one["text"] for one in pieces), pieces[-1]["finish_reason"]
        assert text.startswith("Say" + "".join(story.texts))
        assert finish == story.finish


def test_a_whole_answer() -> None:
    """With the probabilities as they were told then, from where the text begins."""
    request = parsed(echo=True, n=2, logprobs=2)
    choices = [
        {"index": at, "message": {"content": "Hello"}, "logprobs": LIKELY, "finish_reason": reason}
        for at, reason in enumerate(("length", "tool_calls"))
    ]
    whole = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": choices}
    out = COMPLETIONS.writer(request).whole(whole, Usage(3, 2))
    found = Completion.model_validate(json.loads(out), strict=True)
    assert (found.id, found.object, found.usage and found.usage.total_tokens) == ("cmpl-1", "text_completion", 5)
    assert [(one.index, one.text, one.finish_reason) for one in found.choices] == [
        (0, "SayHello", "length"),
        (1, "SayHello", "stop"),
    ]
    likely = found.choices[0].logprobs
    assert likely
    assert (likely.tokens, likely.token_logprobs, likely.text_offset) == (["Hel", "lo"], [-0.5, -0.5], [3, 6])
    assert likely.top_logprobs == [{"Hel": -0.5, "Wo": -0.5}, {}]


def test_a_stream() -> None:
    """The echo comes once, with the first piece of each choice; offsets go on; what says nothing is no event."""
    writer = COMPLETIONS.writer(parsed(echo=True, stream=True, logprobs=1))
    likely = {"content": [{**TOKEN, "token": "lo"}]}
    pieces = [piece({"role": "assistant"}), piece({"content": "Hel"}), piece({}), piece({"content": "lo"})]
    pieces[3]["choices"][0]["logprobs"] = likely
    out = b"".join(map(writer.chunk, [*pieces, piece({}, "stop")])) + writer.end(Usage())
    found = told(out)
    assert [choice["text"] for choice in found] == ["Say", "Hel", "lo", ""]
    assert found[2]["logprobs"]["text_offset"] == [6]


NATIVE: dict[str, dict[str, Any]] = {
    "plain": {},
    "several": {"prompt": ["a", "b"]},
    "tokens": {"prompt": [[1, 2], [3]]},
    "all": {"suffix": "end", "echo": True, "logprobs": 0, "best_of": 3},
}


@pytest.mark.parametrize("fields", NATIVE.values(), ids=NATIVE)
def test_a_target_of_its_own_gets_the_request_as_it_is(fields: Any) -> None:
    """But for the model and the bound; its texts and probabilities pass through, the echo being its own."""
    target = Target("ours", "llama", quirks=("completions", "no-developer"))
    _, adapter, sent = made("openai", target, max_tokens=9, **fields)
    assert sent.url == "http://127.0.0.1:9/v1/completions"
    assert json.loads(sent.body) == {"prompt": "Say", **fields, "model": "llama", "max_tokens": 9}
    request = parsed(**fields)
    answers = request.n if "best_of" not in fields else 1
    given = [{"index": at, "text": "Hi", "logprobs": ECHOED, "finish_reason": "stop"} for at in range(answers)]
    answer = {"id": "cmpl-7", "object": "text_completion", "created": 1, "model": "llama", "choices": given}
    whole = adapter.reply(json.dumps({**answer, "usage": {"prompt_tokens": 3, "completion_tokens": 2}}).encode())
    assert adapter.usage == Usage(3, 2)
    found = json.loads(COMPLETIONS.writer(request).whole(whole, adapter.usage))
    assert (found["choices"], found["id"], found["usage"]["total_tokens"]) == (given, "cmpl-7", 5)


def test_a_stream_of_such_a_target() -> None:
    """Piece by piece, in the order of its choices; one that is cut is an error."""
    fields: dict[str, Any] = {"prompt": ["a", "b"], "stream": True, "echo": True}
    request, adapter, sent = made("openai", Target("ours", "llama", quirks=("completions",)), **fields)
    assert json.loads(sent.body)["stream_options"] == {"include_usage": True}
    texts = [(1, "bx", None), (0, "a", None), (0, "y", "stop"), (1, "", "length")]
    chunks = [
        {"id": "cmpl-7", "object": "text_completion", "created": 1, "model": "llama", "choices": [
            {"index": at, "text": text, "logprobs": None, "finish_reason": finish}
        ]} for at, text, finish in texts
    ]  # fmt: skip
    usage = {**chunks[0], "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
    writer = COMPLETIONS.writer(request)
    out = b"".join(map(writer.chunk, adapter.chunk(events([*chunks, usage])) + adapter.end())) + writer.end(Usage(3, 2))
    found = told(out)
    assert [(one["index"], one["text"], one["finish_reason"]) for one in found] == texts
    assert adapter.usage == Usage(3, 2)
    _, cut, _ = made("openai", Target("ours", "llama", quirks=("completions",)), **fields)
    cut.chunk(events(chunks[:3], done=False))
    with pytest.raises(UpstreamError):
        cut.end()


def test_any_other_target_answers_as_a_chat() -> None:
    """The same request, to one that is not marked."""
    _, _, sent = made("openai", Target("ours", "llama"))
    assert sent.url.endswith("/v1/chat/completions")
    assert json.loads(sent.body)["messages"] == [{"role": "user", "content": "Say"}]
    assert "prompt" not in json.loads(sent.body)
