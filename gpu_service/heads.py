"""What is done with the numbers that a graph gives, where the graph leaves something to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from gpu_service.specs import Spec

    Matrix = NDArray[np.float32]


def finished(outputs: Matrix, lengths: Sequence[int], spec: Spec) -> Matrix:
    """Turn the graph's first output into one row of float32 per input, of what the task is about.

    Embedding: vectors. Rerank: one relevance from 0 to 1. Classification: one score from 0 to 1 per label.
    """
    found = np.asarray(outputs, np.float32)
    if spec.task == "embedding":
        return _pooled(found, lengths, spec) if found.ndim == 3 else found  # noqa: PLR2004 - rows, tokens, dimensions
    if spec.task == "rerank":
        return softmax(found)[:, 1:2] if found.shape[1] == 2 else sigmoid(found)  # noqa: PLR2004 - no and yes
    return _ACTIVATIONS[spec.activation](found)


def _pooled(hidden: Matrix, lengths: Sequence[int], spec: Spec) -> Matrix:
    counts = np.asarray(lengths)
    if spec.pooling == "cls":
        vectors = hidden[:, 0]
    elif spec.pooling == "last":
        vectors = hidden[np.arange(len(counts)), counts - 1]
    else:
        mask = np.arange(hidden.shape[1]) < counts[:, None]
        vectors = (hidden * mask[:, :, None]).sum(axis=1) / counts[:, None]
    return unit(vectors) if spec.normalize else vectors


def unit(vectors: Matrix) -> Matrix:
    """Scale every row to length one."""
    scaled: Matrix = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return scaled.astype(np.float32, copy=False)


def softmax(logits: Matrix) -> Matrix:
    """Probabilities of classes that exclude each other."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: Matrix = raised / raised.sum(axis=1, keepdims=True)
    return found


def sigmoid(logits: Matrix) -> Matrix:
    """Probabilities of classes that do not."""
    found: Matrix = np.asarray(0.5 * (np.tanh(0.5 * logits) + 1.0), np.float32)
    return found


_ACTIVATIONS: Final[Mapping[str, Callable[[Matrix], Matrix]]] = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "none": np.ascontiguousarray,
}
