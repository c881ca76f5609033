"""How the runtime loop begins and ends: loading, snapshots, signals, a Runtime API that is lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functions.conftest import Process, RuntimeServer

    Start = Callable[..., Process]

ROOT = Path(__file__).parents[2]


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
