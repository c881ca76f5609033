"""Opens an ONNX Runtime session on the device that was asked for, and on no other without a word.

ONNX Runtime answers a CUDA provider that cannot start with a session on the CPU and a line on stderr, so the session is
asked afterwards where it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import onnxruntime

from gpu_service.model import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from gpu_service.settings import Device

_CPU: Final = "CPUExecutionProvider"
_CUDA: Final = "CUDAExecutionProvider"


def open_session(path: Path, *, threads: int, device: Device) -> Any:  # noqa: ANN401 - onnxruntime publishes no types
    """Load the graph at `path`; one call to `run` uses `threads` cores.

    Raises:
        ModelError: the graph cannot be loaded, or not on this device.
    """
    try:
        session = onnxruntime.InferenceSession(str(path), _options(threads), providers=_providers(device))
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"ONNX Runtime {onnxruntime.__version__} cannot load {path}: {reason}") from error
    return on_device(session, device)


def on_device(session: Any, device: Device) -> Any:  # noqa: ANN401 - as above
    """Return `session` if it runs where it should.

    Raises:
        ModelError: CUDA was asked for, and the session fell back to the CPU.
    """
    if device == "cuda" and session.get_providers()[0] != _CUDA:
        raise ModelError(
            f"DEVICE=cuda, but ONNX Runtime {onnxruntime.__version__} could not start its CUDA provider "
            f"(built for CUDA {getattr(onnxruntime, 'cuda_version', '') or 'none'}): "
            "install onnxruntime-gpu and a driver that fits it, or set DEVICE=cpu."
        )
    return session


def _providers(device: Device) -> list[str]:
    if device == "cpu":
        return [_CPU]
    wanted = [_CUDA] if device == "cuda" or _CUDA in onnxruntime.get_available_providers() else []
    return [*wanted, _CPU]


def _options(threads: int) -> Any:  # noqa: ANN401 - as above
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads  # never the default: it pins threads to cores that a container may not own
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # several callers share the cores
    options.log_severity_level = 3
    return options
