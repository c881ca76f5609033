"""Functions for real processes: copied into a task root as `app.py` and run by the real runtime loop."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.edge.response import Out

if os.environ.get("BROKEN"):
    raise RuntimeError(os.environ["BROKEN"])
if os.environ.get("ENDS"):
    os._exit(3)

Event = dict[str, Any]


def tell(_event: Event, context: Any) -> Event:
    """Say who is running, and with what."""
    return {
        "pid": os.getpid(),
        "environment": dict(os.environ),
        "path": sys.path,
        "arn": context.invoked_function_arn,
        "deadline_ms": context.deadline_ms,
    }


def obey(event: Event, _context: object) -> Event:
    """Do what the event says."""
    for text in event.get("write", []):
        os.write(1, text.encode("latin-1"))
    if "until" in event:
        while not Path(event["until"]).exists():
            time.sleep(0.005)
    if "raise" in event:
        raise ValueError(event["raise"])
    if "exit" in event:
        os._exit(event["exit"])
    if "grandchild" in event:
        child = subprocess.Popen(["sleep", "60"])  # noqa: S607 - any program that outlives its parent
        return {"pid": os.getpid(), "child": child.pid}
    return {"pid": os.getpid(), "answer": "x" * event.get("size", 0)}


def pour(event: Event, _context: object, out: Out) -> None:
    """Stream `chunks`, then end as the event says."""
    out.start(200, {"content-type": "text/plain"})
    for chunk in event["chunks"]:
        out.write(chunk.encode())
    if "raise" in event:
        raise ValueError(event["raise"])
    if "exit" in event:
        os._exit(event["exit"])


setattr(pour, "streams", True)  # noqa: B010 - how the runtime loop knows
