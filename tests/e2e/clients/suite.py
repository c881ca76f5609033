"""The Python libraries that people build on, against a running gateway. Prints one JSON line a check: name and failure.

It runs in an environment of its own, that of `requirements.lock` beside it:

    python suite.py BASE_URL KEY CHAT_MODEL EMBEDDING_MODEL

Each library is used as its documentation begins: its default client, told only an address and a key.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

BASE, KEY, CHAT, EMBEDDING = sys.argv[1:]
os.environ.update(OPENAI_API_KEY=KEY, OPENAI_BASE_URL=f"{BASE}/v1", OPENAI_API_BASE=f"{BASE}/v1")
os.environ.update(ANTHROPIC_API_KEY=KEY, ANTHROPIC_BASE_URL=BASE)

from pydantic import BaseModel  # noqa: E402 - the libraries read the environment when they are imported

if TYPE_CHECKING:
    from collections.abc import Callable

CLAUDE = "claude-haiku-4-5"  # the library takes no model whose context it does not know
TEXT = "This is a simulated answer. Your message was: Hi"
DIMENSIONS = 384


class City(BaseModel):
    """What structured answers are."""

    name: str
    people: int


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"It rains in {city}."


def langchain_openai() -> None:
    """Whole, streamed, with a tool, structured."""
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model=CHAT, max_retries=0)
    told = model.invoke("Hi")
    assert told.content == TEXT
    assert told.usage_metadata["output_tokens"] == 9
    assert "".join(chunk.content for chunk in model.stream("Hi")) == TEXT
    called = model.bind_tools([tool(weather)]).invoke("How is the weather?")
    assert [call["name"] for call in called.tool_calls] == ["weather"]
    assert isinstance(model.with_structured_output(City).invoke("Name a city."), City)


def langchain_openai_responses() -> None:
    """The same over the Responses API."""
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model=CHAT, max_retries=0, use_responses_api=True)
    assert model.invoke("Hi").text == TEXT
    assert "".join(chunk.text for chunk in model.stream("Hi")) == TEXT


def langchain_openai_embeddings() -> None:
    """Texts as texts: to cut them into tokens itself it would have to download a vocabulary."""
    from langchain_openai import OpenAIEmbeddings

    model = OpenAIEmbeddings(model=EMBEDDING, check_embedding_ctx_length=False, max_retries=0)
    vectors = model.embed_documents(["one", "two"])
    assert [len(vector) for vector in vectors] == [DIMENSIONS] * 2


def langchain_anthropic() -> None:
    """Whole, streamed, with a tool, structured, over the Messages API."""
    from langchain_anthropic import ChatAnthropic
    from langchain_core.tools import tool

    model = ChatAnthropic(model=CHAT, max_retries=0)
    assert model.invoke("Hi").text == TEXT
    assert "".join(chunk.text for chunk in model.stream("Hi")) == TEXT
    called = model.bind_tools([tool(weather)]).invoke("How is the weather?")
    assert [call["name"] for call in called.tool_calls] == ["weather"]
    assert isinstance(model.with_structured_output(City).invoke("Name a city."), City)


def llama_index() -> None:
    """Whole and streamed."""
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai import OpenAI

    model = OpenAI(model=CHAT, max_retries=0)
    assert str(model.complete("Hi")) == TEXT
    asked = [ChatMessage(role="user", content="Hi")]
    assert model.chat(asked).message.content == TEXT
    assert "".join(chunk.delta or "" for chunk in model.stream_chat(asked)) == TEXT


def llama_index_anthropic() -> None:
    """Whole and streamed, over the Messages API."""
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.anthropic import Anthropic

    model = Anthropic(model=CLAUDE, max_retries=0, base_url=BASE)
    asked = [ChatMessage(role="user", content="Hi")]
    assert model.chat(asked).message.content == TEXT
    assert "".join(chunk.delta or "" for chunk in model.stream_chat(asked)) == TEXT


def _agent(model: Any) -> None:
    from pydantic_ai import Agent

    assert Agent(model).run_sync("Hi").output == TEXT
    assert isinstance(Agent(model, output_type=City).run_sync("Name a city.").output, City)
    agent = Agent(model, tools=[weather])
    told = agent.run_sync("How is the weather?").output
    assert "rains" in told, told
    assert agent.run_stream_sync("Hi").get_output() == TEXT


def pydantic_ai_chat() -> None:
    """Whole, streamed, structured, and a tool that is called and answered."""
    from pydantic_ai.models.openai import OpenAIChatModel

    _agent(OpenAIChatModel(CHAT))


def pydantic_ai_responses() -> None:
    """The same over the Responses API."""
    from pydantic_ai.models.openai import OpenAIResponsesModel

    _agent(OpenAIResponsesModel(CHAT))


def pydantic_ai_anthropic() -> None:
    """The same over the Messages API."""
    from pydantic_ai.models.anthropic import AnthropicModel

    _agent(AnthropicModel(CHAT))


def instructor_openai() -> None:
    """A structured answer, by its default mode."""
    import instructor

    client = instructor.from_provider(f"openai/{CHAT}")
    assert isinstance(client.create(messages=[{"role": "user", "content": "Name a city."}], response_model=City), City)


def instructor_anthropic() -> None:
    """The same over the Messages API."""
    import instructor

    client = instructor.from_provider(f"anthropic/{CHAT}")
    asked = [{"role": "user", "content": "Name a city."}]
    assert isinstance(client.create(messages=asked, response_model=City, max_tokens=100), City)


def llm_command() -> None:
    """The `llm` tool with the gateway in its file of models, streaming as it does by default."""
    with tempfile.TemporaryDirectory() as folder:
        entry = f"- model_id: nexus\n  model_name: {CHAT}\n  api_base: {BASE}/v1\n  api_key_name: nexus\n"
        Path(folder, "extra-openai-models.yaml").write_text(entry)
        Path(folder, "keys.json").write_text(json.dumps({"nexus": KEY}))
        environment = {**os.environ, "LLM_USER_PATH": folder}
        for more in ([], ["--no-stream"]):
            command = [sys.executable, "-m", "llm", "-m", "nexus", "Hi", "--no-log", *more]
            done = subprocess.run(command, env=environment, text=True, capture_output=True, check=False, timeout=60)
            assert done.stdout.strip() == TEXT, done.stderr


CHECKS: list[Callable[[], None]] = [
    langchain_openai,
    langchain_openai_responses,
    langchain_openai_embeddings,
    langchain_anthropic,
    llama_index,
    llama_index_anthropic,
    pydantic_ai_chat,
    pydantic_ai_responses,
    pydantic_ai_anthropic,
    instructor_openai,
    instructor_anthropic,
    llm_command,
]

if __name__ == "__main__":
    for check in CHECKS:
        failure = None
        try:
            check()
        except Exception:  # noqa: BLE001 - whatever a library raises is the verdict
            failure = traceback.format_exc(limit=-4)
        print(json.dumps({"name": check.__name__, "failure": failure}), flush=True)
