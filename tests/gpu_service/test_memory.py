"""What is known of memory, of the process here and of GPUs that a fake NVML has."""

from __future__ import annotations

import ctypes
import mmap
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from gpu_service.memory import Gpus, most, resident
from gpu_service.telemetry import Telemetry

if TYPE_CHECKING:
    from pathlib import Path


class Nvml:
    """NVML with two GPUs, through the same pointers; `status` is what asking for their memory gives."""

    def __init__(self, *, init: int = 0, status: int = 0) -> None:
        self._init, self._status = init, status
        self.inits = 0
        self.answers = threading.Event()
        self.answers.set()

    def nvmlInit_v2(self) -> int:  # noqa: N802 - NVML's names, here and below
        """Begin."""
        self.inits += 1
        return self._init

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802
        """Two."""
        count._obj.value = 2
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, number: ctypes.c_uint, handle: Any) -> int:  # noqa: N802
        """A handle is any address."""
        handle._obj.value = 100 + number.value
        return 0

    def nvmlDeviceGetMemoryInfo(self, handle: ctypes.c_void_p, memory: Any) -> int:  # noqa: N802
        """As nvmlMemory_t has it: total, free, used."""
        assert self.answers.wait(30)
        used = 1000 * ((handle.value or 0) - 99)
        ctypes.memmove(memory, (ctypes.c_ulonglong * 3)(24_000, 24_000 - used, used), 24)
        return self._status

    def nvmlDeviceGetName(self, handle: ctypes.c_void_p, name: Any, size: ctypes.c_uint) -> int:  # noqa: N802
        """Nul-terminated."""
        assert ctypes.sizeof(name) == size.value
        name.value = f"NVIDIA L{(handle.value or 0) - 96}".encode()
        return 0


def test_each_gpu_has_its_memory() -> None:
    """By number and name; NVML is begun once."""
    library = Nvml()
    asked: list[str] = []

    def load(name: str) -> Nvml:
        asked.append(name)
        return library

    gpus = Gpus(load)
    assert gpus.used() == {("0", "NVIDIA L4"): 1000, ("1", "NVIDIA L5"): 2000}
    assert gpus.total() == {("0", "NVIDIA L4"): 24_000, ("1", "NVIDIA L5"): 24_000}
    assert (library.inits, asked) == (1, ["libnvidia-ml.so.1"])


def test_without_nvml_there_are_no_gpus() -> None:
    """No library, one without its functions, a driver that refuses: nothing is told, and nobody is asked again."""
    asked: list[str] = []

    def missing(name: str) -> Nvml:
        asked.append(name)
        raise OSError("libnvidia-ml.so.1: cannot open shared object file")

    gpus = Gpus(missing)
    assert [gpus.used(), gpus.used()] == [{}, {}]
    assert len(asked) == 1
    for library in (ctypes.CDLL(None), Nvml(init=9), Nvml(status=15)):
        assert Gpus(lambda _, found=library: found).used() == {}  # type: ignore[misc]


def test_a_driver_that_hangs_holds_nobody_up() -> None:
    """Nothing is told while it hangs, no second thread waits for it, and what it says afterwards is told."""
    library = Nvml()
    gpus = Gpus(lambda _: library)
    library.answers.clear()
    before = threading.active_count()

    assert [gpus.used(), gpus.used()] == [{}, {}]
    assert threading.active_count() == before + 1
    library.answers.set()
    assert gpus._asking is not None
    gpus._asking.join(30)
    assert len(gpus.used()) == 2


def test_the_process_memory_is_told_as_it_is_now(tmp_path: Path) -> None:
    """50 MB more are seen; where the system tells nothing, nothing is told."""
    before = resident()[()]
    more = np.frombuffer(mmap.mmap(-1, 50_000_000), np.uint8)  # pages that nobody had before
    more[:] = 1
    grown = resident()[()] - before

    assert 40e6 < grown < 80e6
    assert more.any()
    assert most()[()] >= before
    assert resident(tmp_path / "statm") == {}


def test_metrics_have_both() -> None:
    """The process always, GPUs as named series."""
    told = Telemetry().render().decode()

    assert "process_resident_memory_bytes " in told
    assert "# TYPE gpu_service_device_memory_used_bytes gauge" in told
    assert "# TYPE gpu_service_device_memory_total_bytes gauge" in told
