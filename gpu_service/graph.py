"""Writes BERT as an ONNX graph, pooled and normalised inside, so that a run returns one finished vector per text.

The formulae are those of Devlin et al. 2018 (post-norm encoder, exact GELU) and of sentence-transformers (mean over the
attention mask, then L2). Only standard operators are used: ONNX Runtime fuses them for its device when it loads them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

OPSET: Final = 20  # the first with Gelu
IR_VERSION: Final = 10  # read by every ONNX Runtime since 1.18
_MASKED: Final = -10_000.0  # exp() of it is zero in float32, and it fits float16


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a BERT encoder, from its config.json."""

    hidden: int
    layers: int
    heads: int
    epsilon: float

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Shape:
        """Read the numbers that the graph depends on."""
        return cls(
            hidden=config["hidden_size"],
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            epsilon=config["layer_norm_eps"],
        )


def bert(shape: Shape, weights: Mapping[str, NDArray[np.float32]]) -> onnx.ModelProto:
    """Make the graph: int64 [batch, sequence] `input_ids`, `attention_mask` -> float32 [batch, hidden] `embedding`."""
    graph = _Graph(shape, weights)
    hidden = graph.embeddings()
    bias = graph.attention_bias()
    for index in range(shape.layers):
        hidden = graph.layer(index, hidden, bias)
    return graph.model(graph.pooled(hidden))


class _Graph:
    """Collects nodes and initializers; a method adds one part of the network and returns its output's name."""

    def __init__(self, shape: Shape, weights: Mapping[str, NDArray[np.float32]]) -> None:
        self._shape = shape
        self._weights = weights
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def embeddings(self) -> str:
        """Word plus position plus the one token type that single texts have."""
        table = "embeddings.{}_embeddings.weight"
        places = self._weights[table.format("position")] + self._weights[table.format("token_type")][0]
        words = self._op("Gather", self._constant("words", self._weights[table.format("word")]), "input_ids")
        length = self._op("Shape", "input_ids", start=1)
        place = self._op("Slice", self._constant("places", places), self._integers(0), length, self._integers(0))
        return self._norm("embeddings.LayerNorm", self._op("Add", words, place))

    def attention_bias(self) -> str:
        """Zero where a token is, far below where padding is, as [batch, 1, 1, sequence]."""
        mask = self._op("Unsqueeze", self._float_mask(), self._integers(1, 2))
        absent = self._op("Sub", self._constant("one", np.float32(1)), mask)
        return self._op("Mul", absent, self._constant("masked", np.float32(_MASKED)))

    def layer(self, index: int, hidden: str, bias: str) -> str:
        """One encoder block."""
        name = f"encoder.layer.{index}"
        mixed = self._dense(f"{name}.attention.output.dense", self._attention(f"{name}.attention.self", hidden, bias))
        hidden = self._norm(f"{name}.attention.output.LayerNorm", self._op("Add", mixed, hidden))
        wide = self._op("Gelu", self._dense(f"{name}.intermediate.dense", hidden))
        narrow = self._dense(f"{name}.output.dense", wide)
        return self._norm(f"{name}.output.LayerNorm", self._op("Add", narrow, hidden))

    def pooled(self, hidden: str) -> str:
        """The mean over the tokens that the mask names, scaled to length one."""
        mask = self._op("Unsqueeze", self._float_mask(), self._integers(1))
        total = self._op("Squeeze", self._op("MatMul", mask, hidden), self._integers(1))
        count = self._op("ReduceSum", self._float_mask(), self._integers(1), keepdims=1)
        mean = self._op("Div", total, count)
        return self._op("Div", mean, self._op("ReduceL2", mean, self._integers(1), keepdims=1), output="embedding")

    def model(self, output: str) -> onnx.ModelProto:
        """Close the graph over `output`."""
        graph = helper.make_graph(
            self._nodes,
            "bert",
            [
                helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
                for name in ("input_ids", "attention_mask")
            ],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", self._shape.hidden])],
            initializer=list(self._constants.values()),
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)

    def _attention(self, name: str, hidden: str, bias: str) -> str:
        size = self._shape.hidden // self._shape.heads
        split = self._integers(0, 0, self._shape.heads, size)
        merge = self._integers(0, 0, self._shape.hidden)
        query, key, value = (
            self._op("Reshape", self._dense(f"{name}.{part}", hidden), split) for part in ("query", "key", "value")
        )
        turned = self._op("Transpose", key, perm=[0, 2, 3, 1])
        scores = self._op("MatMul", self._op("Transpose", query, perm=[0, 2, 1, 3]), turned)
        scaled = self._op("Mul", scores, self._constant("scale", np.float32(1 / math.sqrt(size))))
        weights = self._op("Softmax", self._op("Add", scaled, bias), axis=-1)
        mixed = self._op("MatMul", weights, self._op("Transpose", value, perm=[0, 2, 1, 3]))
        return self._op("Reshape", self._op("Transpose", mixed, perm=[0, 2, 1, 3]), merge)

    def _dense(self, name: str, hidden: str) -> str:
        kernel = self._constant(f"{name}.weight", self._weights[f"{name}.weight"].T)
        return self._op("Add", self._op("MatMul", hidden, kernel), self._own(f"{name}.bias"))

    def _norm(self, name: str, hidden: str) -> str:
        return self._op(
            "LayerNormalization",
            hidden,
            self._own(f"{name}.weight"),
            self._own(f"{name}.bias"),
            epsilon=self._shape.epsilon,
        )

    def _float_mask(self) -> str:
        return self._op("Cast", "attention_mask", to=TensorProto.FLOAT)

    def _own(self, name: str) -> str:
        return self._constant(name, self._weights[name])

    def _integers(self, *values: int) -> str:
        return self._constant(f"integers{values}", np.array(values, dtype=np.int64))

    def _constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name)
        return name

    def _op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:  # noqa: ANN401 - ONNX's own
        name = output or f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name
