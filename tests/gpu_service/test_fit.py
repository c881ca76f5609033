"""What does not fit together stops the build or the start with one sentence that says what to do, and no traceback."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file, save_file

from gpu_service import cli, specs
from gpu_service.engine import Engine
from gpu_service.generation.decoder import Decoder
from gpu_service.model import ModelError
from gpu_service.prepare import prepare
from tests.gpu_service import tiny
from tests.gpu_service.generation import llama

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Spoil = Callable[[Path], object]

BERT: dict[str, Any] = {"task": "embedding", "pooling": "mean", "max_tokens": 32, "source": "made"}


def put(name: str, content: bytes) -> Spoil:
    """Write another file in its place."""
    return lambda folder: (folder / name).write_bytes(content)


def config(**changes: object) -> Spoil:
    """Change config.json."""

    def spoil(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))

    return spoil


def tensors(change: Callable[[str, Any], Any]) -> Spoil:
    """Change the weights; those that become None are left out."""

    def spoil(folder: Path) -> None:
        path = folder / "model.safetensors"
        found = {name: change(name, value) for name, value in load_file(path).items()}
        save_file({name: value for name, value in found.items() if value is not None}, path)

    return spoil


def cut_off(folder: Path) -> None:
    """Lose the last bytes of the weights."""
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def graph(change: Callable[[onnx.ModelProto], None]) -> Spoil:
    """Change the graph."""

    def spoil(folder: Path) -> None:
        found = onnx.load(folder / "model.onnx", load_external_data=False)
        change(found)
        onnx.save(found, folder / "model.onnx")

    return spoil


def renamed(model: onnx.ModelProto) -> None:
    """Let the graph take `tokens`."""
    model.graph.input[0].name = "tokens"
    for node in model.graph.node:
        node.input[:] = ["tokens" if name == "input_ids" else name for name in node.input]


def further(model: onnx.ModelProto) -> None:
    """Let the graph take `position_ids` besides."""
    model.graph.input.append(onnx.helper.make_tensor_value_info("position_ids", onnx.TensorProto.INT64, ["b", "s"]))


def written(folder: Path, entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write models.toml with the digests of what is there, so that nothing but the fault is at fault."""
    path = tiny.models_toml(folder / "models.toml", mine=entry | {"sha256": tiny.digests(folder / "made")})
    monkeypatch.setenv("MODELS", str(path))
    monkeypatch.setenv("MODEL_STORE", str(folder / "store"))
    return path


@pytest.mark.parametrize(
    ("spoil", "entry", "told"),
    [
        (put("model.safetensors", b"x" * 99), {}, "made/model.safetensors is no safetensors file, or is cut off: take"),
        (put("model.safetensors", b""), {}, "made/model.safetensors is no safetensors file, or is cut off: take"),
        (cut_off, {}, "made/model.safetensors is no safetensors file, or is cut off: take the file"),
        (tensors(lambda name, value: None if "layer.1" in name else value), {}, "has no tensor 'encoder.layer.1."),
        (tensors(lambda _, value: value.astype(np.float64)), {}, "in F64; F32, F16, BF16 are read: correct 'task' in"),
        (
            tensors(lambda name, it: it[:, :9].copy() if "intermediate.dense.w" in name else it),
            {},
            "do not fit together",
        ),
        (put("config.json", b"{"), {}, "made/config.json cannot be read as JSON"),
        (put("config.json", b"[]"), {}, "made/config.json holds no JSON object"),
        (config(hidden_size="32"), {}, "made/config.json says hidden_size=32, where a BERT has a positive number"),
        (config(layer_norm_eps=None), {}, "made/config.json says layer_norm_eps=None"),
        (config(hidden_size=64), {}, "speaks of 27 tokens of 64 numbers, and its weights have 27 of 32: take both"),
        (config(num_attention_heads=5), {}, "a hidden_size that num_attention_heads does not divide"),
        (put("tokenizer.json", b"{}"), {}, "made/tokenizer.json cannot be read as a tokenizer"),
        (config(), {"max_tokens": 65}, "The model mine has 64 positions: lower 'max_tokens' in models.toml"),
        (config(), {"dimensions": [16, 64]}, "The model mine gives 32 numbers: remove 64 from 'dimensions'"),
        (config(), {"task": "rerank", "pooling": "mean"}, "has no tensor 'pooler.dense.weight': correct 'task'"),
        (config(), {"reference": "none.json"}, "'reference' in models.toml names"),
    ],
)
def test_what_cannot_be_built_is_told(
    *,
    spoil: Spoil,
    entry: dict[str, Any],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`build` says which file or field it is, and ends with 1."""
    tiny.bert(tmp_path / "made")
    spoil(tmp_path / "made")
    written(tmp_path, BERT | entry, monkeypatch)

    assert cli.main(["build", "mine"]) == 1
    said = capsys.readouterr().err
    assert told in said
    assert (said.startswith("gpu_service: "), said.count("\n")) == (True, 1)


@pytest.mark.parametrize(
    ("spoil", "entry", "told"),
    [
        (put("model.onnx", b"hello"), {}, "The file is no ONNX, or is damaged: take the file"),
        (lambda folder: (folder / "model.onnx.data").unlink(), {}, "Name the file in 'sha256', too"),
        (graph(renamed), {}, "The graph of the model mine takes attention_mask, tokens, where input_ids"),
        (graph(further), {}, "takes attention_mask, input_ids, position_ids, where input_ids"),
        (put("tokenizer.json", b"{}"), {}, "made/tokenizer.json cannot be read as a tokenizer"),
        (config(), {"max_tokens": 65}, r"The model mine does not read 65 tokens \(.*\): lower 'max_tokens'"),
        (config(), {"dimensions": [64]}, "gives 32 numbers: remove 64 from 'dimensions'"),
        (config(), {"task": "rerank"}, "has 32 outputs; a reranker has one or two"),
        (config(), {"task": "classification", "labels": ["a"]}, "has 32 outputs, and models.toml names 1 labels"),
    ],
)
def test_what_cannot_be_served_is_told(
    spoil: Spoil, entry: dict[str, Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph that is served as it is: nothing that its first request would trip over gets so far."""
    tiny.bert(tmp_path / "made")
    written(tmp_path, BERT, monkeypatch)
    assert cli.main(["build", "mine", "--out", str(tmp_path / "built")]) == 0
    for name in ("model.onnx", "model.onnx.data"):
        shutil.move(tmp_path / "built" / name, tmp_path / "made" / name)
    (tmp_path / "made" / "model.safetensors").unlink()
    spoil(tmp_path / "made")
    path = written(tmp_path, BERT | entry, monkeypatch)

    with pytest.raises(ModelError, match=told):
        Engine.of(prepare("mine", specs.load(path)["mine"], store=tmp_path), device="cpu")


@pytest.mark.parametrize("name", ["genai_config.json", "tokenizer_config.json", "tokenizer.json"])
def test_what_cannot_generate_is_told(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged file beside a generating graph is named."""
    llama.write(tmp_path / "made")
    (tmp_path / "made" / name).write_bytes(b"[")
    path = written(tmp_path, {"task": "generation", "source": "made", "max_tokens": 64}, monkeypatch)

    with pytest.raises(ModelError, match=f"made/{name} cannot be read as .*: take the file"):
        Decoder.of(prepare("mine", specs.load(path)["mine"], store=tmp_path))
