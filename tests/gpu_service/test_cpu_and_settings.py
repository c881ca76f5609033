"""What the machine and the environment say, and what is wrong with it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gpu_service.cpu import cores
from gpu_service.settings import Settings
from shared.edge.settings import SettingsError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("quota", "most"), [("50000 100000", 1), ("100000 100000", 1), ("max 100000", 1024), ("nonsense", 1024)]
)
def test_a_container_has_the_cores_it_pays_for(quota: str, most: int, tmp_path: Path) -> None:
    """Half a core counts as one; no limit leaves what the scheduler allows."""
    (tmp_path / "cpu.max").write_text(quota)

    assert cores(tmp_path / "cpu.max") == min(len(os.sched_getaffinity(0)), most)


def test_without_control_groups_the_scheduler_decides(tmp_path: Path) -> None:
    """A missing file is no limit."""
    assert cores(tmp_path / "cpu.max") == len(os.sched_getaffinity(0))


def test_the_platform_chooses_the_port() -> None:
    """Cloud Run says PORT, SageMaker SAGEMAKER_BIND_TO_PORT, and SageMaker's goes first."""
    assert Settings.from_env({}).port == 8080
    assert Settings.from_env({"PORT": "9000"}).port == 9000
    assert Settings.from_env({"PORT": "9000", "SAGEMAKER_BIND_TO_PORT": "9001"}).port == 9001


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "http"), ("PORT", "70000"), ("DEVICE", "gpu"), ("INFERENCE_THREADS", "0"), ("MAX_REQUESTS", "-1")],
)
def test_a_senseless_variable_is_named(name: str, value: str) -> None:
    """The error holds the variable and its value."""
    with pytest.raises(SettingsError, match=f"^{name}={value} is "):
        Settings.from_env({name: value})


def test_a_switch_is_on_or_off() -> None:
    """Another word is refused: it would have been taken for `on`."""
    assert [Settings.from_env({"ACCESS_LOG": word}).access_log for word in ("", "on", "OFF", "0", "true")] == [
        True, True, False, False, True,
    ]  # fmt: skip
    with pytest.raises(SettingsError, match="GPU_SHRINK=no is none of on, off, 1, 0, true, false"):
        Settings.from_env({"GPU_SHRINK": "no"})
