"""Rounds of the hammer: who asks for what, what breaks meanwhile, and when it is over."""

from __future__ import annotations

import random
import threading
from contextlib import ExitStack
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from shared.core.pricing import NANO
from tests.e2e.bookkeeping import BOOKS
from tests.e2e.hammer import chaos, clients, verdict
from tests.e2e.hammer.world import LONGEST_LEASE
from tests.e2e.hammer.world import MODELS as THREE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.hammer.clients import Deed
    from tests.e2e.hammer.verdict import Round
    from tests.e2e.hammer.world import World

CLIENTS: Final = 16
BOOKS_EVERY: Final = 1.0  # seconds
KILL_EVERY: Final = 1.0
PACE_MS: Final = 1.0  # between chunks, where nothing else is asked for
SLACK: Final = 15.0  # seconds that a loaded machine may take besides what has to pass
NEVER: Final = 10**9


class Plan(NamedTuple):
    """A round: what clients ask for, how many dollars they share, for how long, and what else happens.

    `refusals` for want of money in a row end a client; `flush` is the second in which Valkey loses all that it has.
    With `each` every model may spend no more than so many dollars.
    Without `hurried` the books are kept each minute, as deployed, and not each second besides.
    """

    name: str
    draw: Callable[[random.Random], Deed]
    budget: str
    seconds: float
    faults: bool = False
    refusals: int = NEVER
    flush: float = 0.0
    hurried: bool = True
    each: str = "0"


CALM: Final = Plan("calm", clients.calm, "1", 60, refusals=3)
TIGHT: Final = Plan("tight", clients.calm, "0.02", 60, refusals=3)  # below 16 of the cheapest at their worst
SEVERAL: Final = Plan("several", clients.several, "0.05", 60, refusals=3)
WILD: Final = Plan("wild", clients.wild, "1", 10, faults=True)
WILD_AND_TIGHT: Final = Plan("wild and tight", clients.wild, "0.05", 10, faults=True)
MODELS: Final = Plan("models", clients.any_of_three, "1", 8, faults=True, each="0.02")
FLUSHED: Final = Plan("flushed", clients.wild, "0.5", 14, faults=True, flush=4)
FLUSHED_AND_ALONE: Final = Plan("flushed, alone", clients.wild, "1", 80, faults=True, flush=4, hurried=False)


def struck(world: World, plan: Plan, seed: str) -> Round:
    """Let 16 clients share a budget, and judge what is left when all is quiet.

    Raises:
        AssertionError: the money is not right.
        TimeoutError: something holds money for longer than it may.
    """
    world.provider.delete("/_calls")
    world.provider.post("/_knobs", json={"keep_body": True, "chunk_gap_ms": PACE_MS})
    made, nano = world.key(plan.budget), int(Decimal(plan.budget) * NANO)
    each = int(Decimal(plan.each) * NANO)
    limits = {model: world.limit(model, each) for model in (THREE if each else ())}
    stop = threading.Event()
    crowd = [
        clients.Client(world.stack.base_url, made["key"], _drawing(plan, f"{seed} {number}"), stop, plan.refusals)
        for number in range(CLIENTS)
    ]
    with ExitStack() as around:
        around.enter_context(chaos.Watch(world, f"key:{made['id']}", nano).demon)
        for model, limit in limits.items():
            around.callback(world.unlimit, model)
            around.enter_context(chaos.Watch(world, f"model:{model}", limit).demon)
        if plan.hurried:
            around.enter_context(chaos.Demon(world.keep_books, lambda: BOOKS_EVERY))
        if plan.faults:
            keeper = [BOOKS] if plan.hurried else []  # killed, it is not there again for a minute
            around.enter_context(chaos.killer(world, random.Random(seed), KILL_EVERY, *keeper))
            around.enter_context(chaos.duplicator(world, world.admission))
        if plan.flush:
            around.enter_context(chaos.Flush(world, plan.flush))
        _work(crowd, stop, plan.seconds)
    world.settle_down(LONGEST_LEASE + SLACK)
    outcomes = [outcome for client in crowd for outcome in client.outcomes]
    found = verdict.gathered(world, made["id"], nano, outcomes)
    verdict.judge(world, found)
    verdict.judge_models(world, {model: (limit - each, limit) for model, limit in limits.items()})
    return found


def _work(crowd: list[clients.Client], stop: threading.Event, seconds: float) -> None:
    """Have all of them work until the time is over, or each has given up."""
    over = threading.Timer(seconds, stop.set)
    over.start()
    try:
        for client in crowd:
            client.thread.start()
        for client in crowd:
            client.thread.join()
    finally:
        stop.set()
        over.cancel()


def _drawing(plan: Plan, seed: str) -> Callable[[], Deed]:
    rng = random.Random(seed)
    return lambda: plan.draw(rng)
