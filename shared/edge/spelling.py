"""How a question is put to the admission script, and how what it grants is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core.breakers import Seen
from shared.core.budgets import DEFAULT_MAX_TOKENS
from shared.core.limits import HOUR, MINUTE, Standing
from shared.edge.asking import Ask, Grant, Granted

if TYPE_CHECKING:
    from shared.core.breakers import State

MICRO = 1_000_000
PROBE_SECONDS = 60.0  # at most until a request that probes a target has said what became of it; then another may

_STATES: dict[int, State] = {ord("c"): "closed", ord("o"): "open", ord("p"): "probe", ord("s"): "spent"}


def arguments(ask: Ask, presets: str) -> list[str | int]:
    """Return the question as `admit.lua` takes it; limits must have been resolved with `presets`, "" for any."""
    choice, models = ask.choice, ask.models
    bounds = [part for one in models for part in (one.worst.fixed if one.priced else "", *one.worst[1:], one.ceiling)]
    return [
        ask.request_id,
        max(1, round(ask.lease * 1000)),
        MINUTE * MICRO,
        HOUR * MICRO,
        "0" if ask.unbounded else "1",
        len(models),
        len(choice.targets),
        ask.answers,
        ask.max_tokens,
        DEFAULT_MAX_TOKENS,
        int(ask.fit),
        presets,
        choice.strategy,
        choice.among,
        "stream" if choice.stream else "whole",
        round(min(ask.lease, PROBE_SECONDS) * 1000),
        *ask.who,
        *ask.everybody,
        *bounds,
        *choice.weights,
        *(choice.models or [0] * len(choice.targets)),
    ]


def granted(facts: list[Any], models: int) -> Grant:
    """Read what it answers where it admits a question about so many `models`."""
    held, budgeted, counted, day, month, catalog, first, states, *told = facts[6:]
    of_targets, of_models = told[: 2 * len(states)], told[2 * len(states) :]
    pairs = zip(states, of_targets[::2], of_targets[1::2], strict=True)
    seen = tuple(Seen(_STATES[state], latency / MICRO, busy) for state, latency, busy in pairs)
    grants = (of_models[3 * at : 3 * at + 3] for at in range(models))
    return Grant(
        requests=Standing(facts[0], facts[1], facts[2] / MICRO),
        tokens=Standing(facts[3], facts[4], facts[5] / MICRO),
        held=held,
        budgeted=bool(budgeted),
        counted=bool(counted),
        day=day.decode(),
        month=month.decode(),
        first=max(0, first - 1),
        seen=seen,
        models=tuple(Granted(*grant) if grant[1] >= 0 else Granted(spent=True) for grant in grants),
        catalog=catalog,
    )
