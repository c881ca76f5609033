"""The libraries that people build on, each unmodified, in an environment of their own: `clients/suite.py`."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.stack import CHAT, EMBEDDING, ROOT, Stack

if TYPE_CHECKING:
    from collections.abc import Mapping

SUITE = Path(__file__).with_name("clients") / "suite.py"
LOCK = SUITE.with_name("requirements.lock")
CHECKS = re.findall(r"^def ([a-z]\w+)\(\)", SUITE.read_text(), re.MULTILINE)
UV = Path(sys.executable).with_name("uv")

pytestmark = pytest.mark.xdist_group("client libraries")


@pytest.fixture(scope="session")
def python() -> Path:
    """Return the interpreter of an environment with the locked libraries, made once for each state of the lock."""
    folder = ROOT / "build" / "clients" / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    if not folder.exists():
        scratch = folder.with_name(f"{folder.name}.{os.getpid()}")
        venv.create(scratch)
        install = [str(UV), "pip", "sync", "--quiet", "--require-hashes", str(LOCK)]
        install += ["--python", str(scratch / "bin" / "python")]
        done = subprocess.run(install, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        scratch.rename(folder)  # a half-made one is never used
    return folder / "bin" / "python"


@pytest.fixture(scope="session")
def verdicts(python: Path, stack: Stack) -> Mapping[str, str | None]:
    """Return what went wrong with each library, None where nothing did."""
    command = [str(python), str(SUITE), stack.base_url, stack.client_key, CHAT, EMBEDDING]
    done = subprocess.run(command, text=True, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"name"')]
    return {line["name"]: line["failure"] for line in lines}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("check", CHECKS)
def test_library(verdicts: Mapping[str, str | None], check: str) -> None:
    """It says what the model said, whole and streamed, and structured or with tools where it can."""
    assert verdicts[check] is None, verdicts[check]


def test_all_checks_are_read() -> None:
    """The names come out of the script itself; a change of its form must not lose them."""
    assert len(CHECKS) >= 6
