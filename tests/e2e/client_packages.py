"""The locked libraries that judge the gateway, in an environment of their own, made once for each state of the lock."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

from tests.e2e.stack import ROOT

SUITE = Path(__file__).with_name("clients") / "suite.py"
LOCK = SUITE.with_name("requirements.lock")
UV = Path(sys.executable).with_name("uv")


def installed() -> Path:
    """Return the folder of their interpreter and commands."""
    folder = ROOT / "build" / "clients" / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name("lock").open("a") as lock:  # two test processes may need them at the same time
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _install(folder)
    return folder / "bin"


def _install(folder: Path) -> None:
    """Install into a folder of our own and move it into place, so that a half-done one is never used."""
    scratch = folder.with_name(f"{folder.name}.{os.getpid()}")
    venv.create(scratch)
    install = [str(UV), "pip", "sync", "--quiet", "--require-hashes", str(LOCK)]
    install += ["--python", str(scratch / "bin" / "python")]
    done = subprocess.run(install, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    scratch.rename(folder)
