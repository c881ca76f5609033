"""The CUDA driver and libraries of this machine, asked directly: ONNX Runtime does not say why CUDA did not start."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Load = Callable[[str], Any]

LIBRARY: Final = "libcuda.so.1"
CUDA_12: Final = "onnxruntime-gpu[cuda,cudnn]==1.26.0"  # the last that is built for CUDA 12
DRIVERS: Final = {12: 525, 13: 580}  # the oldest driver for each CUDA
_KERNEL: Final = Path("/proc/driver/nvidia/version")
_CUFFT: Final = {12: 11, 13: 12}  # onnxruntime.preload_dlls has the same names
_NO_DEVICE: Final = (100, 101)  # CUDA_ERROR_NO_DEVICE, _INVALID_DEVICE: CUDA_VISIBLE_DEVICES may hide them all
_MISMATCH: Final = (803, 804)  # CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, _COMPAT_NOT_SUPPORTED_ON_DEVICE
_OFF: Final = "or set DEVICE=cpu"


class Driver(NamedTuple):
    """The driver's own version, "" if unknown, the newest CUDA that it runs, and CUDA's error if it does not start."""

    version: str
    cuda: tuple[int, int]
    trouble: int = 0

    def __str__(self) -> str:
        """Name both versions."""
        return f"driver {self.version or 'of unknown version'}, which runs CUDA up to {self.cuda[0]}.{self.cuda[1]}"


def found(load: Load = ctypes.CDLL, kernel: Path = _KERNEL) -> Driver | None:
    """Ask the driver; None if there is none."""
    version = ctypes.c_int()
    try:
        library = load(LIBRARY)
        failed = library.cuDriverGetVersion(ctypes.byref(version))
        trouble = int(library.cuInit(0))
    except (OSError, AttributeError):
        return None
    if failed or not version.value:
        return None
    return Driver(_module(kernel), (version.value // 1000, version.value % 1000 // 10), trouble)


def missing(built: str, load: Load = ctypes.CDLL) -> list[str]:
    """Name the libraries that an ONNX Runtime `built` for that CUDA ("13.0") needs and that cannot be loaded."""
    major = _major(built)
    names = [f"lib{name}.so.{major}" for name in ("cudart", "cublasLt", "cublas", "nvrtc")]
    names += [f"libcufft.so.{_CUFFT.get(major, major - 1)}", "libcurand.so.10", "libcudnn.so.9"]
    return [name for name in names if not _loads(name, load)]


def remedy(built: str, driver: Driver | None, lacking: Sequence[str] = ()) -> str:
    """Say what to do where ONNX Runtime, `built` for that CUDA ("" for none), could not start its provider."""
    if not built:
        return f"this ONNX Runtime has no CUDA provider: install onnxruntime-gpu in its place, {_OFF}"
    major = _major(built)
    needed = f"driver {DRIVERS.get(major, 'of that version')} or newer"
    if driver is None:
        return (
            f"there is no CUDA driver ({LIBRARY}): give the container a GPU (docker run --gpus all) and the machine "
            f"{needed}, {_OFF}"
        )
    if driver.cuda[0] < major:
        return (
            f"it needs CUDA {major}: install {needed} (or, on a data centre's GPU, the package cuda-compat-{major}-0), "
            f"or {CUDA_12}, which is built for CUDA 12, {_OFF}"
        )
    if driver.trouble:
        return _unwilling(driver.trouble, needed)
    if lacking:
        return f"{', '.join(lacking)} cannot be loaded: install onnxruntime-gpu[cuda,cudnn], {_OFF}"
    return f"the driver and all libraries can be loaded, so see what ONNX Runtime wrote above, {_OFF}"


def _unwilling(trouble: int, needed: str) -> str:
    """Say what to do about a driver that is new enough and does not start."""
    if trouble in _NO_DEVICE:
        return f"the driver shows no GPU: give the container one, look at CUDA_VISIBLE_DEVICES, {_OFF}"
    if trouble in _MISMATCH:
        return (
            f"{LIBRARY} does not fit the driver of the machine (CUDA error {trouble}): take cuda-compat off "
            f"LD_LIBRARY_PATH, or install {needed}, {_OFF}"
        )
    return f"the driver does not start (CUDA error {trouble}): see what nvidia-smi says, {_OFF}"


def _major(built: str) -> int:
    return int(built.partition(".")[0])


def _module(kernel: Path) -> str:
    """Read `NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  ...`."""
    try:
        told = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", kernel.read_text(encoding="ascii", errors="replace"))
    except OSError:
        return ""
    return told.group() if told else ""


def _loads(name: str, load: Load) -> bool:
    try:
        load(name)
    except OSError:
        return False
    return True
