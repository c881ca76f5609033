"""Servers that speak OpenAI's dialect in their own way: Azure's addresses, and what others do not know."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from cdk.catalog import compile_catalog
from shared.core import chat, embeddings
from shared.core.catalog import Provider, Target, decode
from shared.providers.openai import OpenAIChat
from shared.providers.openai_embeddings import OpenAIEmbeddings
from tests.e2e.stack import ROOT
from tests.providers.exchange import MOMENT

if TYPE_CHECKING:
    from pathlib import Path

CATALOG = ROOT / "shared/data/catalog.toml"
AZURE = Provider("azure", "openai", "https://ours.openai.azure.com", secret="AZURE_KEY", api_version="2024-10-21")
ASKED = {"model": "m", "messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "x"}]}


def body(quirks: tuple[str, ...] = (), ignores: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    """Return what a server gets."""
    request = chat.parse(json.dumps({**ASKED, **fields}).encode())
    provider = Provider("local", "openai", "http://127.0.0.1:11434/v1", ignores=ignores)
    found: dict[str, Any] = json.loads(
        OpenAIChat(request, Target("local", "llama", quirks=quirks), provider, MOMENT).request("").body
    )
    return found


def test_azure_has_deployments_and_versions() -> None:
    """In the address; its key has a header of its own."""
    request = OpenAIChat(chat.parse(json.dumps(ASKED).encode()), Target("azure", "our gpt/4"), AZURE, MOMENT).request(
        "k"
    )
    start = "https://ours.openai.azure.com/openai/deployments"
    assert request.url == f"{start}/our%20gpt%2F4/chat/completions?api-version=2024-10-21"
    assert request.headers["api-key"] == "k"
    assert "authorization" not in request.headers
    asked = embeddings.parse(b'{"model": "m", "input": "x"}')
    vectors = OpenAIEmbeddings(asked, Target("azure", "ada"), AZURE, MOMENT).request("k")
    assert vectors.url == f"{start}/ada/embeddings?api-version=2024-10-21"


def test_what_a_server_does_not_know_is_said_otherwise() -> None:
    """Only where the catalog says so."""
    asked: dict[str, Any] = {"max_completion_tokens": 9, "stream": True, "seed": 7}
    plain = body(**asked)
    assert (plain["max_completion_tokens"], plain["seed"]) == (9, 7)
    assert plain["stream_options"] == {"include_usage": True}
    assert plain["messages"][0]["role"] == "developer"
    bent = body(("max-tokens", "no-developer", "no-stream-usage"), ("seed",), **asked)
    assert (bent["max_tokens"], [message["role"] for message in bent["messages"]]) == (9, ["system", "user"])
    assert not {"max_completion_tokens", "stream_options", "seed"} & bent.keys()


def examples() -> str:
    """Return what stands in the shipped catalog as an example, uncommented."""
    return "\n".join(re.findall(r"^#   (\[.+\]|[a-z_]+ = .+)$", CATALOG.read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", ["azure", "groq", "ollama", "bedrock", "sagemaker", "sagemaker-async", "cloud-run"])
def test_the_examples_of_the_catalog_work(name: str, tmp_path: Path) -> None:
    """As they stand there."""
    path = tmp_path / "catalog.toml"
    path.write_text(CATALOG.read_text() + "\n" + examples())
    assert name in tomllib.loads(examples())["providers"]
    compiled = decode(compile_catalog(path))
    targets = [target for model in compiled.models.values() for target in model.targets if target.provider == name]
    assert targets
    if name == "ollama":
        assert targets[0].quirks == ("max-tokens", "no-developer")
