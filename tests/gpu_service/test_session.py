"""A session runs where it was told to, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnxruntime
import pytest

from gpu_service.engine import Engine
from gpu_service.model import GRAPH, ModelError
from gpu_service.session import on_device, open_session

if TYPE_CHECKING:
    from pathlib import Path


class FellBack:
    """What ONNX Runtime gives whoever asks for CUDA where CUDA cannot start: a session on the CPU."""

    def get_providers(self) -> list[str]:
        """The CPU alone, without a word."""
        return ["CPUExecutionProvider"]


def test_a_silent_fallback_from_cuda_is_refused() -> None:
    """With DEVICE=cuda a session on the CPU is an error that names the remedies; with auto it is taken."""
    with pytest.raises(ModelError, match=r"DEVICE=cuda, but .* install onnxruntime-gpu .* or set DEVICE=cpu"):
        on_device(FellBack(), "cuda")
    assert on_device(FellBack(), "auto").get_providers() == ["CPUExecutionProvider"]


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this machine has CUDA")
@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
def test_cuda_without_cuda_does_not_start(model_dir: Path) -> None:
    """The plain onnxruntime wheel cannot serve DEVICE=cuda."""
    with pytest.raises(ModelError, match="could not start its CUDA provider"):
        Engine.open(model_dir, device="cuda")


def test_a_file_that_is_no_graph_is_told(tmp_path: Path) -> None:
    """ONNX Runtime's own words stand in the error, in one line."""
    (tmp_path / GRAPH).write_bytes(b"no graph")

    with pytest.raises(ModelError, match=r"cannot load .*model\.onnx: .*") as caught:
        open_session(tmp_path / GRAPH, threads=1, device="cpu")
    assert "\n" not in str(caught.value)
