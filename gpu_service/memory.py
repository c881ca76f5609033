"""The memory that this process has, and that is in use on the GPUs it sees.

NVML, which comes with the driver, is asked directly and on a thread of its own: a driver that hangs answers nobody, and
whoever asks for the metrics shall not hang with it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    Samples = dict[tuple[str, ...], float]

LIBRARY: Final = "libnvidia-ml.so.1"
_STATM: Final = Path("/proc/self/statm")
_WAIT: Final = 0.25  # seconds for the driver's answer; it takes about one thousandth
_NAME: Final = 96  # bytes: NVML_DEVICE_NAME_V2_BUFFER_SIZE


class Gpu(NamedTuple):
    """A GPU: its number as NVML counts, what it is called, and its memory in bytes."""

    number: str
    name: str
    used: int
    total: int


class _Memory(ctypes.Structure):
    """nvmlMemory_t."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class Gpus:
    """The GPUs of this machine or container; none where there is no NVML."""

    def __init__(self, load: Callable[[str], Any] = ctypes.CDLL) -> None:
        self._load = load
        self._library: Any = None
        self._asking: threading.Thread | None = None
        self._found: list[Gpu] = []
        self._absent = False

    def used(self) -> Samples:
        """Bytes in use, by number and name."""
        return {(gpu.number, gpu.name): gpu.used for gpu in self._read()}

    def total(self) -> Samples:
        """Bytes that there are, by number and name."""
        return {(gpu.number, gpu.name): gpu.total for gpu in self._read()}

    def _read(self) -> list[Gpu]:
        """Ask for an answer, and wait a moment for it; there is none while the driver hangs."""
        if self._absent:
            return []
        if self._asking is None or not self._asking.is_alive():
            self._asking = threading.Thread(target=self._ask, name="nvml", daemon=True)
            self._asking.start()
        self._asking.join(_WAIT)
        return [] if self._asking.is_alive() else self._found

    def _ask(self) -> None:
        try:
            if self._library is None:
                library = self._load(LIBRARY)
                _checked(library.nvmlInit_v2())
                self._library = library
            count = ctypes.c_uint()
            _checked(self._library.nvmlDeviceGetCount_v2(ctypes.byref(count)))
            self._found = [self._gpu(number) for number in range(count.value)]
        except (OSError, AttributeError):  # no such library, or it refuses: it will not change its mind
            self._found, self._absent = [], True

    def _gpu(self, number: int) -> Gpu:
        handle, memory, name = ctypes.c_void_p(), _Memory(), ctypes.create_string_buffer(_NAME)
        _checked(self._library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(number), ctypes.byref(handle)))
        _checked(self._library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)))
        _checked(self._library.nvmlDeviceGetName(handle, name, ctypes.c_uint(_NAME)))
        return Gpu(str(number), name.value.decode("utf-8", "replace"), memory.used, memory.total)


def _checked(status: int) -> None:
    if status:
        raise OSError(f"NVML says {status}.")


def resident(statm: Path = _STATM) -> Samples:
    """Bytes of this process that are in memory now; nothing where the system does not tell."""
    try:
        pages = int(statm.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return {}
    return {(): pages * os.sysconf("SC_PAGE_SIZE")}


def most() -> Samples:
    """Most bytes that this process has had in memory."""
    scale = 1 if sys.platform == "darwin" else 1024
    return {(): resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale}
