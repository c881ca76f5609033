"""ONNX Runtime with nothing around it: rows tokenized and sorted beforehand, full batches, a thread per core."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING

from gpu_service.cpu import cores
from gpu_service.slices import slices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_service.engine import Engine


def tokens(engine: Engine, texts: Iterator[tuple[str, int]], *, seconds: float) -> tuple[float, float]:
    """Tokens a second, and per second of processor: what the machine can do, which no server gets beyond."""
    rows = engine.rows([text for text, _ in itertools.islice(texts, 1000)])
    batches = [[rows[index] for index in part] for part in slices([len(row) for row in rows])]
    waiting, done = itertools.cycle(batches), [0] * cores()
    began, spent = time.perf_counter(), time.process_time()
    end = began + seconds

    def work(place: int) -> None:
        while time.perf_counter() < end:
            batch = next(waiting)
            engine.run(batch)
            done[place] += sum(map(len, batch))

    threads = [threading.Thread(target=work, args=(place,)) for place in range(cores())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - began), sum(done) / (time.process_time() - spent)
