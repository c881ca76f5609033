"""Runs a command for as long as the tests run: `python -m tests.e2e.keeper PID COMMAND...`.

The tests stop it with SIGTERM. Should they be killed instead, the keeper sees that their process PID is gone. Either
way the command gets the SIGINT that Ctrl-C would send, and half a minute to end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

_PATIENCE = 30.0
_POLL = 0.2


def main() -> int:
    """Run the command; returns its exit status."""
    guarded, command = int(sys.argv[1]), sys.argv[2:]
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with subprocess.Popen(command, start_new_session=True) as child:
        while child.poll() is None and not stop.is_set() and _lives(guarded):
            stop.wait(_POLL)
        child.send_signal(signal.SIGINT)
        try:
            child.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
    return child.returncode


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
