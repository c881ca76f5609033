"""The entry point of `nexus`: ready for Ctrl-C before anything that takes its time is imported."""

from __future__ import annotations

import io
import os
import signal
import sys


def main() -> int:
    """Run one command; return its exit status. Until a command takes care of it itself, Ctrl-C just ends it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.stdout is None:  # what is printed may be a key that is shown only once
        print("nexus: standard output is closed, so nothing was done.", file=sys.stderr)
        return 1
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names may hold what a terminal cannot show
    from cdk.cli.main import main as run  # noqa: PLC0415 - half a second, in which somebody may change their mind

    try:
        status = run()
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has seen enough, as in `nexus audit | head`
        return _silenced()
    except OSError as error:
        print(f"nexus: {error}", file=sys.stderr)
        return _silenced()
    return status


def _silenced() -> int:
    """Let nothing more be written at the end; returns the status of a failure."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
