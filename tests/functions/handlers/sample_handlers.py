"""Handlers for the loop to run: each shows one way to answer, or to fail."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from shared.edge.response import ClientGone

if TYPE_CHECKING:
    from shared.edge.response import Out

HTML = {"content-type": "text/html"}


def echo(event: Any, context: Any) -> dict[str, Any]:
    """Answer with everything the invocation knows."""
    return {
        "event": event,
        "id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "left": context.get_remaining_time_in_millis(),
        "deadline": context.deadline_ms,
        "name": context.function_name,
        "memory": context.memory_limit_in_mb,
        "trace": os.environ["_X_AMZN_TRACE_ID"],
    }


def fail(event: Any, _context: Any) -> str:
    """Fail when asked to, with words that would break a header."""
    if event == "fail":
        raise ValueError('no "luck"\r\nx: y \u20ac')
    return "fine"


def unserializable(_event: Any, _context: Any) -> object:
    """Answer what JSON cannot say."""
    return object()


def leave(_event: Any, _context: Any) -> None:
    """End the process from inside."""
    sys.exit(3)


def slow(_event: Any, _context: Any) -> str:
    """Take a moment, saying when it begins."""
    print("begun", flush=True)  # noqa: T201 - the test listens for it
    time.sleep(0.5)
    return "done"


def endless(_event: Any, _context: Any) -> None:
    """Take for ever, and say so when it is unwound."""
    print("begun", flush=True)  # noqa: T201 - the test listens for it
    try:
        time.sleep(60)
    finally:
        print("unwound", flush=True)  # noqa: T201 - the test listens for it


def stream(event: Any, _context: Any, out: Out) -> None:
    """Push what the event lists: strings are chunks, numbers are waits, null is a failure, "gone" ends on a hang-up."""
    if event and event[0] == "early":
        raise LookupError("before the start")
    out.start(201, {"content-type": "text/event-stream", "x-a": "b"})
    for item in event:
        if item is None:
            raise LookupError("in the middle")
        if isinstance(item, (int, float)):
            time.sleep(item)
        else:
            out.write(item.encode())


def pour(event: Any, _context: Any, out: Out) -> None:
    """Answer a request over HTTP in the chunks that it lists."""
    out.start(200, {"content-type": "text/event-stream"})
    for chunk in event["chunks"]:
        out.write(chunk.encode())


def silent(_event: Any, _context: Any, _out: Out) -> None:
    """Forget to answer."""


def twice(_event: Any, _context: Any, out: Out) -> None:
    """Start two answers."""
    out.start(200, HTML)
    out.start(200, HTML)


def eager(_event: Any, _context: Any, out: Out) -> None:
    """Write before the start."""
    out.write(b"x")


def huge(_event: Any, _context: Any, out: Out) -> None:
    """Send more headers than API Gateway reads."""
    out.start(200, {"x-a": "a" * 17000})


def flood(event: Any, _context: Any, out: Out) -> None:
    """Write until nobody listens; then tell, and end as the event says."""
    if event == "short":
        out.start(200, HTML)
        out.write(b"short")
        return
    out.start(200, HTML)
    try:
        while True:
            out.write(b"x" * 1000)
            time.sleep(0.001)
    except ClientGone:
        print("gone", flush=True)  # noqa: T201 - the test listens for it
        if event == "raise":
            raise
        if event == "fail":
            raise LookupError("while settling") from None


def leave_midway(_event: Any, _context: Any, out: Out) -> None:
    """End the process in the middle of an answer."""
    out.start(200, HTML)
    out.write(b"half")
    sys.exit(3)


HANDLERS: list[Any] = [stream, pour, silent, twice, eager, huge, flood, leave_midway]
for _handler in HANDLERS:
    _handler.streams = True
