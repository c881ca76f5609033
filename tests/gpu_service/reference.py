"""all-MiniLM-L6-v2 computed the slow way: float64, one text at a time, straight from the published formulae.

It shares nothing with the product but the weights' file: another reader of safetensors, no padding, no mask, no ONNX.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

LAYERS: Final = 6
HEADS: Final = 12
EPSILON: Final = 1e-12
LONGEST: Final = 256  # tokens, as sentence_bert_config.json says

_erf = np.frompyfunc(math.erf, 1, 1)


class Reference:
    """BERT after Devlin et al. 2018, mean pooling and L2 after Reimers and Gurevych 2019."""

    def __init__(self, folder: Path, *, layers: int = LAYERS, heads: int = HEADS) -> None:
        self._layers, self._heads = layers, heads
        self._weights = {
            name.removeprefix("bert."): array.astype(np.float64)
            for name, array in load_file(folder / "model.safetensors").items()
            if array.dtype == np.float32
        }
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(LONGEST)

    def tokens(self, text: str) -> list[int]:
        """The ids that the model reads `text` as, special tokens around them."""
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids

    def embed(self, text: str) -> Matrix:
        """The unit vector of one text, float64 [384]."""
        mean: Matrix = self._encoded(self.tokens(text)).mean(axis=0)
        return mean / math.sqrt(float(mean @ mean))

    def logits(self, ids: list[int], *, second: int | None = None) -> Matrix:
        """What the classifier says of a row whose second text begins at `second`, float64 [classes]."""
        first = self._encoded(ids, second)[:1]
        found: Matrix = self._linear("classifier", np.tanh(self._linear("pooler.dense", first)))[0]
        return found

    def _encoded(self, ids: list[int], second: int | None = None) -> Matrix:
        hidden = self._embedded(ids, len(ids) if second is None else second)
        for layer in range(self._layers):
            hidden = self._layer(f"encoder.layer.{layer}", hidden)
        return hidden

    def _embedded(self, ids: list[int], second: int) -> Matrix:
        word, place, kind = (self._weights[f"embeddings.{part}_embeddings.weight"] for part in _TABLES)
        rows = [word[token] + place[position] + kind[int(position >= second)] for position, token in enumerate(ids)]
        return self._norm("embeddings.LayerNorm", np.stack(rows))

    def _layer(self, name: str, hidden: Matrix) -> Matrix:
        context = self._attended(f"{name}.attention.self", hidden)
        mixed = self._norm(
            f"{name}.attention.output.LayerNorm", hidden + self._linear(f"{name}.attention.output.dense", context)
        )
        inner = self._linear(f"{name}.intermediate.dense", mixed)
        gelu = inner * 0.5 * (1.0 + np.asarray(_erf(inner / math.sqrt(2.0)), np.float64))
        return self._norm(f"{name}.output.LayerNorm", mixed + self._linear(f"{name}.output.dense", gelu))

    def _attended(self, name: str, hidden: Matrix) -> Matrix:
        query, key, value = (self._linear(f"{name}.{part}", hidden) for part in ("query", "key", "value"))
        size = hidden.shape[1] // self._heads
        found = np.empty_like(hidden)
        for head in range(self._heads):
            own = slice(head * size, (head + 1) * size)
            scores = np.einsum("ik,jk->ij", query[:, own], key[:, own]) / math.sqrt(size)
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            weights /= weights.sum(axis=1, keepdims=True)
            found[:, own] = np.einsum("ij,jk->ik", weights, value[:, own])
        return found

    def _linear(self, name: str, hidden: Matrix) -> Matrix:
        product: Matrix = np.einsum("ni,oi->no", hidden, self._weights[f"{name}.weight"], optimize=True)
        return product + self._weights[f"{name}.bias"]

    def _norm(self, name: str, hidden: Matrix) -> Matrix:
        centred = hidden - hidden.mean(axis=1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=1, keepdims=True) + EPSILON)
        scaled: Matrix = centred / deviation * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return scaled


_TABLES: Final = ("word", "position", "token_type")
