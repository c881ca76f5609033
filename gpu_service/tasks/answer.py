"""What a task gives back: a body, and what it took."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gpu_service.engine import Engine
    from gpu_service.service import Computed

_OPERATIONS: Final = {"embedding": "embeddings", "rerank": "rerank", "classification": "classification"}


def encode(found: object) -> bytes:
    """Write JSON; the float32 of an array in the fewest digits that are read back as the same float32.

    As Python's floats, which are float64, they have twice as many.
    """
    return orjson.dumps(found, option=orjson.OPT_SERIALIZE_NUMPY)


class Work(NamedTuple):
    """What was done for an answer: what OpenTelemetry calls the operation, by which model, and since when.

    `began` is on the clock of `time.perf_counter`; `read` and `written` are tokens, 0 where it is not known.
    """

    operation: str
    model: str
    began: float
    read: int = 0
    written: int = 0


class Answer(NamedTuple):
    """A response body, and what it took: seconds per phase, rows, tokens, and rows that were known before."""

    body: bytes
    phases: dict[str, float]
    rows: int
    tokens: int
    work: Work
    hits: int = 0

    @classmethod
    def of(cls, found: object, computed: Computed) -> Answer:
        """Write `found`, which `computed` went into."""
        engine = computed.engine
        work = Work(_OPERATIONS[engine.spec.task], engine.manifest.name, computed.began, computed.tokens)
        return cls(encode(found), computed.phases, len(computed.results), computed.tokens, work, computed.hits)


class Streamed(NamedTuple):
    """Server-sent events as they come; `cancel` ends them early, and `done` tells of the work so far."""

    events: AsyncIterator[bytes]
    cancel: Callable[[], None]
    done: Callable[[], Work]


def check_count(count: int, engine: Engine, param: str) -> None:
    """Hold a request to as many inputs as its model takes at a time.

    Raises:
        BadRequest: it has more.
    """
    most = engine.spec.max_inputs
    if count > most:
        name = engine.manifest.name
        raise BadRequest(f"'{param}' holds {count} items; the model '{name}' takes {most} at a time.", param=param)


def identity(prefix: str) -> str:
    """Make an id that no other answer has."""
    return f"{prefix}-{uuid.uuid4().hex}"
