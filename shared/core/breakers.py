"""What is known of targets while they serve: which rest after failures, how fast they answer, how busy they are.

The counting is done by `shared/edge/admit.lua` and `settle.lua`, in one place for all functions. A target is `closed`
(it serves), `open` (it rests) or, once it has rested, half-open: one request may probe it, and its result closes or
opens the breaker; to all others it is still `open`. One whose model has reached a limit or budget of its own is
`spent`.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

State = Literal["closed", "open", "probe", "spent"]  # `probe`: this very request is to find out
Change = Literal["open", "half_open", "closed"]  # what is told of a breaker


class Choice(NamedTuple):
    """The targets that may serve a request, in the order of preference; `models` numbers the model of each, from 1.

    `strategy` chooses among the first `among` of them by what admission sees, "" takes the first that does not rest.
    Latencies of streams and of whole answers are kept apart.
    """

    targets: tuple[str, ...] = ()
    weights: tuple[int, ...] = ()
    strategy: Literal["", "fastest", "least_loaded"] = ""
    among: int = 0
    stream: bool = False
    models: tuple[int, ...] = ()


class Seen(NamedTuple):
    """One target as admission found it: `latency` in seconds, 0 if unknown; `busy` is the requests that it serves."""

    state: State
    latency: float = 0.0
    busy: int = 0


class Result(NamedTuple):
    """How one try went: on which target, by its position in the `Choice`; `latency` in seconds, 0 if unknown."""

    target: int
    good: bool
    latency: float = 0.0


NOTHING: Final = Choice()
