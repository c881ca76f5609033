"""Opens an ONNX Runtime session on the device that was asked for, and on no other without a word.

ONNX Runtime answers a CUDA provider that cannot start with a session on the CPU and a line on stderr, so the session is
asked afterwards where it runs.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any, Final

import onnxruntime

from gpu_service import driver
from gpu_service.cuda import Cuda
from gpu_service.log import event
from gpu_service.model import REMEDY, ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gpu_service.settings import Device

_CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
_USUAL: Final = Cuda()
_HEAVY: Final = frozenset(  # what a run spends its time on
    (
        "Attention",
        "Conv",
        "DynamicQuantizeMatMul",
        "FusedMatMul",
        "Gemm",
        "GroupQueryAttention",
        "MatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "MatMulNBits",
        "MultiHeadAttention",
        "QLinearMatMul",
        "SkipLayerNormalization",
    )
)


class Interrupts:
    """ONNX Runtime's way to end a run from another thread, for the threads that share a session."""

    def __init__(self) -> None:
        self._options: dict[int, Any] = {}

    def options(self, entries: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - onnxruntime publishes no types
        """Give the options for this thread's next run, with these `entries`."""
        found = self._options[threading.get_ident()] = onnxruntime.RunOptions()
        for name, value in (entries or {}).items():
            found.add_run_config_entry(name, value)
        return found

    def end(self, thread: int) -> None:
        """Let the run of `thread` end with an error after the kernel that it is in."""
        if (options := self._options.get(thread)) is not None:
            options.terminate = True


def open_session(path: Path, *, threads: int, device: Device, cuda: Cuda = _USUAL) -> Any:  # noqa: ANN401 - onnxruntime publishes no types
    """Load the graph at `path`; one call to `run` uses `threads` cores.

    Raises:
        ModelError: the graph cannot be loaded, or not on this device.
    """
    providers = _providers(device, cuda)
    if len(providers) > 1 and CUDA in onnxruntime.get_available_providers():
        with redirect_stdout(sys.stderr):  # the log is JSON
            onnxruntime.preload_dlls()  # of the packages that it was installed with; it tells, and never raises
    try:
        session = onnxruntime.InferenceSession(
            str(path), _options(threads, tells=len(providers) > 1), providers=providers
        )
    except Exception as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ModelError(
            f"ONNX Runtime {onnxruntime.__version__} cannot load {path}: {reason}.{_remedy(reason)}"
        ) from error
    return on_device(session, device)


def on_device(session: Any, device: Device) -> Any:  # noqa: ANN401 - as above
    """Return `session` if it runs where it should.

    Raises:
        ModelError: CUDA was asked for, and the session fell back to the CPU.
    """
    if device == "cuda" and session.get_providers()[0] != CUDA:
        version, built = onnxruntime.__version__, str(getattr(onnxruntime, "cuda_version", "") or "")
        seen = driver.found()
        lacking = driver.missing(built) if built else []
        raise ModelError(
            f"DEVICE=cuda, but ONNX Runtime {version} (built for CUDA {built or 'none'}) could not start its CUDA "
            f"provider on this machine ({seen or 'no CUDA driver'}): {driver.remedy(built, seen, lacking)}."
        )
    if session.get_providers()[0] == CUDA:
        _check_places(session, device)
    return session


def _check_places(session: Any, device: Device) -> None:  # noqa: ANN401 - as above
    """Look for nodes that ONNX Runtime put on the CPU, as the CUDA provider has no kernel for them.

    Raises:
        ModelError: CUDA was asked for, and a node that does the computing is among them.
    """
    strays = _strays(session)
    if heavy := {kind: count for kind, count in strays.items() if kind in _HEAVY and device == "cuda"}:
        version, built = onnxruntime.__version__, str(getattr(onnxruntime, "cuda_version", "") or "")
        raise ModelError(
            f"DEVICE=cuda, but ONNX Runtime {version} (built for CUDA {built or 'none'}; {driver.found()}) computes "
            f"{_counted(heavy)} on the CPU, as its CUDA provider has no kernel for them: use another precision "
            "(fp16 or fp32 in place of int8), export the model with other operators, or set DEVICE=cpu."
        )
    if strays:
        event("on_cpu", nodes=strays)  # of shapes and such, which belong there


def _strays(session: Any) -> dict[str, int]:  # noqa: ANN401 - as above
    """Count the nodes on the CPU by kind; older versions of ONNX Runtime do not tell."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return {}
    parts = session.get_provider_graph_assignment_info()
    return dict(Counter(node.op_type for part in parts if part.ep_name == _CPU for node in part.get_nodes()))


def _counted(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


def _remedy(reason: str) -> str:
    """Say what to do about a graph that is newer than the runtime, uses operators of another one, or is no whole."""
    if "opset" in reason.lower() or "ir version" in reason.lower():
        return " Export the model with an opset that this version has, or install a newer onnxruntime."
    if "external data" in reason.lower():
        return " Name the file in 'sha256', too, with its digest."
    if "protobuf" in reason.lower():
        return f" The file is no ONNX, or is damaged: {REMEDY}."
    return ""


def _providers(device: Device, cuda: Cuda) -> list[str | tuple[str, dict[str, str]]]:
    if device == "cpu":
        return [_CPU]
    wanted = device == "cuda" or CUDA in onnxruntime.get_available_providers()
    return [(CUDA, cuda.provider_options), _CPU] if wanted else [_CPU]


def _options(threads: int, *, tells: bool) -> Any:  # noqa: ANN401 - as above
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads  # never the default: it pins threads to cores that a container may not own
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # several callers share the cores
    options.log_severity_level = 3
    if tells:
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")  # for `_strays`
    return options
