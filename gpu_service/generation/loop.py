"""The thread that generates with a decoder of our own: it asks the scheduler what to do, and runs the decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_service.errors import NotReady
from gpu_service.generation.jobs import ENDING, Jobs
from gpu_service.generation.scheduler import Scheduler, Step

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gpu_service.generation.decoder import Decoder
    from gpu_service.generation.jobs import Job
    from gpu_service.generation.scheduler import Reading, Sequence
    from gpu_service.runs import Runs
    from gpu_service.telemetry import Telemetry


class Generator(Jobs):
    """Keeps sequences in the decoder's slots, where each gets a token per step."""

    def __init__(
        self,
        decoder: Decoder,
        *,
        places: int,
        telemetry: Telemetry,
        scheduler: Scheduler | None = None,
        runs: Runs | None = None,
    ) -> None:
        super().__init__(decoder, places=places, telemetry=telemetry, runs=runs)
        self._decoder = decoder
        self._scheduler = scheduler or Scheduler(slots=decoder.spec.slots, chunk=decoder.spec.prefill)

    @property
    def waiting(self) -> int:
        """Requests without a slot."""
        return self._scheduler.waiting

    @property
    def inside(self) -> int:
        """Requests in slots."""
        return self._scheduler.inside

    def _enter(self, job: Job) -> None:
        self._scheduler.add(job.sequence)

    def _work(self) -> None:
        while True:
            with self._turn:
                step = self._next()
                while not (step.reading or step.continued or self._closed):
                    self._turn.wait()
                    step = self._next()
                if self._closed:
                    break
            for source, target in step.moves:
                self._decoder.move(source, target)
            if step.reading:
                self._read(step.reading)
            if step.continued:
                self._continue(step.continued)
            self._tell()
        self._drop(NotReady(ENDING))
        self._tell()

    def _next(self) -> Step:
        """Forget first: who leaves at this very moment may be in the step, and must be known until it is done."""
        self._forget()
        return self._scheduler.step()

    def _drop(self, error: Exception) -> None:
        self._fail(self._scheduler.drop(), error)

    def _read(self, reading: Reading) -> None:
        sequence, ids = reading.sequence, reading.chunk
        logits = self._run([sequence], len(ids), lambda: self._decoder.read(reading.slot, ids, sequence.read))
        if logits is not None and self._scheduler.has_read(reading):
            self._take(sequence, logits)

    def _continue(self, sequences: list[Sequence]) -> None:
        tokens, held = [one.tokens[-1] for one in sequences], [one.held for one in sequences]
        found = self._run(sequences, len(tokens), lambda: self._decoder.proceed(tokens, held))
        if found is None:
            return
        for sequence, logits in zip(sequences, found, strict=True):
            if not sequence.is_over:
                self._take(sequence, logits)

    def _take(self, sequence: Sequence, logits: NDArray[np.floating]) -> None:
        """Choose the next token of a sequence."""
        job = self._jobs[sequence]
        self._accept(job, job.sampler.choose(logits))
