"""An unpacked zip for the functions of these tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.local.front.pool import ROOT


@pytest.fixture(scope="session")
def task_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unpacked zip: the runtime loop and the handlers."""
    root = tmp_path_factory.mktemp("task")
    for part in ("functions", "shared"):
        (root / part).symlink_to(ROOT / part)
    shutil.copy(Path(__file__).with_name("handlers.py"), root / "app.py")
    return root
