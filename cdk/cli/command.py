"""The entry point of `nexus`: ready for Ctrl-C before anything that takes its time is imported."""

from __future__ import annotations

import os
import signal
import sys


def main() -> int:
    """Run one command; return its exit status. Until a command takes care of it itself, Ctrl-C just ends it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from cdk.cli.main import main as run  # noqa: PLC0415 - half a second, in which somebody may change their mind

    try:
        status = run()
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has seen enough, as in `nexus audit | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status
