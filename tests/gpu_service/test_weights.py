"""Weights are read as they were written, whatever their precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gpu_service import cli, weights
from gpu_service.model import WEIGHTS
from tests.gpu_service import tiny

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

PRECISIONS = pytest.mark.parametrize(
    "precision", [np.float32, np.float16, ml_dtypes.bfloat16], ids=["f32", "f16", "bf16"]
)


@PRECISIONS
def test_every_number_is_read_exactly(precision: type, tmp_path: Path) -> None:
    """Zeros, the least and the greatest numbers, infinities and all between are those that were written."""
    chance = np.random.default_rng(3).normal(scale=9, size=4_000).astype(np.float32)
    ends = np.array([0.0, -0.0, np.inf, -np.inf, 6e-8, -6e-8, 65504.0], np.float32)
    written: NDArray[Any] = np.concatenate([chance, ends]).astype(precision)
    save_file({"odd": np.arange(3, dtype=np.uint8), "bert.numbers": written.reshape(1, -1)}, tmp_path / "w.safetensors")

    read = weights.read(tmp_path / "w.safetensors")

    assert read["numbers"].dtype == np.float32
    np.testing.assert_array_equal(read["numbers"], written.astype(np.float32).reshape(1, -1))
    assert read.others == {"odd": "U8"}


@pytest.mark.parametrize("precision", [np.float16, ml_dtypes.bfloat16], ids=["f16", "bf16"])
def test_a_model_is_built_of_half_precision(
    precision: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is, to the last byte, the model that is built of the same numbers in float32."""
    entries = {}
    for name, kind in (("half", precision), ("whole", np.float32)):
        tiny.bert(tmp_path / name)
        path = tmp_path / name / "model.safetensors"
        save_file({part: value.astype(precision).astype(kind) for part, value in load_file(path).items()}, path)
        sha256 = tiny.digests(tmp_path / name)
        entries[name] = {"task": "embedding", "pooling": "mean", "max_tokens": 32, "source": name, "sha256": sha256}
    monkeypatch.setenv("MODELS", str(tiny.models_toml(tmp_path / "models.toml", **entries)))
    monkeypatch.setenv("MODEL_STORE", str(tmp_path / "store"))

    assert [cli.main(["build", name]) for name in entries] == [0, 0], capsys.readouterr().err
    half, whole = ((tmp_path / "store" / name / WEIGHTS).read_bytes() for name in entries)
    assert half == whole
