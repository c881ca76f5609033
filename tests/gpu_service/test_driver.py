"""Each way to have no CUDA is told apart, and has its remedy."""

from __future__ import annotations

import ctypes
import re
from typing import TYPE_CHECKING, Any

import pytest

from gpu_service import driver
from gpu_service.driver import Driver

if TYPE_CHECKING:
    from pathlib import Path

KERNEL = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023\nGCC version: 12.2.0\n"
)
OLD, NEW = Driver("535.129.03", (12, 2)), Driver("580.65.06", (13, 0))


@pytest.mark.parametrize(
    ("built", "found", "lacking", "told"),
    [
        ("", None, [], "this ONNX Runtime has no CUDA provider: install onnxruntime-gpu in its place"),
        ("", NEW, [], "this ONNX Runtime has no CUDA provider: install onnxruntime-gpu in its place"),
        ("13.0", None, [], r"there is no CUDA driver \(libcuda.so.1\): give .* --gpus all\) .* driver 580 or newer"),
        ("12.8", None, [], r"there is no CUDA driver .* driver 525 or newer"),
        ("13.0", OLD, [], r"it needs CUDA 13: install driver 580 .*cuda-compat-13-0\), or .*==1.26.0, .* for CUDA 12"),
        ("13.0", NEW._replace(trouble=100), [], "the driver shows no GPU: give the container one, .*VISIBLE_DEVICES"),
        (
            "13.0",
            NEW._replace(trouble=803),
            [],
            r"libcuda.so.1 does not fit .*\(CUDA error 803\): take cuda-compat off",
        ),
        ("13.0", NEW._replace(trouble=999), [], r"the driver does not start \(CUDA error 999\): see what nvidia-smi"),
        ("13.0", NEW, ["libcudnn.so.9"], r"libcudnn.so.9 cannot be loaded: install onnxruntime-gpu\[cuda,cudnn\]"),
        ("12.8", NEW, ["libcublas.so.12", "libcufft.so.11"], "libcublas.so.12, libcufft.so.11 cannot be loaded"),
        ("12.8", NEW, [], "the driver and all libraries can be loaded, so see what ONNX Runtime wrote above"),
    ],
)
def test_each_way_to_have_no_cuda_has_its_remedy(
    built: str, found: Driver | None, lacking: list[str], told: str
) -> None:
    """Wheel, driver, versions that do not fit, libraries; each names DEVICE=cpu as the way out."""
    sentence = driver.remedy(built, found, lacking)

    assert re.match(told, sentence)
    assert sentence.endswith("or set DEVICE=cpu")


def test_both_versions_are_named() -> None:
    """The driver's own, and that of the CUDA it runs."""
    assert str(OLD) == "driver 535.129.03, which runs CUDA up to 12.2"
    assert str(Driver("", (13, 0))) == "driver of unknown version, which runs CUDA up to 13.0"


class Library:
    """libcuda with that answer."""

    def __init__(self, version: int, *, failed: int = 0, trouble: int = 0) -> None:
        self._version, self._failed, self._trouble = version, failed, trouble

    def cuDriverGetVersion(self, pointer: Any) -> int:  # noqa: N802 - CUDA's name
        """Write the version."""
        pointer._obj.value = self._version
        return self._failed

    def cuInit(self, flags: int) -> int:  # noqa: N802 - as above
        """Start, or not."""
        assert flags == 0
        return self._trouble


def missing(name: str) -> Library:
    """What the loader does where there is no such file."""
    raise OSError(f"{name}: cannot open shared object file")


def test_the_driver_is_asked(tmp_path: Path) -> None:
    """Its 12020 means CUDA 12.2; a call that fails, a library without it, and none at all mean no driver."""
    kernel = tmp_path / "version"
    kernel.write_text(KERNEL)

    assert driver.found(lambda _: Library(12020), kernel) == OLD
    assert driver.found(lambda _: Library(13000, trouble=100), tmp_path / "none") == Driver("", (13, 0), 100)
    assert driver.found(lambda _: Library(12020, failed=100), kernel) is None
    assert driver.found(lambda _: ctypes.CDLL(None), kernel) is None
    assert driver.found(missing, kernel) is None


def test_the_libraries_are_those_of_the_wheels_cuda() -> None:
    """As onnxruntime.preload_dlls names them; only what cannot be loaded is told."""
    twelve, thirteen = driver.missing("12.8", missing), driver.missing("13.0", missing)

    assert {"libcudart.so.12", "libcublasLt.so.12", "libcufft.so.11", "libcudnn.so.9"} <= set(twelve)
    assert {"libcudart.so.13", "libnvrtc.so.13", "libcufft.so.12", "libcurand.so.10"} <= set(thirteen)
    assert driver.missing("13.0", lambda name: missing(name) if "cudnn" in name else None) == ["libcudnn.so.9"]
