"""Rows whose results are known: they show that a graph is right, in its precision and on the device that runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from gpu_service.model import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from gpu_service.tokens import Row

    Run = Callable[[Sequence[Row]], NDArray[np.float32]]

_FARTHEST: Final = {"fp32": 1e-3, "fp16": 1e-2, "int8": 0.2}  # distance of a result, as a share of its length


class Reference(NamedTuple):
    """Rows of token ids, and the result of each."""

    rows: list[Row]
    results: NDArray[np.float32]

    @classmethod
    def read(cls, path: Path) -> Reference:
        """Read the JSON file at `path`.

        Raises:
            ModelError: it is none.
        """
        try:
            return cls.of(json.loads(path.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{path} holds no reference: write {{'rows': [[ids]], 'results': [[numbers]]}}, or remove 'reference'."
            ) from error

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Reference:
        """Take what `told` gave."""
        return cls(found["rows"], np.asarray(found["results"], np.float32))

    def told(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return {"rows": self.rows, "results": np.round(self.results.astype(np.float64), 7).tolist()}

    def check(self, run: Run, name: str, precision: str) -> None:
        """Compare what `run` gives for the rows, in one padded batch.

        Raises:
            ModelError: a result is too far away.
        """
        found = run(self.rows)
        wanted, got = self.results.shape[1], found.shape[1]
        if got != wanted:
            raise ModelError(
                f"The model {name} gives {got} numbers per input, and its reference has {wanted}: "
                "correct 'reference' in models.toml."
            )
        far = float((np.linalg.norm(found - self.results, axis=1) / np.linalg.norm(self.results, axis=1)).max())
        most = _FARTHEST[precision]
        if not far <= most:  # nor may it be no number
            raise ModelError(
                f"The model {name} is off its reference by {far:.3g} in {precision}, where {most} is the most: "
                "choose another precision or device; if it stays, the weights or 'pooling' are others."
            )
