"""ONNX Runtime reports to nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SESSION = """
import os, sys
import gpu_service
assert "onnxruntime" not in sys.modules, "loaded before the variable stood"
from pathlib import Path
from gpu_service.session import open_session
open_session(Path(sys.argv[1]) / "model.onnx", threads=1, device="cpu")
print(os.environ["ORT_DISABLE_TELEMETRY"])
"""


def test_a_session_leaves_no_trace_of_telemetry(model_dir: Path, tmp_path: Path) -> None:
    """Opening a session in a fresh home makes none of the files that ONNX Runtime's telemetry keeps there."""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}

    done = subprocess.run(
        [sys.executable, "-c", SESSION, str(model_dir)],
        env={**environment, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / ".cache")},
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout.strip() == "1"
    assert list(tmp_path.rglob("*")) == []
