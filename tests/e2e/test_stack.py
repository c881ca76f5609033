"""What starts the stack for the tests leaves no word of its own on their output."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.e2e.stack import ROOT, end

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import pathlib, sys
from tests.e2e import stack
print(stack.keep(["sleep", "60"], int(sys.argv[1]), pathlib.Path(sys.argv[2])).pid)
"""


def test_a_test_process_that_ends_first_leaves_the_stack_to_the_others_without_a_word(tmp_path: Path) -> None:
    """Of several test processes one starts the stack, and perhaps another ends it."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(os.getpid()), str(tmp_path / "kept.log")]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    end(int(told.stdout))
    assert told.stderr == ""
