"""The Lambda runtime loop: `python -m functions.runtime` hands the Runtime API's events to `_HANDLER`.

It exists because the managed Python runtime cannot stream an answer. A handler is `handler(event, context)` returning
JSON, or, marked with `handler.streams = True`, `handler(event, context, out)` pushing its answer into a
`shared.edge.response.Out`.

SIGTERM and SIGINT end it at once between events, and after the running one otherwise; a second signal unwinds that too.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from functions import cors
from functions.runtime_api import Failure, RuntimeApi, RuntimeApiError
from shared.edge import snapshot
from shared.edge.response import ClientGone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from functions.runtime_api import Invocation, Stream

_REFUSED, _BROKEN = 400, 500  # from the latter on, the contract says: exit promptly
_EXIT_INIT, _EXIT_SNAPSHOT, _EXIT_RESTORE = 1, 64, 65  # the last two as in AWS's own runtime


class NoResponseError(Exception):
    """A streaming handler returned without having started an answer."""


class Context:
    """What a handler may know of its invocation; the names are those of AWS's own runtime."""

    def __init__(self, invocation: Invocation, environment: Mapping[str, str]) -> None:
        self.aws_request_id = invocation.request_id
        self.invoked_function_arn = invocation.headers.get("lambda-runtime-invoked-function-arn", "")
        self.deadline_ms = int(invocation.headers.get("lambda-runtime-deadline-ms", "0"))  # since the epoch
        self.function_name = environment.get("AWS_LAMBDA_FUNCTION_NAME", "")
        self.function_version = environment.get("AWS_LAMBDA_FUNCTION_VERSION", "")
        self.memory_limit_in_mb = environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
        self.log_group_name = environment.get("AWS_LAMBDA_LOG_GROUP_NAME", "")
        self.log_stream_name = environment.get("AWS_LAMBDA_LOG_STREAM_NAME", "")

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the invocation, never negative."""
        return max(0, self.deadline_ms - int(time.time() * 1000))


class Loop:
    """Serves one handler, one event at a time, until it is told to stop."""

    def __init__(self, api: RuntimeApi, handler: Callable[..., Any], environment: Mapping[str, str]) -> None:
        self._api = api
        self._handler = handler
        self._serve = self._stream if getattr(handler, "streams", False) else self._answer
        self._environment = environment
        self._idle = self._stopping = False

    def stop(self, *_signal: object) -> None:
        """End the loop as the module's docstring says; this is a signal handler."""
        if self._idle or self._stopping:
            raise SystemExit(0)
        self._stopping = True

    def run(self) -> None:
        """Serve until `stop`.

        Raises:
            OSError: the Runtime API is not there any more.
            RuntimeApiError: it asks the environment to end.
        """
        while True:
            self._idle = True  # before the check, or a signal between the two would be lost
            if self._stopping:
                return
            invocation = self._api.next()
            self._idle = False
            self._once(invocation)

    def _once(self, invocation: Invocation) -> None:
        os.environ["_X_AMZN_TRACE_ID"] = invocation.headers.get("lambda-runtime-trace-id", "")
        try:
            status = self._serve(invocation)
        except ClientGone:
            self._api.drop()  # nobody is left to answer
            return
        if status >= _BROKEN:
            raise RuntimeApiError(f"The answer to {invocation.request_id} was met with {status}.")
        if status >= _REFUSED:  # too late or too large: Lambda has told the caller
            _log({"errorType": "AnswerRefused", "status": status, "requestId": invocation.request_id})

    def _answer(self, invocation: Invocation) -> int:
        try:
            event, context = self._open(invocation)
            body = json.dumps(self._handler(event, context)).encode()
        except BaseException as error:
            status = self._api.fail(invocation, _report(error, invocation))
            if isinstance(error, Exception):
                return status
            raise
        return self._api.respond(invocation, body)

    def _stream(self, invocation: Invocation) -> int:
        out = self._api.stream(invocation)
        try:
            self._pour(invocation, out)
        except BaseException as error:
            if out.gone and isinstance(error, ClientGone):
                raise
            status = self._break(invocation, out, _report(error, invocation))
            if isinstance(error, Exception):
                return status
            raise
        return out.finish()

    def _pour(self, invocation: Invocation, out: Stream) -> None:
        event, context = self._open(invocation)
        self._handler(event, context, out)
        if not out.started:
            raise NoResponseError("The handler returned without starting an answer.")

    def _open(self, invocation: Invocation) -> tuple[Any, Context]:
        return json.loads(invocation.body), Context(invocation, self._environment)

    def _break(self, invocation: Invocation, out: Stream, failure: Failure) -> int:
        return out.finish(failure) if out.started else self._api.fail(invocation, failure)


def load(name: str) -> Callable[..., Any]:
    """Import the handler called `package.module.function`; the garbage collector never looks at what that made."""
    module, _, function = name.replace("/", ".").rpartition(".")
    gc.disable()
    try:
        handler: Callable[..., Any] = getattr(importlib.import_module(module), function)
    finally:
        gc.freeze()
        gc.enable()
    return handler


def restore(api: RuntimeApi) -> None:
    """Let the snapshot be taken, and run the hooks on both sides of it."""
    try:
        snapshot.run_before_snapshot()
        api.restored()
    except Exception as error:  # noqa: BLE001 - told to Lambda, and the end
        api.fail_init(_report(error))
        sys.exit(_EXIT_SNAPSHOT)
    try:
        snapshot.run_after_restore()
    except Exception as error:  # noqa: BLE001 - told to Lambda, and the end
        api.fail_restore(_report(error))
        sys.exit(_EXIT_RESTORE)


def main(environment: Mapping[str, str]) -> None:
    """Load the handler and serve it; returns when it was told to stop, exits when something is wrong."""
    _on_signals(lambda *_: sys.exit(0))
    sys.modules.setdefault("snapshot_restore_py", snapshot)
    api = RuntimeApi(environment["AWS_LAMBDA_RUNTIME_API"])
    try:
        handler = cors.allowing(load(environment["_HANDLER"]), environment)
    except Exception as error:  # noqa: BLE001 - told to Lambda, and the end
        api.fail_init(_report(error))
        sys.exit(_EXIT_INIT)
    if environment.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        restore(api)
    loop = Loop(api, handler, environment)
    _on_signals(loop.stop)
    try:
        loop.run()
    except (OSError, RuntimeApiError) as error:
        _log({"errorType": type(error).__name__, "errorMessage": f"The Runtime API is gone: {error}"})
        sys.exit(_EXIT_INIT)


def _on_signals(action: Callable[..., None]) -> None:
    signal.signal(signal.SIGTERM, action)
    signal.signal(signal.SIGINT, action)


def _report(error: BaseException, invocation: Invocation | None = None) -> Failure:
    failure = Failure.of(error)
    _log({**json.loads(failure.body), "requestId": invocation.request_id if invocation else ""})
    return failure


def _log(facts: Mapping[str, object]) -> None:
    sys.stderr.write(json.dumps({"level": "ERROR", **facts}) + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main(os.environ)
