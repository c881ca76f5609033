"""Writes BERT as an ONNX graph, pooled and normalised inside, so that a run returns one finished vector per text.

The formulae are those of Devlin et al. 2018 (post-norm encoder, exact GELU) and of sentence-transformers (mean over the
attention mask, then L2). Only standard operators are used: ONNX Runtime fuses them for its device when it loads them.

int8 scales the activations by row, not by tensor: a text's result then does not depend on what shares its batch, which
the usual dynamic quantisation breaks (cosine 0.987 between a text alone and the same text padded).
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

    from gpu_service.specs import Spec

OPSET: Final = 20  # the first with Gelu
IR_VERSION: Final = 10  # read by every ONNX Runtime since 1.18
_MASKED: Final = -10_000.0  # exp() of it is zero in float32, and it fits float16
_STEPS: Final = 127  # of a signed byte, on either side of zero
_BYTES: Final = 255  # steps of an unsigned byte
_LEAST: Final = 1e-12  # scale of a row of zeros


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a BERT encoder, from its config.json."""

    hidden: int
    layers: int
    heads: int
    epsilon: float

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Shape:
        """Read the numbers that the graph depends on; `config` has them."""
        return cls(
            hidden=config["hidden_size"],
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            epsilon=config["layer_norm_eps"],
        )


def bert(shape: Shape, weights: Mapping[str, NDArray[np.float32]], spec: Spec) -> onnx.ModelProto:
    """Make the graph: int64 [batch, sequence] `input_ids`, `attention_mask` -> one float32 row per input.

    An embedding model gives `embedding` [batch, hidden], pooled. A reranker or classifier takes `token_type_ids` too,
    and gives `logits` [batch, classes].
    """
    graph = _Graph(shape, weights, spec)
    hidden = graph.embeddings()
    bias = graph.attention_bias()
    for index in range(shape.layers):
        hidden = graph.layer(index, hidden, bias)
    return graph.model(graph.pooled(hidden) if spec.task == "embedding" else graph.classified(hidden))


class _Graph:
    """Collects nodes and initializers; a method adds one part of the network and returns its output's name."""

    def __init__(self, shape: Shape, weights: Mapping[str, NDArray[np.float32]], spec: Spec) -> None:
        self._shape = shape
        self._weights = weights
        self._spec = spec
        self._pairs = spec.task != "embedding"
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._quantized: dict[str, tuple[str, str, str]] = {}
        self._half = spec.precision == "fp16"

    def embeddings(self) -> str:
        """Word plus position plus token type; single texts have but one type."""
        table = "embeddings.{}_embeddings.weight"
        types = self._weights[table.format("token_type")]
        places = self._weights[table.format("position")] + (0 if self._pairs else types[0])
        words = self._op("Gather", self._constant("words", self._weights[table.format("word")]), "input_ids")
        length = self._op("Shape", "input_ids", start=1)
        place = self._op("Slice", self._constant("places", places), self._integers(0), length, self._integers(0))
        found = self._op("Add", words, place)
        if self._pairs:
            found = self._op("Add", found, self._op("Gather", self._constant("types", types), "token_type_ids"))
        return self._norm("embeddings.LayerNorm", found)

    def attention_bias(self) -> str:
        """Zero where a token is, far below where padding is, as [batch, 1, 1, sequence]."""
        mask = self._op("Unsqueeze", self._float_mask(half=self._half), self._integers(1, 2))
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
        """One vector per text: the first token's, or the mean over the tokens that the mask names; at length one."""
        hidden = self._whole(hidden)
        found = self._first(hidden) if self._spec.pooling == "cls" else self._mean(hidden)
        if not self._spec.normalize:
            return self._op("Identity", found, output="embedding")
        return self._op("Div", found, self._op("ReduceL2", found, self._integers(1), keepdims=1), output="embedding")

    def classified(self, hidden: str) -> str:
        """The classifier on the first token, which goes through the pooler."""
        pooled = self._op("Tanh", self._dense("pooler.dense", self._first(hidden)))
        return self._op("Identity", self._whole(self._dense("classifier", pooled)), output="logits")

    def _first(self, hidden: str) -> str:
        return self._op("Gather", hidden, self._constant("first", np.int64(0)), axis=1)

    def _mean(self, hidden: str) -> str:
        mask = self._op("Unsqueeze", self._float_mask(), self._integers(1))
        total = self._op("Squeeze", self._op("MatMul", mask, hidden), self._integers(1))
        count = self._op("ReduceSum", self._float_mask(), self._integers(1), keepdims=1)
        return self._op("Div", total, count)

    def _whole(self, name: str) -> str:
        """What follows is computed in float32, whatever came before."""
        return self._op("Cast", name, to=TensorProto.FLOAT) if self._half else name

    def model(self, output: str) -> onnx.ModelProto:
        """Close the graph over `output`."""
        graph = helper.make_graph(
            self._nodes,
            "bert",
            [
                helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
                for name in ("input_ids", "attention_mask", *(["token_type_ids"] if self._pairs else []))
            ],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", self._width()])],
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

    def _width(self) -> int:
        return len(self._weights["classifier.weight"]) if self._pairs else self._shape.hidden

    def _dense(self, name: str, hidden: str) -> str:
        weight = self._weights[f"{name}.weight"].T
        if self._spec.precision == "int8":
            product = self._integer_product(name, hidden, weight)
        else:
            product = self._op("MatMul", hidden, self._constant(f"{name}.weight", weight))
        return self._op("Add", product, self._own(f"{name}.bias"))

    def _integer_product(self, name: str, hidden: str, weight: NDArray[np.float32]) -> str:
        """Multiply bytes: weights scaled by output, activations by row between the row's least and greatest.

        The two scales are multiplied one after the other: ONNX Runtime would take their product for the tensor's scale,
        and fuse the nodes into one that reads only the first of its numbers.
        """
        scale = np.maximum(np.abs(weight).max(axis=0), _LEAST) / _STEPS
        kernel = np.rint(weight / scale).astype(np.int8)
        quantized, rows, least = self._rows(hidden)
        product = self._op("MatMulInteger", quantized, self._constant(f"{name}.int8", kernel))
        scaled = self._op("Mul", self._op("Cast", product, to=TensorProto.FLOAT), rows)
        found = self._op("Mul", scaled, self._constant(f"{name}.scale", scale.astype(np.float32)))
        sums = self._constant(f"{name}.sums", (kernel.astype(np.float32) * scale).sum(axis=0).astype(np.float32))
        return self._op("Add", found, self._op("Mul", least, sums))

    def _rows(self, hidden: str) -> tuple[str, str, str]:
        """Quantize `hidden` once, whoever reads it: its bytes, and the scale and the least number of each row."""
        if hidden not in self._quantized:
            axis = self._integers(-1)
            least = self._op("ReduceMin", hidden, axis, keepdims=1)
            reach = self._op("Sub", self._op("ReduceMax", hidden, axis, keepdims=1), least)
            steps = self._op("Div", reach, self._constant("steps", np.float32(_BYTES)))
            scale = self._op("Max", steps, self._constant("least", np.float32(_LEAST)))
            whole = self._op("Round", self._op("Div", self._op("Sub", hidden, least), scale))
            self._quantized[hidden] = self._op("Cast", whole, to=TensorProto.UINT8), scale, least
        return self._quantized[hidden]

    def _norm(self, name: str, hidden: str) -> str:
        return self._op(
            "LayerNormalization",
            hidden,
            self._own(f"{name}.weight"),
            self._own(f"{name}.bias"),
            epsilon=self._shape.epsilon,
        )

    def _float_mask(self, *, half: bool = False) -> str:
        return self._op("Cast", "attention_mask", to=TensorProto.FLOAT16 if half else TensorProto.FLOAT)

    def _own(self, name: str) -> str:
        return self._constant(name, self._weights[name])

    def _integers(self, *values: int) -> str:
        return self._constant(f"integers{values}", np.array(values, dtype=np.int64))

    def _constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        if name not in self._constants:
            if self._half and value.dtype == np.float32:
                value = value.astype(np.float16)
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name)
        return name

    def _op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:  # noqa: ANN401 - ONNX's own
        name = output or f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name
