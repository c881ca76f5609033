"""Holds what a graph takes and gives to what its entry in models.toml says, before anybody is served by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from gpu_service.model import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from gpu_service.specs import Spec

_NEEDED: Final = frozenset({"input_ids", "attention_mask"})
_GIVEN: Final = _NEEDED | {"token_type_ids"}
_POSITIONS: Final = 2_048  # tokens; more are read by models that have no table of positions


def check_inputs(name: str, takes: frozenset[str]) -> None:
    """Hold a graph that reads text to the inputs that are known: zeros for others would give wrong numbers unseen.

    Raises:
        ModelError: it takes others.
    """
    if not _NEEDED <= takes <= _GIVEN:
        raise ModelError(
            f"The graph of the model {name} takes {', '.join(sorted(takes))}, where input_ids, attention_mask and "
            "perhaps token_type_ids are given: export it with these inputs."
        )


def check_outputs(name: str, spec: Spec, provider: str, found: NDArray[np.float32]) -> None:
    """Hold the results of a run to the model's task.

    Raises:
        ModelError: they are not what it is about.
    """
    labels, width = spec.labels, found.shape[1]
    length = float(np.linalg.norm(found))
    unit = spec.task == "embedding" and spec.normalize
    if unit and not abs(length - 1) < 1e-3:  # noqa: PLR2004 - float32 and float16 stay well below
        raise ModelError(f"The model {name} gives no unit vectors on {provider}: build it again.")
    if not unit and not np.isfinite(length):
        raise ModelError(f"The model {name} gives no numbers on {provider}: choose another precision.")
    check_dimensions(name, spec, width)
    if spec.task == "classification" and width != len(labels):
        raise ModelError(f"The model {name} has {width} outputs, and models.toml names {len(labels)} labels for it.")
    if spec.task == "rerank" and width != 1:
        raise ModelError(f"The model {name} has {width} outputs; a reranker has one or two: is it a classifier?")


def check_dimensions(name: str, spec: Spec, width: int) -> None:
    """Hold `dimensions` to the `width` of a model's vectors.

    Raises:
        ModelError: one of them is larger.
    """
    if larger := [size for size in spec.dimensions if size > width]:
        raise ModelError(f"The model {name} gives {width} numbers: remove {larger[0]} from 'dimensions'.")


def check_longest(name: str, most: int, run: Callable[[list[list[int]]], object]) -> None:
    """Run the longest input that is read, of up to `most` tokens.

    Raises:
        ModelError: the model does not read so many.
    """
    longest = min(most, _POSITIONS)
    try:
        run([[1] * longest])
    except Exception as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ModelError(
            f"The model {name} does not read {longest} tokens ({reason}): lower 'max_tokens' in models.toml."
        ) from error
