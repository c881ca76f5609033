"""stdy, a mock server that none of us wrote: it serves an OpenAPI document, and holds requests against it."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.e2e.node_packages import installed
from tests.e2e.stack import free_port, listens, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def serving(document: dict[str, Any], folder: Path) -> Iterator[int]:
    """Have it served for the length of the block; gives the port."""
    path, log, port = folder / "openapi.json", folder / "stdy.log", free_port()
    path.write_text(json.dumps(document))
    options = ["--host", "127.0.0.1", "--port", str(port), "--stream-interval=0", "--stream-count=2", "--quiet"]
    with (
        log.open("wb") as words,
        subprocess.Popen([str(_program()), *options, str(path)], stdout=words, stderr=words) as process,
    ):
        until(lambda: listens(port), process, log)
        yield port
        process.terminate()


def judged(document: dict[str, Any], folder: Path) -> str:
    """Return what it has to say against the document itself."""
    path = folder / "openapi.json"
    path.write_text(json.dumps(document))
    done = subprocess.run([str(_program()), "validate", str(path)], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 and done.stdout.strip() == "All good" else done.stdout + done.stderr


def _program() -> Path:
    """Return stdy itself, whichever of its packages is this machine's; its npm command only starts it."""
    [found] = (installed() / "node_modules/@stdy").glob("cli-*/bin/steady")
    return found
