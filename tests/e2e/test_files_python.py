"""Files by the official OpenAI client, through the whole stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.stack import Stack

LINE = '{"custom_id": "%d", "method": "POST", "url": "/v1/embeddings", "body": {"input": "schön"}}\r\n'


def test_the_sdk_stores_and_finds_files(client: openai.OpenAI) -> None:
    """Up, listed page by page, down again byte for byte, and away."""
    content = "".join(LINE % number for number in range(3)).encode()
    made = client.files.create(file=("in put.jsonl", content), purpose="batch")
    other = client.files.create(file=("b.jsonl", b"{}"), purpose="batch")
    assert (made.object, made.bytes, made.filename, made.purpose) == ("file", len(content), "in put.jsonl", "batch")
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).read() == content
    found = [one.id for one in client.files.list(limit=1, purpose="batch")]  # the SDK turns the pages
    assert found.index(other.id) < found.index(made.id)
    assert client.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError) as refused:
        client.files.content(made.id)
    assert refused.value.code == "file_not_found"


def test_a_large_file_passes(client: openai.OpenAI) -> None:
    """Of five megabytes; one of seven is more than a function is told of, and a 413."""
    content = b'{"custom_id": "x"}\n' * 260_000
    made = client.files.create(file=("large.jsonl", content), purpose="batch")
    assert client.files.content(made.id).read() == content
    with pytest.raises(openai.APIStatusError) as refused:
        client.files.create(file=("larger.jsonl", content + content), purpose="batch")
    assert refused.value.status_code == 413


def test_files_are_a_keys_own(client: openai.OpenAI, stack: Stack, new_key: Callable[..., dict[str, Any]]) -> None:
    """Another key finds nothing; a viewer may not have any; an administrator sees the organization's."""
    made = client.files.create(file=("a.jsonl", b"{}"), purpose="batch")
    asked = client.with_options(api_key=new_key()["key"])
    with pytest.raises(openai.NotFoundError):
        asked.files.retrieve(made.id)
    assert asked.files.list().data == []
    with pytest.raises(openai.PermissionDeniedError):
        client.with_options(api_key=new_key(role="viewer")["key"]).files.list()
    assert client.with_options(api_key=stack.admin_key).files.retrieve(made.id) == made
