"""Batches by the official OpenAI client, through the whole stack: upload, create, wait, read."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.e2e.stack import CHAT, EMBEDDING

if TYPE_CHECKING:
    from collections.abc import Callable

    from openai.types import Batch

SECONDS = 60.0
OVER = {"completed", "failed", "expired", "cancelled"}


def line(name: str, url: str, **body: Any) -> bytes:
    """A line of a file."""
    return json.dumps({"custom_id": name, "method": "POST", "url": url, "body": body}).encode() + b"\n"


def chat(name: str, text: str, model: str = CHAT) -> bytes:
    """A line that asks for a chat completion."""
    return line(name, "/v1/chat/completions", model=model, messages=[{"role": "user", "content": text}])


def ended(client: openai.OpenAI, batch: Batch) -> Batch:
    """Wait until a batch is over."""
    deadline = time.monotonic() + SECONDS
    while batch.status not in OVER:
        assert time.monotonic() < deadline, batch
        time.sleep(0.1)  # between looks, as clients do
        batch = client.batches.retrieve(batch.id)
    return batch


def begun(client: openai.OpenAI, content: bytes, endpoint: Any = "/v1/chat/completions") -> Batch:
    """Upload a file and have it served."""
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint=endpoint, completion_window="24h", metadata={"of": "tests"}
    )


def came_to(client: openai.OpenAI, file_id: str | None) -> dict[str, Any]:
    """The lines of a file of answers, by their names."""
    assert file_id
    found = [json.loads(one) for one in client.files.content(file_id).text.splitlines()]
    return {one["custom_id"]: one for one in found}


def test_a_batch_of_chats_comes_back(client: openai.OpenAI, tag: str) -> None:
    """Each line answered under its own name; a wrong one is an error and hinders no other."""
    lines = [chat(f"r{number}", f"Hello {tag} {number}") for number in range(40)]
    batch = ended(client, begun(client, b"".join([*lines, chat("wrong", "Hello", model="no-such-model")])))
    assert (batch.status, batch.errors, batch.metadata) == ("completed", None, {"of": "tests"})
    assert batch.request_counts
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (41, 40, 1)
    answers = came_to(client, batch.output_file_id)
    assert answers.keys() == {f"r{number}" for number in range(40)}
    for number in range(40):
        said = answers[f"r{number}"]["response"]
        assert said["status_code"] == 200
        assert f"Hello {tag} {number}" in said["body"]["choices"][0]["message"]["content"]
    refused = came_to(client, batch.error_file_id)["wrong"]["response"]
    assert (refused["status_code"], refused["body"]["error"]["code"]) == (404, "model_not_found")
    assert client.files.retrieve(str(batch.output_file_id)).purpose == "batch_output"
    assert next(iter(client.batches.list(limit=1))).id == batch.id


def test_other_endpoints_are_served_too(client: openai.OpenAI) -> None:
    """Vectors by the GPU service, and responses."""
    embeddings = begun(client, line("e", "/v1/embeddings", model=EMBEDDING, input="Hello"), "/v1/embeddings")
    responses = begun(client, line("r", "/v1/responses", model=CHAT, input="Hello"), "/v1/responses")
    vector = came_to(client, ended(client, embeddings).output_file_id)["e"]["response"]["body"]["data"][0]
    assert len(vector["embedding"]) == 384
    assert came_to(client, ended(client, responses).output_file_id)["r"]["response"]["body"]["object"] == "response"


def test_a_file_in_disorder_fails_with_its_lines(client: openai.OpenAI) -> None:
    """Where an editor shows them."""
    batch = ended(client, begun(client, chat("a", "Hello") + b"no json\n" + chat("a", "Hello")))
    assert batch.status == "failed"
    assert batch.errors
    assert [(one.line, one.code) for one in batch.errors.data or []] == [
        (2, "invalid_json_line"),
        (3, "duplicate_custom_id"),
    ]


def test_a_spent_budget_is_the_lines_matter(client: openai.OpenAI, new_key: Callable[..., dict[str, Any]]) -> None:
    """The batch is completed, and no line has cost anything."""
    poor = client.with_options(api_key=new_key(budget={"total_usd": "0.000001"})["key"])
    batch = ended(poor, begun(poor, chat("a", "Hello") + chat("b", "Hello")))
    refused = came_to(poor, batch.error_file_id)
    assert batch.status == "completed"
    assert {one["response"]["body"]["error"]["code"] for one in refused.values()} == {"insufficient_quota"}


def test_batches_are_a_keys_own(client: openai.OpenAI, new_key: Callable[..., dict[str, Any]]) -> None:
    """Another key finds neither the batch nor what it came to."""
    batch = ended(client, begun(client, chat("a", "Hello")))
    other = client.with_options(api_key=new_key()["key"])
    for ask in (
        lambda: other.batches.retrieve(batch.id),
        lambda: other.batches.cancel(batch.id),
        lambda: other.files.content(str(batch.output_file_id)),
    ):
        with pytest.raises(openai.NotFoundError):
            ask()
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(batch.id)
