"""`python -m cdk.local.simulated --host 127.0.0.1 --port 0`: serve until SIGINT or SIGTERM.

Prints one line with the base URL when ready; `--quiet` prints nothing. Exits with 1 and a clear line if the port is
taken.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from cdk.local.simulated.app import App
from cdk.local.simulated.server import serve


def main() -> int:
    """Parse the arguments and serve; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m cdk.local.simulated", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--quiet", action="store_true")
    asked = parser.parse_args()
    try:
        asyncio.run(_run(asked.host, asked.port, quiet=asked.quiet))
    except OSError as error:
        print(f"simulated provider: cannot listen on {asked.host}:{asked.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


async def _run(host: str, port: int, *, quiet: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)

    def ready(taken: int) -> None:
        if not quiet:
            print(f"simulated provider on http://{host}:{taken}/v1", flush=True)

    await serve(App(), host, port, stop, ready)


if __name__ == "__main__":
    sys.exit(main())
