"""`make setup` where something is already there, or missing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_an_environment_that_was_left_half_made_is_made_anew(tmp_path: Path) -> None:
    """Ctrl-C while it is made leaves a Python without pip, with which every later set-up would fail."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    half = tmp_path / ".venv/bin/python"
    half.parent.mkdir(parents=True)
    executable(half, "exit 1")
    python = executable(tmp_path / "python", f'echo "$@" >> {tmp_path}/asked; test "$1" = -c')
    done = subprocess.run(
        [shutil.which("make") or "make", "setup", f"PYTHON={python}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode
    assert (tmp_path / "asked").read_text().endswith("-m venv --clear .venv\n")
    assert "cannot make a virtual environment: install its venv module" in done.stdout


def executable(path: Path, line: str) -> Path:
    """Write a program of one line of shell."""
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path
