"""The command says what it can do and what is wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gpu_service.cli import main

WEIGHT = """
import contextlib, sys
from gpu_service.cli import main
with contextlib.suppress(SystemExit):
    main(["--help"])
print(sorted({"numpy", "onnx", "onnxruntime", "uvicorn"} & set(sys.modules)))
"""


@pytest.mark.parametrize("arguments", [[], ["train"], ["serve", "--port", "http"], ["serve", "--port", "70000"]])
def test_a_wrong_command_line_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The usage and one line of reason."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert "usage: python -m gpu_service" in capsys.readouterr().err


def test_help_names_the_environment_and_loads_nothing_heavy() -> None:
    """`--help` lists the variables, and answers without numpy, ONNX or a server."""
    done = subprocess.run([sys.executable, "-c", WEIGHT], check=True, capture_output=True, text=True)

    assert all(name in done.stdout for name in ("MODEL_DIR", "GPU_SERVICE_TOKEN", "SAGEMAKER_BIND_TO_PORT", "DEVICE"))
    assert done.stdout.endswith("[]\n")
