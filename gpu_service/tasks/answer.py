"""What a task gives back: a body, and what it took."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gpu_service.engine import Engine
    from gpu_service.service import Computed

encode = msgspec.json.Encoder().encode


class Answer(NamedTuple):
    """A response body, and what it took: seconds per phase, rows, tokens, and rows that were known before."""

    body: bytes
    phases: dict[str, float]
    rows: int
    tokens: int
    hits: int = 0

    @classmethod
    def of(cls, found: object, computed: Computed) -> Answer:
        """Write `found`, which `computed` went into."""
        return cls(encode(found), computed.phases, len(computed.results), computed.tokens, computed.hits)


class Streamed(NamedTuple):
    """Server-sent events as they come; `cancel` ends them early."""

    events: AsyncIterator[bytes]
    cancel: Callable[[], None]


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
