"""Arrivals to simulate: at random, in bursts, or as they really were, from the service's own log."""

from __future__ import annotations

import json
import math
import random
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from gpu_service.batching.simulator import Arrival

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Lengths = Callable[[random.Random], int]

_ON: Final = 1.0  # seconds of a burst
_OFF: Final = 3.0  # seconds between bursts, in which one request in ten comes
_QUIET: Final = 0.1


class TraceError(ValueError):
    """A line of a trace cannot be read; the message names it."""


def even(least: int, most: int) -> Lengths:
    """Give lengths from `least` to `most` tokens, all equally likely."""
    return lambda chance: chance.randint(least, most)


def poisson(rate: float, seconds: float, lengths: Lengths, *, seed: int = 1, start: float = 0.0) -> Iterator[Arrival]:
    """Give `rate` requests a second that know nothing of each other, one row each."""
    chance, now = random.Random(seed), start  # noqa: S311 - a simulation, not a secret
    while (now := now + chance.expovariate(rate)) < start + seconds:
        yield Arrival(now, (lengths(chance),))


def bursts(rate: float, seconds: float, lengths: Lengths, *, seed: int = 1) -> Iterator[Arrival]:
    """Give `rate` requests a second in the mean, nearly all of them within one second of every four."""
    chance = random.Random(seed)  # noqa: S311 - as above
    high = rate * (_ON + _OFF) / (_ON + _QUIET * _OFF)
    for arrival in poisson(high, seconds, lengths, seed=seed):
        if arrival.at % (_ON + _OFF) < _ON or chance.random() < _QUIET:
            yield arrival


def read(lines: Iterable[str]) -> list[Arrival]:
    """Read one request per line, in any order: `seconds,tokens[,tokens...]`, or a line of the log.

    A row has one number of tokens. Of the log (JSON objects with `event` = `request`) those with `tokens` are taken,
    with rows of equal length.

    Raises:
        TraceError: a line is neither, or there is no request at all.
    """
    found = []
    for number, line in enumerate(lines, 1):
        try:
            arrival = _of_log(json.loads(line)) if line.lstrip().startswith("{") else _of_table(line)
        except (ValueError, KeyError, TypeError) as error:
            raise TraceError(
                f"Line {number} is neither `seconds,tokens[,tokens...]` nor a request of the service's log."
            ) from error
        if arrival is not None:
            found.append(arrival)
    if not found:
        raise TraceError("The trace holds no request.")
    first = min(arrival.at for arrival in found)
    return sorted(Arrival(arrival.at - first, arrival.sizes) for arrival in found)


def _of_table(line: str) -> Arrival | None:
    if not line.strip() or line.startswith("#"):
        return None
    at, *sizes = line.split(",")
    if not sizes or any(int(size) < 1 for size in sizes) or not math.isfinite(float(at)):
        raise ValueError(line)
    return Arrival(float(at), [int(size) for size in sizes])


def _of_log(told: dict[str, Any]) -> Arrival | None:
    if told.get("event") != "request" or not told.get("tokens"):
        return None
    ended = datetime.fromisoformat(told["time"]).timestamp()
    rows = int(told["rows"])
    return Arrival(ended - told["total_ms"] / 1000, [max(1, told["tokens"] // rows)] * rows)
