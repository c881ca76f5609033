"""The runtime loop against a real Runtime API: what is said on the wire, in which order, and when it leaves."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functions.conftest import Process, RuntimeServer

    Start = Callable[..., Process]

ROOT = Path(__file__).parents[2]


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


def test_a_broken_runtime_api_ends_the_process(server: RuntimeServer, start: Start) -> None:
    """500 means by contract that the environment must end."""
    process = start("sample_handlers.fail")
    server.statuses["/invocation/r-1/response"] = 500
    server.put("")
    assert process.end()[0] == 1


def test_a_lost_runtime_api_ends_the_process(server: RuntimeServer, start: Start) -> None:
    """When nobody listens any more, the loop says so in one line and ends."""
    process = start("sample_handlers.fail")
    server.put("")
    server.take()
    server.close()
    code, log = process.end()
    assert code == 1
    assert "The Runtime API is gone" in json.loads(log)["errorMessage"]


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        ("missing_module.handler", "ModuleNotFoundError"),
        ("sample_handlers.missing", "AttributeError"),
        ("broken_import.handler", "RuntimeError"),
        ("nonsense", "ValueError"),
    ],
)
def test_reports_a_function_that_does_not_load(server: RuntimeServer, start: Start, handler: str, kind: str) -> None:
    """The Runtime API is told what failed, the log too, and the process ends; no event is asked for."""
    process = start(handler)
    post = server.take()
    assert (post.path, post.headers["lambda-runtime-function-error-type"]) == ("/init/error", kind)
    assert process.end()[0] == 1
    assert server.gets == []


def test_runs_snapstart_hooks_around_the_snapshot(server: RuntimeServer, start: Start) -> None:
    """Hooks run last-first before it and first-first after it; no connection is carried over."""
    start("snapshot_handlers.handler", AWS_LAMBDA_INITIALIZATION_TYPE="snap-start")
    server.put(1)
    assert json.loads(server.take().body) == ["before 2", "before 1", "after 1", "after 2"]
    assert server.gets[:2] == [("/restore/next", 1), ("/invocation/next", 2)]


def test_runs_no_hooks_without_snapstart(server: RuntimeServer, start: Start) -> None:
    """An ordinary start knows nothing of snapshots."""
    start("snapshot_handlers.handler")
    server.put(1)
    assert json.loads(server.take().body) == []


@pytest.mark.parametrize(("hook", "path", "code"), [("before", "/init/error", 64), ("after", "/restore/error", 65)])
def test_reports_a_hook_that_fails(server: RuntimeServer, start: Start, hook: str, path: str, code: int) -> None:
    """Each side of the snapshot has its own report and exit code, those of AWS's runtime."""
    process = start("snapshot_handlers.handler", AWS_LAMBDA_INITIALIZATION_TYPE="snap-start", FAIL=hook)
    assert server.take().path == path
    assert process.end()[0] == code


def _begun(process: Process) -> None:
    assert process.started.stdout is not None
    assert process.started.stdout.readline() == b"begun\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_at_once_between_events(server: RuntimeServer, start: Start, number: int) -> None:
    """While it waits, a signal ends the loop with success and not a word."""
    process = start("sample_handlers.fail")
    server.put("")
    server.take()
    process.started.send_signal(number)
    assert process.end() == (0, "")


def test_ends_after_the_running_event(server: RuntimeServer, start: Start) -> None:
    """A signal during an event lets it finish and be answered."""
    process = start("sample_handlers.slow")
    server.put("")
    _begun(process)
    process.started.terminate()
    assert json.loads(server.take().body) == "done"
    assert process.end() == (0, "")


def test_a_second_signal_unwinds_the_running_event(server: RuntimeServer, start: Start) -> None:
    """Who asks twice does not wait; still the handler's `finally` runs, and the caller hears of it."""
    process = start("sample_handlers.endless")
    server.put("")
    _begun(process)
    process.started.terminate()
    time.sleep(0.1)
    process.started.terminate()
    assert server.take().path == "/invocation/r-1/error"
    assert process.started.stdout is not None
    assert process.started.stdout.readline() == b"unwound\n"
    assert process.end()[0] == 0


def test_a_process_ended_midway_tells_so_in_the_trailers(server: RuntimeServer, start: Start) -> None:
    """`sys.exit` in the middle of a stream is a failure for its reader, never a clean end."""
    process = start("sample_handlers.leave_midway")
    server.put(1)
    assert server.take().trailers["lambda-runtime-function-error-type"] == "SystemExit"
    assert process.end()[0] == 3


def test_the_bootstrap_runs_the_loop_on_the_given_interpreter(server: RuntimeServer, start: Start) -> None:
    """Lambda hands the wrapper the managed runtime's command; the interpreter it names runs ours."""
    command = [str(ROOT / "functions" / "bootstrap"), sys.executable, "/var/runtime/bootstrap.py"]
    start("functions.runtime_missing.handler", *command, LAMBDA_TASK_ROOT=str(ROOT))
    assert server.take().path == "/init/error"


def test_the_bootstrap_falls_back_to_the_runtimes_interpreter() -> None:
    """Without arguments it is the interpreter of the managed runtime, which is not on this machine."""
    command = ["/bin/sh", str(ROOT / "functions" / "bootstrap")]
    done = subprocess.run(command, env={"LAMBDA_TASK_ROOT": str(ROOT)}, capture_output=True, check=False)
    assert done.returncode == 127
    assert b"/var/lang/bin/python3" in done.stderr
