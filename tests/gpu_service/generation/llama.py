"""A tiny Llama with random weights: its ONNX graph as onnxruntime-genai's builder writes it, its formulae in float64.

The graph keeps keys and values in buffers of full length that GroupQueryAttention writes in place; `attention_mask`
says how many tokens each row has.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as Bytes
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from tests.gpu_service.tiny import digests

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Weights = dict[str, NDArray[np.float32]]


class Size(NamedTuple):
    """The numbers of a Llama; `head` is the width of one."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    wide: int


TINY = Size(hidden=64, layers=2, heads=4, kv_heads=2, head=16, wide=96)
SPECIAL = ["<s>", "</s>", "<|user|>", "<|assistant|>"]
END = 1
TEMPLATE = (
    "<s>{% for message in messages %}{% if message.role == 'assistant' %}<|assistant|>{% else %}<|user|>{% endif %}"
    "{{ message.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def write(folder: Path, *, context: int = 128, seed: int = 0, size: Size = TINY) -> dict[str, str]:
    """Write graph, tokenizer and config into `folder`; returns the digest of each file."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "genai_config.json").write_text(json.dumps(_config(context, tokenizer.get_vocab_size(), size)))
    found = weights(tokenizer.get_vocab_size(), seed, size)
    letters = [*SPECIAL, *sorted(ByteLevel.alphabet())]
    found["head"][:, [len(letter) > 1 or not letter.isascii() for letter in letters]] = 0  # they are seldom likely
    onnx.save_model(_Graph(found, context, size).model(), str(folder / "model.onnx"))
    np.savez(folder.parent / f"{folder.name}.npz", **found)  # type: ignore[arg-type]
    return digests(folder)


def _config(context: int, vocabulary: int, size: Size) -> dict[str, Any]:
    """What onnxruntime-genai's builder says of such a graph."""
    decoder = {
        "filename": "model.onnx",
        "session_options": {"provider_options": []},
        "head_size": size.head,
        "hidden_size": size.hidden,
        "num_attention_heads": size.heads,
        "num_hidden_layers": size.layers,
        "num_key_value_heads": size.kv_heads,
        "inputs": {
            "input_ids": "input_ids",
            "attention_mask": "attention_mask",
            "past_key_names": "past_key_values.%d.key",
            "past_value_names": "past_key_values.%d.value",
        },
        "outputs": {
            "logits": "logits",
            "present_key_names": "present.%d.key",
            "present_value_names": "present.%d.value",
        },
    }
    numbers = {"bos_token_id": 0, "eos_token_id": [END], "pad_token_id": END, "vocab_size": vocabulary}
    model = {"type": "llama", **numbers, "context_length": context, "decoder": decoder}
    return {"model": model, "search": {"max_length": context, "past_present_share_buffer": True}}


def weights(vocabulary: int, seed: int, size: Size = TINY) -> Weights:
    """Random weights, wide enough apart that the most likely token is no matter of rounding."""
    chance = np.random.default_rng(seed)

    def random(*shape: int) -> NDArray[np.float32]:
        return chance.normal(0, 1.2 / np.sqrt(shape[0]), shape).astype(np.float32)

    found = {"embedding": random(vocabulary, size.hidden) * 16, "norm": np.ones(size.hidden, np.float32)}
    narrow, own = size.heads * size.head, size.kv_heads * size.head
    for layer in range(size.layers):
        shapes = {"q": (size.hidden, narrow), "k": (size.hidden, own), "v": (size.hidden, own)}
        shapes |= {"o": (narrow, size.hidden), "gate": (size.hidden, size.wide)}
        shapes |= {"up": (size.hidden, size.wide), "down": (size.wide, size.hidden)}
        found |= {f"{layer}.{name}": random(*shape) for name, shape in shapes.items()}
        found |= {f"{layer}.norm{half}": np.ones(size.hidden, np.float32) for half in (1, 2)}
    return found | {"head": random(size.hidden, vocabulary) * 2}


def continued(found: Weights, ids: list[int], count: int) -> list[int]:
    """The `count` most likely tokens after `ids`, each from the whole text again, in float64."""
    exact = {name: array.astype(np.float64) for name, array in found.items()}
    text = list(ids)
    for _ in range(count):
        text.append(int(_logits(exact, text).argmax()))
    return text[len(ids) :]


def _tokenizer() -> Tokenizer:
    letters = sorted(ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *letters])}
    found = Tokenizer(BPE(vocabulary, []))
    found.pre_tokenizer = ByteLevel(add_prefix_space=False)
    found.decoder = Bytes()
    found.add_special_tokens(SPECIAL)
    return found


def _angles(count: int, width: int = TINY.head) -> NDArray[np.float64]:
    return np.outer(np.arange(count), 10_000.0 ** (-np.arange(0, width, 2) / width))


def _logits(found: dict[str, NDArray[np.float64]], ids: list[int]) -> NDArray[np.float64]:
    hidden = found["embedding"][ids]
    for layer in range(TINY.layers):
        inner = _norm(hidden, found[f"{layer}.norm1"])
        hidden = hidden + _attended(found, layer, inner)
        inner = _norm(hidden, found[f"{layer}.norm2"])
        gate = inner @ found[f"{layer}.gate"]
        hidden = hidden + (gate / (1 + np.exp(-gate)) * (inner @ found[f"{layer}.up"])) @ found[f"{layer}.down"]
    last: NDArray[np.float64] = _norm(hidden, found["norm"])[-1] @ found["head"]
    return last


def _norm(hidden: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = hidden / np.sqrt((hidden**2).mean(axis=-1, keepdims=True) + 1e-5) * scale
    return scaled


def _attended(found: dict[str, NDArray[np.float64]], layer: int, inner: NDArray[np.float64]) -> NDArray[np.float64]:
    count = len(inner)
    query, key, value = (
        (inner @ found[f"{layer}.{name}"]).reshape(count, heads, TINY.head)
        for name, heads in (("q", TINY.heads), ("k", TINY.kv_heads), ("v", TINY.kv_heads))
    )
    query, key = _turned(query), _turned(key)
    mixed = np.empty((count, TINY.heads, TINY.head))
    for head in range(TINY.heads):
        own = head * TINY.kv_heads // TINY.heads
        scores = query[:, head] @ key[:, own].T / np.sqrt(TINY.head)
        scores[np.triu_indices(count, 1)] = -np.inf
        raised = np.exp(scores - scores.max(axis=1, keepdims=True))
        mixed[:, head] = raised / raised.sum(axis=1, keepdims=True) @ value[:, own]
    found_: NDArray[np.float64] = mixed.reshape(count, TINY.heads * TINY.head) @ found[f"{layer}.o"]
    return found_


def _turned(states: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotary positions, the halves of a head turned together."""
    angles = _angles(len(states))[:, None]
    left, right = states[..., : TINY.head // 2], states[..., TINY.head // 2 :]
    return np.concatenate(
        [left * np.cos(angles) - right * np.sin(angles), right * np.cos(angles) + left * np.sin(angles)], axis=-1
    )


class _Graph:
    """Collects nodes and initializers, as gpu_service/graph.py does."""

    def __init__(self, found: Weights, context: int, size: Size) -> None:
        self._size = size
        self._found = found
        self._context = context
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def model(self) -> onnx.ModelProto:
        """The whole graph."""
        mask = self._op("Cast", "attention_mask", to=TensorProto.INT32)
        tokens = self._op("ReduceSum", mask, self._constant("axis", np.array([1], np.int64)), keepdims=0)
        lengths = self._op("Sub", tokens, self._constant("one", np.int32(1)))
        shape = self._op("Gather", self._op("Shape", "attention_mask"), self._constant("place", np.int64(1)))
        total = self._op("Cast", shape, to=TensorProto.INT32)
        hidden = self._op("Gather", self._own("embedding"), "input_ids")
        for layer in range(self._size.layers):
            hidden = self._layer(layer, hidden, lengths, total)
        self._op("MatMul", self._norm("norm", hidden), self._own("head"), output="logits")
        return self._closed()

    def _layer(self, layer: int, hidden: str, lengths: str, total: str) -> str:
        inner = self._norm(f"{layer}.norm1", hidden)
        parts = [self._op("MatMul", inner, self._own(f"{layer}.{name}")) for name in ("q", "k", "v")]
        past = [f"past_key_values.{layer}.{name}" for name in ("key", "value")]
        angles = _angles(self._context, self._size.head).astype(np.float32)
        cache = [self._constant("cos", np.cos(angles)), self._constant("sin", np.sin(angles))]
        mixed = f"attention_{layer}"
        node = helper.make_node(
            "GroupQueryAttention",
            [*parts, *past, lengths, total, *cache],
            [mixed, f"present.{layer}.key", f"present.{layer}.value"],
            domain="com.microsoft",
            num_heads=self._size.heads,
            kv_num_heads=self._size.kv_heads,
            do_rotary=1,
        )
        self._nodes.append(node)
        hidden = self._op("Add", hidden, self._op("MatMul", mixed, self._own(f"{layer}.o")))
        inner = self._norm(f"{layer}.norm2", hidden)
        gate = self._op("MatMul", inner, self._own(f"{layer}.gate"))
        silu = self._op("Mul", gate, self._op("Sigmoid", gate))
        wide = self._op("Mul", silu, self._op("MatMul", inner, self._own(f"{layer}.up")))
        return self._op("Add", hidden, self._op("MatMul", wide, self._own(f"{layer}.down")))

    def _closed(self) -> onnx.ModelProto:
        ids = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])]
        ids += [helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch", "total"])]
        vocabulary = len(self._found["embedding"])
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "sequence", vocabulary])

        def states(kind: str, length: str) -> list[Any]:
            return [
                helper.make_tensor_value_info(
                    f"{kind}.{layer}.{name}", TensorProto.FLOAT, ["batch", self._size.kv_heads, length, "kv_cache_dim"]
                )
                for layer in range(self._size.layers)
                for name in ("key", "value")
            ]

        inputs, outputs = [*ids, *states("past_key_values", "past")], [logits, *states("present", "present")]
        graph = helper.make_graph(self._nodes, "llama", inputs, outputs, initializer=list(self._constants.values()))
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)

    def _norm(self, name: str, hidden: str) -> str:
        square = self._op("Mul", hidden, hidden)
        mean = self._op("ReduceMean", square, self._constant("last", np.array([-1], np.int64)), keepdims=1)
        root = self._op("Sqrt", self._op("Add", mean, self._constant("epsilon", np.float32(1e-5))))
        return self._op("Mul", self._op("Div", hidden, root), self._own(name))

    def _own(self, name: str) -> str:
        return self._constant(name, self._found[name])

    def _constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        self._constants.setdefault(name, numpy_helper.from_array(np.asarray(value), name))
        return name

    def _op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = output or f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name
