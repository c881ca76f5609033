"""A stream, however badly told, reaches the client as the SDKs expect it, or as an error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import UpstreamError
from shared.core.usage import Usage
from shared.providers.adapter import Head
from tests.providers.exchange import SECRET, accumulated, adapter, events, piece, streamed, streaming

USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11, "prompt_tokens_details": {"cached_tokens": 1}}
SAID = piece(choices=[], usage=USAGE)
HELLO = [
    piece({"role": "assistant", "content": ""}, usage=None),
    piece({"content": "Hel"}, usage=None, obfuscation="x1"),
    piece({"content": "lo"}, usage=None),
    piece(finish="stop", usage=None),
    SAID,
]


def text(chunks: list[dict[str, Any]]) -> str:
    """Join what was said."""
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


def test_a_good_stream_passes() -> None:
    """Members that nobody asked about stay; usage does not leave unasked."""
    found = streamed(streaming(), events(HELLO))
    assert text(found) == "Hello"
    assert found[1]["obfuscation"] == "x1"
    assert all("usage" not in chunk and chunk["choices"] for chunk in found)


def test_usage_comes_once_and_last() -> None:
    """Null on every chunk, then one chunk without choices."""
    made = streaming(usage=True)
    found = streamed(made, events(HELLO))
    assert [chunk["usage"] for chunk in found[:-1]] == [None] * 4
    assert (found[-1]["choices"], found[-1]["usage"]) == ([], USAGE)
    assert made.usage == Usage(prompt=9, completion=2, cached=1)


def test_usage_is_asked_for_in_every_stream() -> None:
    """What the client said about its stream is kept otherwise."""
    made = adapter(stream=True, stream_options={"include_obfuscation": False})
    body = json.loads(made.request(SECRET).body)
    assert body["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert "stream_options" not in json.loads(adapter().request(SECRET).body)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64])
def test_the_cut_of_the_bytes_does_not_matter(step: int) -> None:
    """One byte at a time says the same."""
    stream = events([*HELLO[:2], piece({"content": "é😀"}), *HELLO[3:]]).replace(b"\n", b"\r\n")
    assert streamed(streaming(usage=True), stream, step=step) == streamed(streaming(usage=True), stream)


@given(st.data())
def test_any_cut_of_a_stream_of_tools(data: st.DataObject) -> None:
    """The repair keeps its place over every cut."""
    stream = events(
        [piece({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]}), HELLO[3]]
    )
    at = data.draw(st.integers(0, len(stream)))
    made = streaming()
    out = made.chunk(stream[:at]) + made.chunk(stream[at:]) + made.end()
    whole = streaming()
    assert out == whole.chunk(stream) + whole.end()


BENT: dict[str, list[Any]] = {
    "ids and times differ": [{**chunk, "id": f"id{at}", "created": at} for at, chunk in enumerate(HELLO)],
    "no id, object, created, model": [
        {name: value for name, value in chunk.items() if name in {"choices", "usage"}} for chunk in HELLO
    ],
    "null id, object, created, model": [
        {**chunk, "id": None, "object": None, "created": None, "model": None} for chunk in HELLO
    ],
    "a foreign object": [{**chunk, "object": "text_completion"} for chunk in HELLO],
    "no index": [
        {**chunk, "choices": [{"delta": c["delta"], "finish_reason": c["finish_reason"]} for c in chunk["choices"]]}
        for chunk in HELLO
    ],
    "a wild index": [{**chunk, "choices": [{**c, "index": 10**9} for c in chunk["choices"]]} for chunk in HELLO],
    "no role": [piece({"content": "Hel"}), piece({"content": "lo"}), piece(finish="stop")],
    "the role each time": [piece({"role": "assistant", "content": part}) for part in ("Hel", "lo")]
    + [piece(finish="stop")],
    "a foreign role": [piece({"role": "model", "content": "Hello"}), piece(finish="stop")],
    "no delta at the end": [*HELLO[:3], {**HELLO[3], "choices": [{"index": 0, "finish_reason": "stop"}]}],
    "a null delta": [*HELLO[:3], {**HELLO[3], "choices": [{"index": 0, "delta": None, "finish_reason": "stop"}]}],
    "an empty finish reason": [piece({"content": "Hello"}, ""), piece(finish="stop")],
    "a foreign finish reason": [*HELLO[:3], piece(finish="end_turn")],
    "usage on every chunk": [{**chunk, "usage": USAGE} for chunk in HELLO],
    "usage with the last words": [*HELLO[:3], {**HELLO[3], "usage": USAGE}],
    "usage without choices": [*HELLO[:4], {"usage": USAGE}],
    "null choices": [*HELLO[:4], {**SAID, "choices": None}],
    "signs of life": [piece(choices=[], id=""), {"type": "ping"}, *HELLO],
    "no finish reason": HELLO[:3],
}


@pytest.mark.parametrize("chunks", BENT.values(), ids=BENT)
@pytest.mark.parametrize("usage", [True, False], ids=["usage", "no usage"])
def test_bent_streams_are_straightened(chunks: list[Any], usage: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """One id and time, the role once and first, an index, a finish reason; the SDK adds them up to the answer."""
    found = streamed(streaming(usage=usage), events(chunks))
    assert text(found) == "Hello"
    assert all(("usage" in chunk) == usage for chunk in found)
    assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in found}) == 1
    deltas = [choice["delta"] for chunk in found for choice in chunk["choices"]]
    assert [delta.get("role") for delta in deltas] == ["assistant"] + [None] * (len(deltas) - 1)
    final = accumulated(found)
    assert final.choices[0].message.content == "Hello"
    assert final.choices[0].message.role == "assistant"
    assert final.choices[0].finish_reason == "stop"
    assert (final.usage is not None) == usage


def test_what_is_missing_is_made_up_from_the_request() -> None:
    """The id from the request's, the time from the moment, the model as it was asked for."""
    found = streamed(streaming(), events(BENT["no id, object, created, model"]))
    assert (found[0]["id"], found[0]["created"], found[0]["model"]) == ("chatcmpl-req1", 1_700_000_000, "gpt-5")


def test_several_choices_keep_apart() -> None:
    """Each has its role once, and its own end."""
    chunks = [piece({"content": str(index)}, index=index) for index in (2, 0, 1)]
    found = streamed(streaming(n=3), events([*chunks, *(piece(finish="stop", index=index) for index in range(3))]))
    final = accumulated(found)
    assert [choice.message.content for choice in final.choices] == ["0", "1", "2"]


CUT: dict[str, bytes] = {
    "nothing": b"",
    "only the end": b"data: [DONE]\n\n",
    "no words": events([piece(choices=[]), {"type": "ping"}]),
    "after the role": events(HELLO[:1], done=False),
    "between words": events(HELLO[:2], done=False),
    "before the reason": events(HELLO[:3], done=False),
    "in the middle of an event": events(HELLO[:2], done=False) + b'data: {"choices": [{"index": 0, "del',
    "one of two choices": events(
        [piece({"content": "a"}), piece({"content": "b"}, index=1), piece(finish="stop")], done=False
    ),
    "not json": b'data: {"choices": [}\n\n',
    "no object": b"data: [1]\n\n",
    "not utf-8": b'data: {"choices": [{"delta": {"content": "\xff\xfe"}}]}\n\n',
    "a page": b"<html><body>502 Bad Gateway</body></html>",
    "a whole answer": b'{"choices": [{"message": {"content": "x"}}]}',
    "an error": events([{"error": {"message": "overloaded", "type": "server_error"}}]),
    "an error in words": events([{"error": "overloaded"}]),
    "an event called error": b'event: error\ndata: {"message": "overloaded"}\n\n',
    "a reason called error": events([piece(finish="error")]),
    "a line of five megabytes": b"data: " + b"x" * 5_000_000,
}


@pytest.mark.parametrize("stream", CUT.values(), ids=CUT)
@pytest.mark.parametrize("step", [0, 1009])
def test_a_cut_stream_is_never_a_success(stream: bytes, step: int) -> None:
    """What SDKs would take for a short answer is an error."""
    with pytest.raises(UpstreamError):
        streamed(streaming(n=2), stream, step=step)


def test_what_came_before_an_error_still_leaves() -> None:
    """And is counted; the error follows at once, without waiting for more."""
    made = streaming()
    out = made.chunk(events([*HELLO[:3], {"error": {"message": "overloaded"}}, *HELLO[3:]]))
    assert len(out) == 3
    assert made.done
    assert made.usage.completion == 2
    with pytest.raises(UpstreamError, match="overloaded"):
        made.end()


def test_an_error_in_the_stream_hides_our_key() -> None:
    """The provider's words are redacted here as anywhere."""
    with pytest.raises(UpstreamError) as failure:
        streaming().chunk(events([{"error": {"message": f"bad key {SECRET} of org-AbC123456789"}}]))
    assert SECRET not in failure.value.message
    assert "org-AbC123456789" not in failure.value.message


def test_a_reason_without_the_end_mark_is_complete() -> None:
    """Some providers forget [DONE]; the answer is whole all the same, even without the last blank line."""
    made = streaming()
    stream = events(HELLO[:4], done=False)
    assert text(streamed(made, stream[:-2])) == "Hello"
    assert not made.done


def test_nothing_counts_after_the_end_mark() -> None:
    """Not even nonsense, or a second end."""
    made = streaming()
    assert text(streamed(made, events(HELLO) + b"data: nonsense\n\ndata: [DONE]\n\n")) == "Hello"
    assert made.done
    assert made.chunk(b"data: more nonsense\n\n") == []


@pytest.mark.parametrize(
    "usage", [None, {"prompt_tokens": -5, "completion_tokens": 3}, {"prompt_tokens": "many"}, "none"], ids=str
)
def test_usage_that_cannot_be_believed_is_counted_from_what_was_heard(usage: Any) -> None:
    """Marked as an estimate; the client that asked gets numbers all the same."""
    made = streaming(usage=True)
    found = streamed(made, events([*HELLO[:4], {**SAID, "usage": usage}]))
    assert made.usage.estimated
    assert made.usage.completion == 2
    assert made.usage.prompt > 0
    assert found[-1]["usage"]["total_tokens"] == made.usage.total


def test_the_last_usage_that_can_be_believed_counts() -> None:
    """A running count that ends in nonsense was right before."""
    made = streaming()
    streamed(made, events([{**HELLO[1], "usage": USAGE}, HELLO[3], {**SAID, "usage": {"prompt_tokens": -1}}]))
    assert made.usage == Usage(prompt=9, completion=2, cached=1)


def test_an_event_called_error_is_one_even_after_the_answer() -> None:
    """Its name is enough, whatever the shape of its data."""
    with pytest.raises(UpstreamError, match="overloaded"):
        streamed(streaming(), events(HELLO, done=False) + b'event: error\ndata: {"message": "overloaded"}\n\n')


def test_usage_is_known_at_any_time() -> None:
    """A client that leaves in the middle is charged for what was heard."""
    made = streaming()
    assert made.usage.completion == 0
    made.chunk(events(HELLO[:2], done=False))
    assert made.usage == Usage(prompt=made.usage.prompt, completion=1, estimated=True)


def test_emoji_in_halves_survive() -> None:
    """Two lone surrogates in two chunks leave as the escapes they were, and join at the client."""
    chunks = [piece({"content": "\ud83d"}), piece({"content": "\ude00"}), piece(finish="stop")]
    found = streamed(streaming(), events(chunks))
    assert text(found).encode("utf-16", "surrogatepass").decode("utf-16") == "😀"


@pytest.mark.parametrize("kind", ["text/html", "application/json", "text/plain", "application/x-ndjson"])
def test_a_stream_that_is_none_is_refused_at_its_head(kind: str) -> None:
    """SDKs take a page, or a whole JSON answer, for an empty stream."""
    with pytest.raises(UpstreamError, match="event stream"):
        streaming().check(Head(200, {"content-type": f"{kind}; charset=utf-8"}))
    streaming().check(Head(200, {}))
    streaming().check(Head(200, {"content-type": "Text/Event-Stream"}))


def test_what_was_heard_is_guessed_by_bytes() -> None:
    """One piece of eighty Chinese characters is no twenty tokens, as eighty letters may be."""
    made = streaming()
    made.chunk(events([{"choices": [{"index": 0, "delta": {"content": "\u4f60\u597d" * 40}}]}], done=False))
    assert made.usage.completion == 60
