"""Streams of the runtime loop: what is said on the wire, in which order, and when it leaves."""

from __future__ import annotations

import base64
import json
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functions.conftest import Process, RuntimeServer

    Start = Callable[..., Process]


def test_streams_metadata_then_each_chunk(server: RuntimeServer, start: Start) -> None:
    """Metadata, eight NULs, and one HTTP chunk for each write, with no failure in the trailers."""
    start("sample_handlers.stream")
    server.put(["a", "", "b\0c"], Lambda_Runtime_Invocation_Id="inv-9")
    post = server.take()
    assert post.path == "/invocation/r-1/response"
    assert post.headers["lambda-runtime-function-response-mode"] == "streaming"
    assert post.headers["content-type"] == "application/vnd.awslambda.http-integration-response"
    assert post.headers["lambda-runtime-invocation-id"] == "inv-9"
    assert post.prelude == {"statusCode": 201, "headers": {"content-type": "text/event-stream", "x-a": "b"}}
    assert post.chunks[1:] == [b"a", b"b\0c"]
    assert post.trailers == {}


def test_a_chunk_leaves_before_the_next_one_exists(server: RuntimeServer, start: Start) -> None:
    """Metadata and each chunk arrive while the handler is still held up: nothing is kept back."""
    arrived = threading.Semaphore(0)

    def note(_chunk: bytes) -> bool:
        arrived.release()
        return True

    server.on_chunk = note
    start("sample_handlers.stream")
    server.put(["first", 600, "never"])
    assert arrived.acquire(timeout=10)
    assert arrived.acquire(timeout=10)
    assert server.posts.empty()


def test_keeps_the_connection_after_a_stream(server: RuntimeServer, start: Start) -> None:
    """Streams, and streams that fail, are answered on the connection that the next event comes by."""
    start("sample_handlers.stream")
    for number, event in enumerate((["a"], ["a", None], ["early"], ["b"])):
        server.put(event, f"r-{number}")
        server.take()
    assert server.connections == 1


def test_tells_a_failure_in_the_middle_in_the_trailers(server: RuntimeServer, start: Start) -> None:
    """What was sent stays sent; the trailers carry class and details, the latter in base64."""
    start("sample_handlers.stream")
    server.put(["half", None])
    post = server.take()
    assert post.payload == b"half"
    assert post.trailers["lambda-runtime-function-error-type"] == "LookupError"
    assert json.loads(base64.b64decode(post.trailers["lambda-runtime-function-error-body"]))["errorMessage"] == (
        "in the middle"
    )


@pytest.mark.parametrize(
    ("handler", "kind"),
    [("stream", "LookupError"), ("silent", "NoResponseError"), ("eager", "RuntimeError"), ("huge", "ValueError")],
)
def test_a_stream_that_never_started_is_an_error(server: RuntimeServer, start: Start, handler: str, kind: str) -> None:
    """Before the start there is still a status to choose, so the failure is reported, not streamed."""
    start(f"sample_handlers.{handler}")
    server.put(["early"])
    post = server.take()
    assert post.path == "/invocation/r-1/error"
    assert post.headers["lambda-runtime-function-error-type"] == kind


def test_an_answer_starts_once(server: RuntimeServer, start: Start) -> None:
    """A second start fails the stream: the status has left."""
    start("sample_handlers.twice")
    server.put(1)
    assert server.take().trailers["lambda-runtime-function-error-type"] == "RuntimeError"


@pytest.mark.parametrize("ending", ["return", "raise", "fail"])
def test_survives_a_client_that_went_away(server: RuntimeServer, start: Start, ending: str) -> None:
    """However the handler ends after a `ClientGone`, a new connection brings the next event; leaving is no error."""
    process = start("sample_handlers.flood")
    server.on_chunk = lambda chunk: not chunk.startswith(b"xxx")
    server.put(ending, "r-1")
    assert server.take().path == "/invocation/r-1/response"
    server.put("short", "r-2")
    post = server.take()
    assert (post.path, post.payload, post.connection) == ("/invocation/r-2/response", b"short", 2)
    code, log = process.terminate()
    assert code == 0
    assert [json.loads(line)["errorMessage"] for line in log.splitlines()] == ["while settling"] * (ending == "fail")


def test_a_buffered_answer_to_nobody_is_dropped(server: RuntimeServer, start: Start) -> None:
    """An answer that the Runtime API gives no status for is not fatal: the next event is served."""
    start("sample_handlers.fail")
    server.statuses["/invocation/r-1/response"] = 0  # no HTTP status
    server.put("", "r-1")
    server.take()
    server.put("", "r-2")
    assert server.take().path == "/invocation/r-2/response"


def test_an_answer_refused_is_logged_and_survived(server: RuntimeServer, start: Start) -> None:
    """413 and its like concern one answer only; the log says which."""
    process = start("sample_handlers.fail")
    server.statuses["/invocation/r-1/response"] = 413
    server.put("", "r-1")
    server.take()
    server.put("", "r-2")
    server.take()
    line = json.loads(process.terminate()[1])
    assert (line["errorType"], line["status"], line["requestId"]) == ("AnswerRefused", 413, "r-1")
