"""One wide line per request on standard output: a structured log event that is a CloudWatch metric (EMF) as well.

Beside it stand the lines of `shared.core.journal`, by which the books live through a flush of the store. They are lines
of their own, for they must be out before the store hears, name the keys that the ledger names, and are no metric.

Written directly, not through Powertools: Logger plus Metrics cost 46 ms of CPU at start and 110 µs per request (two
lines), this 3 µs, for the same content. No prompt, answer, key or address is ever a field; the key's id is hashed.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from shared.core.events import FAULT, pseudonym
from shared.core.usage import Usage
from shared.core.wire import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAMESPACE = "AINexus"
NONE = "none"  # a dimension must have a value
_MOST_FRAMES = 8

_METRICS: Final = (
    ("Requests", "Count"),
    ("Latency", "Milliseconds"),
    ("TimeToFirstChunk", "Milliseconds"),
    ("PromptTokens", "Count"),
    ("CompletionTokens", "Count"),
    ("Overhead", "Milliseconds"),
)
# Times of what providers were asked for, over all of them: percentiles cannot be added up. Three more custom metrics
# cost 0.90 USD a month where there is traffic in every hour.
_OVER_ALL: Final = {
    "Namespace": NAMESPACE,
    "Dimensions": [["stage"]],
    "Metrics": [{"Name": name, "Unit": "Milliseconds"} for name in ("Latency", "TimeToFirstChunk", "Overhead")],
}


@dataclass(slots=True)
class Event:
    """What is known of one request; filled while it is served, written once when it ends. Durations are in seconds."""

    request_id: str
    started: float = field(default_factory=time.perf_counter)
    route: str = ""
    key_id: str = ""
    model: str = ""  # only a name of the catalog: what clients invent would be a dimension of its own each time
    provider: str = ""
    served: str = ""  # the model that answered, where `model` is an alias or fell back
    status: int = 0
    outcome: str = ""  # "ok", "client_gone", or the code of the error
    stream: bool = False
    tries: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: int | None = None  # nano-dollars; None: nothing was to be charged, or there is no price for it
    settled: bool | None = None  # None: nothing was to be settled; False: it was, and the store did not take it
    upstream: float = 0.0  # spent waiting for providers until the first chunk left
    first_chunk: float | None = None  # from the start

    def mark_first_chunk(self) -> None:
        """Note that the first bytes of the answer leave now."""
        if self.first_chunk is None:
            self.first_chunk = time.perf_counter() - self.started

    @property
    def overhead(self) -> float:
        """Seconds until the first chunk left, or until now, that were not spent waiting for a provider."""
        until = time.perf_counter() - self.started if self.first_chunk is None else self.first_chunk
        return max(0.0, until - self.upstream)


class Telemetry:
    """Writes the lines of one stage."""

    def __init__(self, stage: str, write: Callable[[bytes], object] | None = None) -> None:
        """`write` gets whole lines; without it they go to standard output at once."""
        self._stage = stage
        self._write = write or _to_stdout

    def emit(self, event: Event) -> None:
        """Write the line of a request that has ended."""
        self._write(encode(_line(event, self._stage, time.time())) + b"\n")

    def note(self, line: Mapping[str, Any]) -> None:
        """Write a line of the journal of money; it has left the process when this returns."""
        self._write(encode(line) + b"\n")

    def fault(self, error: BaseException, request_id: str) -> None:
        """Write where an unforeseen error happened. Its message is left out: it may quote what a client sent."""
        frames, trace = [], error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            frames.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_name}")
            trace = trace.tb_next
        fault = {"level": "ERROR", "event": FAULT, "error": type(error).__name__, "frames": frames[-_MOST_FRAMES:]}
        self._write(encode({**fault, "request_id": request_id, "stage": self._stage}) + b"\n")


def say(line: Mapping[str, Any]) -> None:
    """Write a line on something else than a request."""
    _to_stdout(encode(line) + b"\n")


def _line(event: Event, stage: str, now: float) -> dict[str, Any]:
    values = _values(event)
    metrics = [{"Name": name, "Unit": unit} for name, unit in _METRICS if name in values]
    dimensions = ["stage", "provider", "model", "outcome"]
    directives = [{"Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics}]
    if event.provider and event.first_chunk is not None:
        directives.append(_OVER_ALL)
    return {
        "_aws": {"Timestamp": int(now * 1000), "CloudWatchMetrics": directives},
        "level": "ERROR" if event.settled is False else "INFO",
        "event": "request",
        "stage": stage,
        "provider": event.provider or NONE,
        "model": event.model or NONE,
        "outcome": event.outcome or NONE,
        "request_id": event.request_id,
        "route": event.route,
        "served": event.served or NONE,
        "key": pseudonym(event.key_id) if event.key_id else NONE,
        "status": event.status,
        "stream": event.stream,
        "tries": event.tries,
        "estimated": event.usage.estimated,
        "settled": event.settled,
        "cost_nano": event.cost,
        **values,
    }


def _values(event: Event) -> dict[str, float]:
    """Return the metrics that this request has a value for."""
    values: dict[str, float] = {
        "Requests": 1,
        "Latency": _milliseconds(time.perf_counter() - event.started),
        "Overhead": _milliseconds(event.overhead),
    }
    if event.first_chunk is not None:
        values["TimeToFirstChunk"] = _milliseconds(event.first_chunk)
    if event.settled is not None:
        values |= {"PromptTokens": event.usage.prompt, "CompletionTokens": event.usage.completion}
    return values


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _to_stdout(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
