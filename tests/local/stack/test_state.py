"""Logs on a disk that is full: what cannot be kept is dropped, and that is said."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from cdk.local.state import Logs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a disk that is always full")
def test_a_full_disk_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told once, however many lines are lost, and other logs go on."""
    logs = Logs(tmp_path)
    logs.path("full").symlink_to("/dev/full")
    with logs.functions({"a": "full", "b": "fine"}) as write:
        for function in "aabba":
            write(function, "line")
    assert logs.path("fine").read_text() == "line\nline\n"
    assert capsys.readouterr().err == (
        "nexus: logs cannot be written (No space left on device); their lines are dropped.\n"
    )
