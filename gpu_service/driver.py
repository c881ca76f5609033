"""The CUDA driver of this machine, asked directly: ONNX Runtime does not say why its CUDA provider did not start."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

LIBRARY: Final = "libcuda.so.1"
CUDA_12: Final = "onnxruntime-gpu==1.26.0"  # the last that is built for CUDA 12
DRIVERS: Final = {12: 525, 13: 580}  # the oldest driver for each CUDA


def supported(load: Callable[[str], Any] = ctypes.CDLL) -> tuple[int, int] | None:
    """Give the newest CUDA that the driver runs, as (major, minor); None if there is no driver."""
    version = ctypes.c_int()
    try:
        failed = load(LIBRARY).cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return None
    return None if failed or not version.value else (version.value // 1000, version.value % 1000 // 10)


def remedy(built: str, driver: tuple[int, int] | None) -> str:
    """Say what to do where ONNX Runtime, `built` for that CUDA ("13.0"; "" for none), could not start its provider."""
    if not built:
        return "this ONNX Runtime has no CUDA provider: install onnxruntime-gpu in its place, or set DEVICE=cpu"
    major = int(built.partition(".")[0])
    needed = f"driver {DRIVERS.get(major, 'of that version')} or newer"
    if driver is None:
        return f"there is no CUDA driver ({LIBRARY}): give the container a GPU and {needed}, or set DEVICE=cpu"
    if driver[0] < major:
        return (
            f"the driver runs CUDA {driver[0]}.{driver[1]} at most: install {needed}, or {CUDA_12}, which is built for "
            "CUDA 12, or set DEVICE=cpu"
        )
    return (
        f"the driver runs CUDA {driver[0]}.{driver[1]}, so a library is missing: install "
        "onnxruntime-gpu[cuda,cudnn], or set DEVICE=cpu"
    )
