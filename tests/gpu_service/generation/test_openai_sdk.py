"""The official SDK, validating strictly, is the judge of the shapes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.gpu_service.generation.conftest import MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gpu_service.process import Server

HELLO: Any = [{"role": "user", "content": "hello world"}]


@pytest.fixture(scope="module")
def client(served: Server) -> Iterator[openai.OpenAI]:
    """The SDK as its strictest users set it up."""
    with openai.OpenAI(
        base_url=f"{served.url}/v1", api_key="x", max_retries=0, _strict_response_validation=True
    ) as found:
        yield found


@pytest.fixture
def again(engine: str) -> dict[str, Any]:
    """What makes an answer the same again: a seed, where the engine has one for each request."""
    return {"seed": 5} if engine == "onnxruntime" else {"temperature": 0}


def test_a_chat_completion_whole_and_streamed_is_one_text(client: openai.OpenAI, again: dict[str, Any]) -> None:
    """With one seed the pieces are the whole text; usage counts the template's tokens; the first piece has the role."""
    wanted: dict[str, Any] = {"model": MODEL, "messages": HELLO, "max_tokens": 40, **again}
    whole = client.chat.completions.create(**wanted)
    chunks = list(client.chat.completions.create(**wanted, stream=True, stream_options={"include_usage": True}))

    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (14, 40)
    assert whole.choices[0].finish_reason == "length"
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert text == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1] if chunk.choices[0].finish_reason] == ["length"]
    assert (chunks[-1].choices, chunks[-1].usage) == ([], whole.usage)
    assert len({chunk.id for chunk in chunks}) == 1


def test_completions_take_texts_and_tokens(client: openai.OpenAI) -> None:
    """A text and its tokens are one prompt; 16 tokens unless asked otherwise; streamed is the same text.

    In a stream the SDK's strictness refuses the null that OpenAI itself sends as `finish_reason` until the end.
    """
    text = client.completions.create(model=MODEL, prompt="hello", temperature=0)
    ids = client.completions.create(model=MODEL, prompt=[75, 72, 79, 79, 82], temperature=0)
    lenient = openai.OpenAI(base_url=client.base_url, api_key="x", max_retries=0)
    with lenient:
        chunks = list(lenient.completions.create(model=MODEL, prompt="hello", temperature=0, stream=True))

    assert text.usage is not None
    assert (text.usage.prompt_tokens, text.usage.completion_tokens) == (5, 16)
    assert text.choices[0].text == ids.choices[0].text == "".join(chunk.choices[0].text for chunk in chunks)


def test_a_stop_string_ends_the_answer_and_stays_out(client: openai.OpenAI, again: dict[str, Any]) -> None:
    """What comes before the string, `stop` as the reason, fewer tokens; whole and streamed."""
    wanted: dict[str, Any] = {"model": MODEL, "messages": HELLO, "max_tokens": 40, **again}
    text = client.chat.completions.create(**wanted).choices[0].message.content or ""
    stop = next(text[place : place + 2] for place in range(8, 30) if text.index(text[place : place + 2]) >= 8)
    whole = client.chat.completions.create(**wanted, stop=[stop, "never there"])
    chunks = list(client.chat.completions.create(**wanted, stop=stop, stream=True))

    assert whole.choices[0].message.content == text[: text.index(stop)]
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None
    assert whole.usage.completion_tokens < 40
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text[: text.index(stop)]


def test_many_at_once_get_what_they_get_alone(client: openai.OpenAI) -> None:
    """Ten clients over three slots."""

    def ask(number: int) -> str | None:
        messages: Any = [{"role": "user", "content": f"text {number} " * (number % 4 + 1)}]
        answer = client.chat.completions.create(
            model=MODEL, messages=messages, max_tokens=5 + 3 * number, temperature=0
        )
        return answer.choices[0].message.content

    alone = [ask(number) for number in range(10)]
    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(ask, range(10))) == alone


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"top_p": 0}, "top_p"),
        ({"messages": [{"role": "user", "content": "x" * 200}]}, "messages"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content[0]",
        ),
        ({"messages": [{"role": "user", "content": "x" * 2_000_000}]}, "messages"),
        ({"model": "other"}, "model"),
    ],
)
def test_what_is_not_done_is_refused(fields: dict[str, Any], param: str, client: openai.OpenAI) -> None:
    """Nothing is promised and not kept: 400 or 404, with the field."""
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as refused:
        client.chat.completions.create(**({"model": MODEL, "messages": HELLO} | fields))

    assert refused.value.param == param


def test_one_path_serves_chat_and_completions(served: Server) -> None:
    """SageMaker's `/invocations`: a prompt is completed, messages are answered; one model needs no name."""
    prompted = served.ask("POST", "/invocations", {"prompt": "a", "max_tokens": 2})
    chatted = served.ask("POST", "/invocations", {"messages": HELLO, "max_tokens": 2})
    wrong = served.ask("POST", "/v1/embeddings", {"model": MODEL, "input": "a"})

    assert (prompted.json["object"], chatted.json["object"]) == ("text_completion", "chat.completion")
    assert (wrong.status, wrong.json["error"]["param"]) == (400, "model")


def test_the_tokens_are_counted(served: Server) -> None:
    """`/metrics` has one first token and seven tokens more after an answer of seven; others may still be ending."""

    def counted() -> dict[str, float]:
        lines = served.ask("GET", "/metrics").body.decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}

    before = counted()
    served.ask("POST", "/v1/completions", {"model": MODEL, "prompt": "a", "max_tokens": 7, "temperature": 0})
    after = counted()

    for name, more in (("generated_tokens_total", 7), ("first_token_seconds_count", 1)):
        series = f'gpu_service_{name}{{model="{MODEL}"}}'
        assert after[series] - before.get(series, 0) >= more
    assert after[f'gpu_service_generating{{model="{MODEL}"}}'] <= 1


def test_a_client_that_leaves_its_stream_frees_the_slot(client: openai.OpenAI) -> None:
    """Three streams are left after their first piece, one after another: a fourth request is served all the same."""
    for _ in range(6):
        with client.chat.completions.create(model=MODEL, messages=HELLO, stream=True) as stream:
            next(iter(stream))

    assert client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=3).usage is not None
