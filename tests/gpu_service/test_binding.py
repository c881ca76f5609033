"""Runs through buffers that stay give what other runs give, bit for bit, whatever was in the buffers before."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import onnxruntime
import pytest

from gpu_service import specs
from gpu_service.binding import Bindings
from gpu_service.cuda import Cuda
from gpu_service.engine import Engine
from gpu_service.model import Manifest, ModelError
from gpu_service.prepare import Prepared
from gpu_service.session import open_session
from tests.gpu_service.test_reference import TEXTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gpu_service.tokens import Row

SMALL = Cuda(rows=4, tokens=128)


@pytest.fixture(scope="module")
def prepared(model_dir: Path) -> Prepared:
    """The real model."""
    manifest = Manifest.read(model_dir)
    return Prepared(model_dir, manifest, specs.of_manifest(manifest, model_dir))


@pytest.fixture(scope="module")
def bound(prepared: Prepared) -> Engine:
    """An engine that runs through buffers, on the CPU, with recording asked for and memory given back."""
    return Engine.of(prepared, device="cpu", cuda=SMALL, is_bound=True)


def batches(engine: Engine) -> Iterator[list[Row]]:
    """Batches whose shapes change and come again, longer ones before shorter ones."""
    rows = sorted(engine.rows(TEXTS), key=len, reverse=True)
    for _ in range(2):
        for size in (3, 1, 5):
            for start in range(0, len(rows), size):
                yield rows[start : start + size]


def test_the_vectors_are_the_same_to_the_bit(bound: Engine, engine: Engine) -> None:
    """Many shapes, one after another and again: no bit is left over from an earlier run."""
    for rows in batches(engine):
        assert bound.run(rows).tobytes() == engine.run(rows).tobytes()


def test_results_outlive_the_next_run(bound: Engine, engine: Engine) -> None:
    """They are copies: a second run through the same buffers does not change what the first gave."""
    one, other = ([row] for row in engine.rows(["the first text", "a second text"]))
    first = bound.run(one)
    kept = first.copy()
    bound.run(other)

    assert first.tobytes() == kept.tobytes()


def test_threads_do_not_share_buffers(bound: Engine, engine: Engine) -> None:
    """Four threads with texts of one shape each get their own."""
    rows = [[row] for row in engine.rows([f"text number {number}" for number in range(10, 74)])]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(bound.run, rows))

    assert [one.tobytes() for one in found] == [engine.run(one).tobytes() for one in rows]


def test_buffers_are_made_once_and_kept_within_bounds(bound: Engine) -> None:
    """The same shape comes with the same memory, clean; of many shapes the oldest are let go."""
    bindings = Bindings(bound._session, bound._takes, "cpu", graphs=False, most=4)
    with bindings.of((1, 8)) as first:
        first.inputs["input_ids"].fill(7)
        address = first.inputs["input_ids"].ctypes.data
    with bindings.of((1, 8)) as again, bindings.of((1, 8)) as other:
        assert again is first
        assert not again.inputs["input_ids"].any()
        assert (again.inputs["input_ids"].ctypes.data, other is first) == (address, False)
    for length in range(9, 40):
        with bindings.of((1, length)):
            pass
    assert len(bindings) == 4
    with bindings.of((1, 8)) as anew:
        assert anew is not first


def test_the_output_stays_where_it_is(bound: Engine) -> None:
    """From the second run of a shape on it is written to the same memory: graphs replay addresses."""
    bindings = Bindings(bound._session, bound._takes, "cpu", graphs=True)
    addresses = set()
    for _ in range(3):
        with bindings.of((2, 8)) as buffers:
            buffers.inputs["attention_mask"].fill(1)
            buffers.run(onnxruntime.RunOptions())
            addresses.add(buffers._binding.get_outputs()[0].data_ptr())
    assert len(addresses) == 1


def test_buffers_of_a_run_that_failed_are_not_used_again(bound: Engine) -> None:
    """Nobody knows what it left there."""
    bindings = Bindings(bound._session, bound._takes, "cpu", graphs=False)
    with pytest.raises(RuntimeError), bindings.of((1, 8)) as broken:
        raise RuntimeError
    with bindings.of((1, 8)) as buffers:
        assert buffers is not broken


class Recording:
    """A session that keeps what each run was told about graphs; if it `refuses`, it runs nothing that is recorded."""

    def __init__(self, session: Any, *, graphs: bool, refuses: bool) -> None:
        self._session, self._graphs, self._refuses = session, graphs, refuses
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        """Run."""
        graph = options.get_run_config_entry("gpu_graph_id") if self._graphs else "none"
        self.asked.append(graph)
        if self._refuses and graph != "-1":
            raise RuntimeError("operation not permitted when stream is capturing")
        self._session.run_with_iobinding(binding, options)


def test_each_set_of_buffers_has_its_graph(prepared: Prepared) -> None:
    """The first run of a set is not recorded, as its output has no place yet; each later one has the set's number."""
    sessions: list[Recording] = []

    def opener(*arguments: Any, **named: Any) -> Recording:
        sessions.append(Recording(open_session(*arguments, **named), graphs=True, refuses=False))
        return sessions[-1]

    cuda = Cuda(rows=1, tokens=16, graphs=True)
    engine = Engine.of(prepared, device="cpu", cuda=cuda, is_bound=True, opener=opener)
    [session] = sessions
    shapes = cuda.shapes(256)
    assert session.asked[: 4 * len(shapes)] == [
        graph for number in range(2 * len(shapes)) for graph in ("-1", str(number))
    ]
    session.asked.clear()
    engine.run([[1] * 16])
    assert len(session.asked) == 1
    assert 0 <= int(session.asked[0]) < 2 * len(shapes)


def test_without_graphs_it_serves_on(prepared: Prepared, capsys: pytest.CaptureFixture[str]) -> None:
    """A driver that cannot record them costs a line in the log, which names the model and the reason."""
    asked: list[bool] = []

    def opener(*arguments: Any, cuda: Cuda, **named: Any) -> Any:
        asked.append(cuda.graphs)
        return Recording(open_session(*arguments, **named), graphs=cuda.graphs, refuses=cuda.graphs)

    cuda = Cuda(rows=1, tokens=16, graphs=True)
    engine = Engine.of(prepared, device="cpu", cuda=cuda, is_bound=True, opener=opener)

    assert asked == [True, False]
    assert engine.run(engine.rows(["some words"])).shape == (1, 384)
    told = capsys.readouterr().out
    assert '"no_cuda_graphs"' in told
    assert "operation not permitted when stream is capturing" in told


def test_a_shape_that_does_not_run_stops_the_start(prepared: Prepared) -> None:
    """The sentence names shape, reason and remedy."""

    def opener(*arguments: Any, **named: Any) -> Any:
        return Recording(open_session(*arguments, **named), graphs=False, refuses=True)

    with pytest.raises(
        ModelError, match=r"does not run 1 rows of 256 tokens on CPU.*capturing\. If memory is short, lower MAX_BATCH"
    ):
        Engine.of(prepared, device="cpu", cuda=Cuda(rows=1), is_bound=True, opener=opener)


def test_memory_is_given_back_where_it_is_asked_for(prepared: Prepared, engine: Engine) -> None:
    """ONNX Runtime takes the option, here for the CPU's arena, and computes the same."""
    shrinking = Engine.of(prepared, device="cpu", cuda=Cuda(rows=1, shrink=True), is_bound=True)
    rows = engine.rows(["some words"])

    assert shrinking.run(rows).tobytes() == engine.run(rows).tobytes()
    options = shrinking._interrupts.options(shrinking._entries)
    assert options.get_run_config_entry("memory.enable_memory_arena_shrinkage") == "cpu:0"
    assert threading.get_ident() in shrinking._interrupts._options
