"""Buffers that runs of one shape use again and again, where the device reads and writes them.

On a GPU that saves each run its allocations, lets the next run's inputs be copied there while the device computes,
keeps the output there until somebody reads it, and is what CUDA graphs need: the same addresses each time. A CPU reads
the arrays where they are, and gains next to nothing: `python -m tests.bench.binding` says so.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnxruntime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    Shape = tuple[int, int]

MOST: Final = 128  # sets of buffers that are kept: more than the shapes of a GPU's runs, twice
_GRAPH: Final = "gpu_graph_id"  # ONNX Runtime's name for which graph a run records or replays
_NONE: Final = "-1"
_HERE: Final = "cpu"
_MASK: Final = "attention_mask"


class Buffers:
    """The inputs and the output of runs of one shape; one run at a time may use them."""

    def __init__(self, session: Any, takes: Iterable[str], shape: Shape, device: str, graph: int | None) -> None:  # noqa: ANN401 - onnxruntime publishes no types
        self.inputs = {name: np.zeros(shape, np.int64) for name in takes}
        self._session = session
        self._graph = graph
        self._fixed = False
        make = onnxruntime.OrtValue
        self._there = (
            {} if device == _HERE else {n: make.ortvalue_from_numpy(a, device) for n, a in self.inputs.items()}
        )
        self._binding = session.io_binding()
        for name, array in self.inputs.items():
            self._binding.bind_ortvalue_input(name, self._there.get(name) or make.ortvalue_from_numpy(array))
        self._output = session.get_outputs()[0].name
        self._binding.bind_output(self._output, device)

    def upload(self) -> None:
        """Copy the inputs to the device."""
        for name, value in self._there.items():
            value.update_inplace(self.inputs[name])

    def run(self, options: Any) -> None:  # noqa: ANN401 - as above
        """Compute; the first run finds out how large the output is, and is not recorded."""
        if self._graph is not None:
            options.add_run_config_entry(_GRAPH, str(self._graph) if self._fixed else _NONE)
        self._session.run_with_iobinding(self._binding, options)
        if not self._fixed:
            self._binding.bind_ortvalue_output(self._output, self._binding.get_outputs()[0])
            self._fixed = True

    def result(self, rows: int) -> NDArray[Any]:
        """Copy the first `rows` of the output from the device: the next run writes over it."""
        return np.array(self._binding.get_outputs()[0].numpy()[:rows])


class Bindings:
    """Sets of buffers by shape; those that were not used for longest are let go. Threads may share it."""

    def __init__(self, session: Any, takes: Iterable[str], device: str, *, graphs: bool, most: int = MOST) -> None:  # noqa: ANN401 - as above
        self._session = session
        self._takes = tuple(takes)
        self._device = device
        self._numbers = itertools.count() if graphs else None
        self._most = most
        self._free: OrderedDict[int, tuple[Shape, Buffers]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._free)

    @contextmanager
    def of(self, shape: Shape) -> Iterator[Buffers]:
        """Lend buffers of that `shape`, their inputs all zero; those of a run that failed are not used again."""
        buffers = self._found(shape)
        for array in buffers.inputs.values():
            array.fill(0)
        yield buffers
        with self._lock:
            self._free[id(buffers)] = (shape, buffers)
            while len(self._free) > self._most:
                self._free.popitem(last=False)

    def warm_up(self, shape: Shape, options: Callable[[], Any]) -> None:
        """Make buffers of that `shape`, one set to compute with while the other is filled, and have each recorded."""
        with self.of(shape) as one, self.of(shape) as other:
            for buffers in (one, other):
                buffers.inputs[_MASK].fill(1)
                buffers.upload()
                for _ in range(1 if self._numbers is None else 2):
                    buffers.run(options())

    def _found(self, shape: Shape) -> Buffers:
        with self._lock:
            for key, (has, buffers) in reversed(self._free.items()):
                if has == shape:
                    del self._free[key]
                    return buffers
        graph = None if self._numbers is None else next(self._numbers)
        return Buffers(self._session, self._takes, shape, self._device, graph)
