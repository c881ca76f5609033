"""A session runs where it was told to, or not at all."""

from __future__ import annotations

import ctypes
import re
from typing import TYPE_CHECKING, Any

import onnx
import onnxruntime
import pytest

from gpu_service import driver
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
    with pytest.raises(
        ModelError, match=r"DEVICE=cuda, but .* install onnxruntime-gpu in its place, or set DEVICE=cpu"
    ):
        on_device(FellBack(), "cuda")
    assert on_device(FellBack(), "auto").get_providers() == ["CPUExecutionProvider"]


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this machine has CUDA")
@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
def test_cuda_without_cuda_does_not_start(model_dir: Path) -> None:
    """The plain onnxruntime wheel cannot serve DEVICE=cuda."""
    with pytest.raises(
        ModelError,
        match=r"\(built for CUDA none\) could not start its CUDA provider: this ONNX Runtime has no CUDA provider",
    ):
        Engine.open(model_dir, device="cuda")


def test_a_file_that_is_no_graph_is_told(tmp_path: Path) -> None:
    """ONNX Runtime's own words stand in the error, in one line."""
    (tmp_path / GRAPH).write_bytes(b"no graph")

    with pytest.raises(ModelError, match=r"cannot load .*model\.onnx: .*") as caught:
        open_session(tmp_path / GRAPH, threads=1, device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("built", "version", "told"),
    [
        ("", None, "this ONNX Runtime has no CUDA provider: install onnxruntime-gpu in its place"),
        ("13.0", None, r"there is no CUDA driver \(libcuda.so.1\): give the container a GPU and driver 580 or newer"),
        ("13.0", (12, 2), "the driver runs CUDA 12.2 at most: install driver 580 or newer, or onnxruntime-gpu==1.26.0"),
        ("12.8", (13, 0), r"the driver runs CUDA 13.0, so a library is missing: install onnxruntime-gpu\[cuda,cudnn\]"),
    ],
)
def test_each_way_to_have_no_cuda_has_its_remedy(built: str, version: tuple[int, int] | None, told: str) -> None:
    """Wheel, driver, versions that do not fit, libraries; each names DEVICE=cpu as the way out."""
    sentence = driver.remedy(built, version)

    assert re.match(told, sentence)
    assert sentence.endswith("or set DEVICE=cpu")


class Library:
    """libcuda with that answer."""

    def __init__(self, version: int, failed: int = 0) -> None:
        self._version, self._failed = version, failed

    def cuDriverGetVersion(self, pointer: Any) -> int:  # noqa: N802 - CUDA's name
        """Write the version."""
        pointer._obj.value = self._version
        return self._failed


def test_the_driver_is_asked() -> None:
    """Its 12020 means CUDA 12.2; a call that fails, a library without it, and none at all mean no driver."""

    def missing(_name: str) -> Library:
        raise OSError("libcuda.so.1: cannot open shared object file")

    assert driver.supported(lambda _: Library(12020)) == (12, 2)
    assert driver.supported(lambda _: Library(12020, failed=100)) is None
    assert driver.supported(lambda _: ctypes.CDLL(None)) is None
    assert driver.supported(missing) is None


def test_a_graph_of_a_later_opset_is_told(model_dir: Path, tmp_path: Path) -> None:
    """What to do about it stands behind ONNX Runtime's own words."""
    graph = onnx.load(str(model_dir / GRAPH), load_external_data=False)
    graph.opset_import[0].version = 99
    (tmp_path / GRAPH).write_bytes(graph.SerializeToString())

    with pytest.raises(ModelError, match=r"pset 99 .*Export the model with an opset that this version has"):
        open_session(tmp_path / GRAPH, threads=1, device="cpu")
