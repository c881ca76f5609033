"""On a GPU the shapes of runs are few, and no result shows it. No GPU has run this: the shapes are tried on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from gpu_service import shapes
from gpu_service.engine import Engine
from gpu_service.session import CUDA
from tests.gpu_service.test_reference import TEXTS

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


class Recorded:
    """A session on the CPU that says it is one on CUDA, and keeps the shapes of its runs."""

    def __init__(self, engine: Engine) -> None:
        self._session = engine._session
        self.shapes: list[tuple[int, ...]] = []

    def get_providers(self) -> list[str]:
        """CUDA."""
        return [CUDA, "CPUExecutionProvider"]

    def get_inputs(self) -> object:
        """As they are."""
        return self._session.get_inputs()

    def run(self, outputs: None, feeds: dict[str, NDArray[np.int64]], _options: object) -> list[NDArray[np.float32]]:
        """Run and remember."""
        self.shapes.append(feeds["input_ids"].shape)
        found: list[NDArray[np.float32]] = self._session.run(outputs, feeds)
        return found


@given(rows=st.integers(1, 300), longest=st.integers(1, 8192))
def test_a_shape_holds_its_rows_and_less_than_twice_as_much(rows: int, longest: int) -> None:
    """At least as large as needed, less than twice in either direction, and rounding it again changes nothing."""
    count, length = shapes.rounded(rows, longest)

    assert rows <= count < 2 * rows
    assert longest <= length < max(2 * longest, 17)
    assert shapes.rounded(count, length) == (count, length)
    assert shapes.exact(rows, longest) == (rows, longest)


def test_results_do_not_show_the_shape(engine: Engine, model_dir: Path) -> None:
    """Texts in batches of several sizes: few shapes, none past the model's positions, the same vectors."""
    assert model_dir.exists()
    recorded = Recorded(engine)
    on_cuda = Engine(recorded, engine._tokens, engine.manifest, engine.spec)
    rows = engine.rows([*TEXTS[:14], "word " * 200])
    for size in (1, 3, 14):
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            found, expected = on_cuda.run(batch), engine.run(batch)
            assert found.shape == expected.shape
            assert (found * expected).sum(axis=1).min() > 0.999999

    assert len(set(recorded.shapes)) < 10
    assert max(length for _, length in recorded.shapes) == 256
