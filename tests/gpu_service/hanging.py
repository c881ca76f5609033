"""A model that hangs for real, inside ONNX Runtime: a loop without end over the word "sun", none over others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import onnx
from onnx import TensorProto, helper

from tests.gpu_service import tiny

if TYPE_CHECKING:
    from pathlib import Path

MODEL: Final = "hanging"
HANGS: Final = "the sun"
RUNS: Final = "the moon"
_FOREVER: Final = 2**62
_TEXT: Final = ("tokenizer.json", "config.json")
_TAKES: Final = ("input_ids", "attention_mask")


def models_toml(root: Path, *, heeds: bool) -> Path:
    """Write a models.toml with such a model; one that `heeds` ends the loop when ONNX Runtime is asked to end the run.

    ONNX Runtime looks whether it should end between two kernels: a loop over none never does.
    """
    tiny.bert(root / MODEL)
    word = json.loads((root / MODEL / "tokenizer.json").read_text())["model"]["vocab"][HANGS.split()[1]]
    onnx.save(_graph(word, heeds=heeds), root / MODEL / "model.onnx")
    sums = {name: digest for name, digest in tiny.digests(root / MODEL).items() if name in {"model.onnx", *_TEXT}}
    entry: dict[str, Any] = {
        "task": "embedding",
        "source": MODEL,
        "sha256": sums,
        "pooling": "mean",
        "max_tokens": 64,
    }
    return tiny.models_toml(root / "models.toml", **{MODEL: entry})


def _graph(word: int, *, heeds: bool) -> onnx.ModelProto:
    """Give unit vectors [rows, 1], after no iterations or, where `word` is among the ids, endless ones."""
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["ids"]),
        helper.make_node("ReduceMax", ["ids"], ["longest"], axes=[1], keepdims=1),
        helper.make_node("Equal", ["ids", "word"], ["is_word"]),
        helper.make_node("Cast", ["is_word"], ["counted"], to=TensorProto.INT64),
        helper.make_node("ReduceMax", ["counted"], ["found"], keepdims=0),
        helper.make_node("Mul", ["found", "forever"], ["times"]),
        helper.make_node("Loop", ["times", "yes", "one"], ["unit"], body=_body(heeds=heeds)),
        helper.make_node("Cast", ["longest"], ["shaped"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["shaped", "nothing"], ["zeros"]),
        helper.make_node("Add", ["zeros", "unit"], ["vectors"]),
    ]
    constants = {
        "word": (TensorProto.INT64, word),
        "forever": (TensorProto.INT64, _FOREVER),
        "yes": (TensorProto.BOOL, True),
        "one": (TensorProto.FLOAT, 1.0),
        "nothing": (TensorProto.FLOAT, 0.0),
    }
    graph = helper.make_graph(
        nodes,
        "hanging",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["b", "l"]) for name in _TAKES],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["b", 1])],
        [helper.make_tensor(name, kind, [], [value]) for name, (kind, value) in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _body(*, heeds: bool) -> onnx.GraphProto:
    states = {"on": TensorProto.BOOL, "value": TensorProto.FLOAT}
    ends = {name: f"{name}_after" if heeds else name for name in states}
    return helper.make_graph(
        [helper.make_node("Identity", [name], [end]) for name, end in ends.items() if heeds],
        "body",
        [
            helper.make_tensor_value_info("iteration", TensorProto.INT64, []),
            *(helper.make_tensor_value_info(name, kind, []) for name, kind in states.items()),
        ],
        [helper.make_tensor_value_info(ends[name], kind, []) for name, kind in states.items()],
    )
