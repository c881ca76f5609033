"""The lines of a batch: what is wrong with a file is told line by line, and what passes is waited for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.core import batches
from shared.core.batches import Heard
from shared.core.errors import BadRequest

CHAT = "/v1/chat/completions"
GOOD: dict[str, Any] = {"custom_id": "a", "method": "POST", "url": CHAT, "body": {"model": "m"}}
ASKED = {"input_file_id": "file-1", "endpoint": CHAT, "completion_window": "24h"}


def line(**more: Any) -> bytes:
    """A line, with members that differ; None leaves one out."""
    return json.dumps({name: value for name, value in {**GOOD, **more}.items() if value is not None}).encode()


def test_a_file_in_order_has_no_faults() -> None:
    """Blank lines and either line end are of no matter; numbers count them."""
    content = line() + b"\r\n\n" + line(custom_id="b") + b"\n"
    assert batches.faults(content, CHAT) == (2, [])
    assert [(one.number, one.custom_id, one.url, one.body) for one in batches.read(content)] == [
        (0, "a", CHAT, {"model": "m"}),
        (2, "b", CHAT, {"model": "m"}),
    ]


@pytest.mark.parametrize(
    ("wrong", "code", "param"),
    [
        (b"{", "invalid_json_line", None),
        (b"[1]", "invalid_json_line", None),
        (b"\xff\xfe", "invalid_json_line", None),
        (line(custom_id=None), "invalid_request", "custom_id"),
        (line(custom_id=7), "invalid_request", "custom_id"),
        (line(custom_id=""), "invalid_request", "custom_id"),
        (line(method="GET"), "invalid_request", "method"),
        (line(url="/admin/keys"), "invalid_request", "url"),
        (line(url="/v1/embeddings"), "mismatched_url", "url"),
        (line(body="text"), "invalid_request", "body"),
        (line(body={"model": "m", "stream": True}), "invalid_request", "body.stream"),
        (line(api_key="sk-1"), "invalid_request", "api_key"),
        (line(), "duplicate_custom_id", "custom_id"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(wrong: bytes, code: str, param: str | None) -> None:
    """The code, the field if it is one, and the number as an editor counts."""
    total, [fault] = batches.faults(line() + b"\n\n" + wrong, CHAT)
    assert total == 2
    assert (fault.code, fault.param, fault.line) == (code, param, 3)


def test_the_faults_of_a_whole_file() -> None:
    """Empty, or too long; of very many mistakes the first are told."""
    assert [fault.code for fault in batches.faults(b" \n\n", CHAT)[1]] == ["empty_file"]
    many = b"\n".join(line(custom_id=str(number)) for number in range(batches.MOST_LINES + 1))
    assert [fault.code for fault in batches.faults(many, CHAT)[1]] == ["too_many_lines"]
    assert len(batches.faults(b"{\n" * 500, CHAT)[1]) == batches.MOST_TOLD


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"endpoint": "/v1/messages"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"input_file_id": 1}, "input_file_id"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ({"owner": "x"}, "owner"),
    ],
)
def test_a_wrong_request_names_its_field(more: dict[str, Any], param: str) -> None:
    """As all requests do."""
    with pytest.raises(BadRequest) as refused:
        batches.asked(json.dumps({**ASKED, **more}).encode())
    assert str(refused.value.param).startswith(param)


def heard(status: int, error: dict[str, Any] | None = None, **headers: str) -> Heard:
    """An answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Heard(status, named, {"error": error} if error else {}, "r-1")


@pytest.mark.parametrize(
    ("answer", "wait", "settled"),
    [
        (heard(200), None, True),
        (heard(404, {"code": "model_not_found"}), None, True),
        (heard(500, {"code": "internal_error"}), None, True),
        (heard(429, {"code": "rate_limit_exceeded", "scope": "key:a"}, retry_after="7"), 7.0, False),
        (heard(429, {"code": "rate_limit_exceeded", "scope": "key:a"}), None, False),  # this line alone is above it
        (heard(429, {"code": "insufficient_quota", "scope": "key:a"}, x_should_retry="false"), None, False),
        (heard(429, {"code": "rate_limit_exceeded"}), 10.0, True),  # the provider's
        (heard(503, {"code": "upstream_unavailable"}, retry_after="60"), 60.0, True),
        (heard(503, {"code": "store_unavailable"}, retry_after="1"), 1.0, False),
    ],
)
def test_only_what_passes_is_waited_for(answer: Heard, wait: float | None, settled: bool) -> None:  # noqa: FBT001
    """A limit and a store; and only after a provider was asked is the next time another request."""
    assert batches.wait(answer) == wait
    assert batches.is_settled(answer) == settled
