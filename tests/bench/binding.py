"""What buffers that stay cost or save on this machine's CPU: the same batches through both ways, by turns.

`python -m tests.bench.binding` prints the processor's time with buffers over that without, per shape. On a CPU there is
nothing to copy, so one is the best that can be; a GPU gains the copies and the allocations.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Final

from gpu_service import specs
from gpu_service.cuda import Cuda
from gpu_service.engine import Engine
from gpu_service.model import DEFAULT, Manifest
from gpu_service.prepare import Prepared

if TYPE_CHECKING:
    from gpu_service.tokens import Row

SHAPES: Final = ((1, 16), (8, 16), (32, 16), (8, 64), (4, 128))
ROUNDS: Final = 15
RUNS: Final = 8


def main() -> None:
    """Measure and print."""
    manifest = Manifest.read(DEFAULT)
    prepared = Prepared(DEFAULT, manifest, specs.of_manifest(manifest, DEFAULT))
    plain = Engine.of(prepared, device="cpu")
    bound = Engine.of(prepared, device="cpu", cuda=Cuda(rows=1, tokens=16), is_bound=True)
    for count, length in SHAPES:
        rows = [[101, *[2000] * (length - 2), 102]] * count
        ratios = [_seconds(bound, rows) / _seconds(plain, rows) for _ in range(ROUNDS + 1)][1:]
        low, high = min(ratios), max(ratios)
        told = f"with buffers / without {statistics.median(ratios):.3f} [{low:.3f} to {high:.3f}]"
        print(f"{count:3} x {length:3} tokens: {told}", flush=True)


def _seconds(engine: Engine, rows: list[Row]) -> float:
    """Processor time of a few runs."""
    began = time.process_time()
    for _ in range(RUNS):
        engine.run(rows)
    return time.process_time() - began


if __name__ == "__main__":
    main()
