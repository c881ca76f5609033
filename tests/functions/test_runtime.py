"""The runtime loop against a real Runtime API: events in, whole answers and errors out, on one connection."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functions.conftest import Process, RuntimeServer

    Start = Callable[..., Process]


def test_answers_with_what_the_invocation_knows(server: RuntimeServer, start: Start) -> None:
    """Event, ids, deadline, trace and the function's own name reach the handler; the answer goes back as JSON."""
    start("sample_handlers.echo", AWS_LAMBDA_FUNCTION_NAME="fn", AWS_LAMBDA_FUNCTION_MEMORY_SIZE="256")
    deadline = int(time.time() * 1000) + 60_000
    server.put(
        {"a": "ü"},
        "r-7",
        Lambda_Runtime_Deadline_Ms=str(deadline),
        Lambda_Runtime_Trace_Id="Root=1-2",
        Lambda_Runtime_Invoked_Function_Arn="arn:x",
        Lambda_Runtime_Invocation_Id="inv-9",
    )
    post = server.take()
    answer = json.loads(post.body)
    assert post.path == "/invocation/r-7/response"
    assert post.headers["content-type"] == "application/json"
    assert post.headers["lambda-runtime-invocation-id"] == "inv-9"
    assert 0 < answer.pop("left") <= 60_000
    assert answer == {
        "event": {"a": "ü"},
        "id": "r-7",
        "arn": "arn:x",
        "deadline": deadline,
        "name": "fn",
        "memory": "256",
        "trace": "Root=1-2",
    }


def test_clears_what_the_last_invocation_left(server: RuntimeServer, start: Start) -> None:
    """An event without trace, deadline and invocation id gets nobody else's."""
    start("sample_handlers.echo")
    server.put(1, Lambda_Runtime_Trace_Id="Root=1-2", Lambda_Runtime_Invocation_Id="inv-9")
    server.take()
    server.put(2)
    post = server.take()
    answer = json.loads(post.body)
    assert (answer["trace"], answer["left"]) == ("", 0)
    assert "lambda-runtime-invocation-id" not in post.headers


def test_keeps_one_connection_for_everything(server: RuntimeServer, start: Start) -> None:
    """Ten invocations, failed, buffered ones alike, are asked for and answered on one connection."""
    start("sample_handlers.fail")
    for number in range(10):
        server.put("fail" if number % 2 else "", f"r-{number}")
        server.take()
    assert server.connections == 1


def test_reads_an_event_in_chunks(server: RuntimeServer, start: Start) -> None:
    """A Runtime API may send an event without telling its length first; a large one arrives whole."""
    server.chunked_events = True
    start("sample_handlers.echo")
    server.put("x" * 6_000_000)
    assert len(json.loads(server.take().body)["event"]) == 6_000_000


def test_reports_what_a_handler_raises_and_goes_on(server: RuntimeServer, start: Start) -> None:
    """The error names its class and keeps to its header; the log line is one line of JSON; the next event is served."""
    process = start("sample_handlers.fail")
    server.put("fail", "r-1", Lambda_Runtime_Invocation_Id="inv-9")
    post = server.take()
    assert post.path == "/invocation/r-1/error"
    assert post.headers["lambda-runtime-function-error-type"] == "ValueError"
    assert post.headers["lambda-runtime-invocation-id"] == "inv-9"
    assert json.loads(post.body)["errorMessage"] == 'no "luck"\r\nx: y €'
    assert "sample_handlers.py" in json.loads(post.body)["stackTrace"][-1]
    server.put("", "r-2")
    assert json.loads(server.take().body) == "fine"
    _, log = process.terminate()
    assert [(line["requestId"], line["errorType"]) for line in map(json.loads, log.splitlines())] == [
        ("r-1", "ValueError")
    ]


@pytest.mark.parametrize("event", [b"", b"{", b"[" * 100_000, b'"\xff"'], ids=["empty", "cut", "deep", "not-utf8"])
@pytest.mark.parametrize("handler", ["echo", "stream"])
def test_reports_an_event_that_is_no_json(server: RuntimeServer, start: Start, event: bytes, handler: str) -> None:
    """Whatever the event's bytes are, the loop reports and lives."""
    start(f"sample_handlers.{handler}")
    for number in range(2):
        server.put_raw(event, f"r-{number}")
        assert server.take().path == f"/invocation/r-{number}/error"


def test_reports_an_answer_that_is_no_json(server: RuntimeServer, start: Start) -> None:
    """An answer that cannot be written down is the handler's error."""
    start("sample_handlers.unserializable")
    server.put(1)
    assert server.take().headers["lambda-runtime-function-error-type"] == "TypeError"


def test_reports_a_handler_that_ends_the_process(server: RuntimeServer, start: Start) -> None:
    """`sys.exit` in a handler is reported to the caller, then obeyed."""
    process = start("sample_handlers.leave")
    server.put(1)
    assert server.take().headers["lambda-runtime-function-error-type"] == "SystemExit"
    assert process.end()[0] == 3
