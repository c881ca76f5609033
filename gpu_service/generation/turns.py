"""The thread that generates with onnxruntime-genai's engine: it begins and cancels turns, and passes on their tokens.

Text, stop strings and the limit are judged here as for our own decoder: the engine gives tokens, and is told to stop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gpu_service.errors import NotReady
from gpu_service.generation.jobs import ENDING, Jobs

if TYPE_CHECKING:
    from gpu_service.generation.genai import Genai
    from gpu_service.generation.jobs import Job, Wish
    from gpu_service.runs import Runs
    from gpu_service.telemetry import Telemetry

_TOKEN, _FINISHED = 1, 2  # bits of an event
_END: Final = "EOS"
_EVENTS: Final = 256  # that a run may give at once


class _Turn(NamedTuple):
    job: Job
    request: Any
    number: int


class _Event(NamedTuple):
    """What is kept of an event: its buffer is used again."""

    request: Any
    flags: int
    token: int | None
    reason: str
    error: str


class Turns(Jobs):
    """Answers requests by turns of the engine."""

    def __init__(self, model: Genai, *, places: int, telemetry: Telemetry, runs: Runs | None = None) -> None:
        super().__init__(model, places=places, telemetry=telemetry, runs=runs)
        self._genai = model
        self._engine: Any = None
        self._events: Any = None
        self._new: list[Job] = []
        self._under_way: dict[int, _Turn] = {}  # by the identity of the engine's request

    @property
    def waiting(self) -> int:
        """Requests that the engine has no place for."""
        return len(self._new) + max(0, len(self._under_way) - self._genai.spec.slots)

    @property
    def inside(self) -> int:
        """Requests that the engine runs."""
        return min(len(self._under_way), self._genai.spec.slots)

    def submit(self, wish: Wish) -> Job:
        """Begin to generate; call it on the event loop.

        Raises:
            GatewayError: as for any other, or a wish that the engine would not fulfil.
        """
        self._genai.check(wish)
        return super().submit(wish)

    def _enter(self, job: Job) -> None:
        self._new.append(job)

    def _work(self) -> None:
        self._engine = self._genai.engine()
        self._events = self._engine.create_event_buffer(_EVENTS)
        while True:
            with self._turn:
                self._forget()
                while not (self._new or self._under_way or self._closed):
                    self._turn.wait()
                if self._closed:
                    break
                new, self._new = self._new, []
            for job in new:
                self._begin(job)
            self._step()
            self._tell()
        self._drop(NotReady(ENDING))
        self._tell()

    def _begin(self, job: Job) -> None:
        if job.sequence.is_over:
            return
        wish = job.wish
        try:
            request, number = self._genai.begin(
                self._engine,
                wish.prompt,
                limit=wish.limit,
                temperature=wish.temperature,
                top_p=wish.top_p,
                seed=wish.seed,
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, its request hears of it
            self._fail([job.sequence], error)
            return
        self._under_way[id(request)] = _Turn(job, request, number)

    def _step(self) -> None:
        """Cancel the turns of those that left, and run the engine once."""
        for turn in self._under_way.values():
            if turn.job.sequence.is_over:
                turn.request.cancel_turn(turn.number)
        if not self._under_way:
            return
        heard = [turn.job.sequence for turn in self._under_way.values() if not turn.job.sequence.is_over]
        found = self._run(heard, max(1, len(heard)), self._ran)
        if found is None:  # all have been told
            self._close_all()
        for event in found or ():
            self._take(event)

    def _ran(self) -> list[_Event]:
        return [
            _Event(one.request, int(one.flags.value), one.token, one.finish_reason.name, one.error_code.name)
            for one in self._engine.run(self._events)
        ]

    def _take(self, event: _Event) -> None:
        turn = self._under_way[id(event.request)]
        job = turn.job
        if event.flags & _TOKEN and event.token is not None and not job.sequence.is_over:
            self._accept(job, event.token)
        if event.flags & _FINISHED:
            if not job.sequence.is_over and event.reason == _END:  # whose token is not given, and counts like any other
                self._accept(job, min(self._model.ends))
            if not job.sequence.is_over:
                self._fail([job.sequence], RuntimeError(f"The engine ended with {event.reason} ({event.error})."))
            turn.request.close()
            del self._under_way[id(event.request)]

    def _drop(self, error: Exception) -> None:
        self._fail([turn.job.sequence for turn in self._under_way.values()], error)
        self._fail([job.sequence for job in self._new], error)
        self._new.clear()
        self._close_all()

    def _close_all(self) -> None:
        for turn in self._under_way.values():
            turn.request.close()
        self._under_way.clear()
