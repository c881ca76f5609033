"""What the ready screen shows to be pasted does what it says, wherever the run keeps its state."""

from __future__ import annotations

import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.stack import ROOT

if TYPE_CHECKING:
    from tests.e2e.stack import Stack


@pytest.fixture(scope="module")
def screen(stack: Stack) -> str:
    """Return what the run has printed once it was ready."""
    printed = Path(stack.state).with_name("nexus.log").read_text()
    return printed[printed.index("AI-Nexus is ready") :]


def _done(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_command_for_more_keys_makes_one(screen: str) -> None:
    """For this run, though its state is not where it usually is."""
    [line] = [line for line in screen.splitlines() if line.startswith("More keys: ")]
    assert "nexus_default-" in _done(shlex.split(line.removeprefix("More keys: ")))


def test_the_program_prints_an_answer(screen: str) -> None:
    """It is indented, to be seen as one."""
    last = "flush=True)"
    program = screen[screen.index("  from openai") : screen.index(last)] + last
    assert _done([sys.executable, "-c", textwrap.dedent(program)]).strip()
