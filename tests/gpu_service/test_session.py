"""A session runs where it was told to, or not at all."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import onnx
import onnxruntime
import pytest

from gpu_service.engine import Engine
from gpu_service.model import GRAPH, ModelError
from gpu_service.session import CUDA, _options, _strays, on_device, open_session

if TYPE_CHECKING:
    from pathlib import Path


class Split:
    """A session on CUDA with one node of each of these kinds on the CPU."""

    def __init__(self, *kinds: str) -> None:
        self._kinds = kinds

    def get_providers(self) -> list[str]:
        """CUDA first."""
        return [CUDA, "CPUExecutionProvider"]

    def get_provider_graph_assignment_info(self) -> list[Any]:
        """One part per provider."""
        return [
            SimpleNamespace(ep_name=CUDA, get_nodes=lambda: [SimpleNamespace(op_type="MatMul")] * 9),
            SimpleNamespace(
                ep_name="CPUExecutionProvider",
                get_nodes=lambda: [SimpleNamespace(op_type=kind) for kind in self._kinds],
            ),
        ]


def test_a_node_that_fell_back_alone_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Shapes belong on the CPU, and a line says so; what computes does not, and DEVICE=cuda refuses to start."""
    on_device(Split("Shape", "Gather", "Gather"), "cuda")
    assert json.loads(capsys.readouterr().out)["nodes"] == {"Shape": 1, "Gather": 2}
    on_device(Split("MatMulInteger"), "auto")
    assert json.loads(capsys.readouterr().out)["nodes"] == {"MatMulInteger": 1}

    with pytest.raises(
        ModelError, match=r"DEVICE=cuda, but ONNX .* computes 1 Conv, 2 MatMulInteger on the CPU.*another precision"
    ):
        on_device(Split("Conv", "Shape", "MatMulInteger", "MatMulInteger"), "cuda")


def test_onnx_runtime_tells_where_nodes_are(model_dir: Path) -> None:
    """The real one, asked as for a session on CUDA: all of them on the CPU."""
    options = _options(1, tells=True)
    session = onnxruntime.InferenceSession(str(model_dir / GRAPH), options, providers=["CPUExecutionProvider"])

    assert _strays(session)["MatMul"] > 10
    assert _strays(object()) == {}


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
        match=r"\(built for CUDA none\) could not start its CUDA provider on this machine \(.*driver.*\): "
        "this ONNX Runtime has no CUDA provider",
    ):
        Engine.open(model_dir, device="cuda")


def test_a_file_that_is_no_graph_is_told(tmp_path: Path) -> None:
    """ONNX Runtime's own words stand in the error, in one line."""
    (tmp_path / GRAPH).write_bytes(b"no graph")

    with pytest.raises(ModelError, match=r"cannot load .*model\.onnx: .*") as caught:
        open_session(tmp_path / GRAPH, threads=1, device="cpu")
    assert "\n" not in str(caught.value)


def test_a_graph_of_a_later_opset_is_told(model_dir: Path, tmp_path: Path) -> None:
    """What to do about it stands behind ONNX Runtime's own words."""
    graph = onnx.load(str(model_dir / GRAPH), load_external_data=False)
    graph.opset_import[0].version = 99
    (tmp_path / GRAPH).write_bytes(graph.SerializeToString())

    with pytest.raises(ModelError, match=r"pset 99 .*Export the model with an opset that this version has"):
        open_session(tmp_path / GRAPH, threads=1, device="cpu")
