"""What breaks while the clients work: processes are killed, requests settled twice, the books kept at odd moments."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

from shared.core import shares
from shared.core.events import EXPIRED
from shared.core.limits import MINUTE, Standing
from shared.core.pricing import Worst
from shared.edge.admission import Ask, Bound, Grant
from shared.edge.names import opened
from tests.e2e.hammer.world import LONGEST_LEASE, ORG

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from shared.edge.admission import Admission
    from tests.e2e.hammer.world import World

GATEWAY: Final = "functions.gateway.handler"
AUTHORIZER: Final = "functions.authorizer.handler"
SHARE: Final = 0.2  # of the gateway's processes that are killed at once
_KINDS: Final = ("key", "user", "team", "org", "alias")  # of scopes, in the order in which they are admitted
_OF_SCRIPT: Final = {"request_id", "seq", "cost", "held", "day", "models"}  # fields of the event that it writes


class Demon:
    """Does something again and again, in a thread, for the length of a `with` block, which raises what it raised."""

    def __init__(self, act: Callable[[], None], pause: Callable[[], float]) -> None:
        self.failure: Exception | None = None
        self.times = 0
        self._act = act
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()
        if self.failure:
            raise self.failure

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._pause()):
                self._act()
                self.times += 1
        except Exception as error:  # noqa: BLE001 - raised in the thread that waits for this one
            self.failure = error


def killer(world: World, rng: random.Random, every: float, *others: str) -> Demon:
    """Kill some processes of the gateway about every so many seconds, and now and then another's, without a word."""

    def kill() -> None:
        victims = [number for number in world.processes(GATEWAY) if rng.random() < SHARE]
        for number in victims or world.processes(rng.choice([AUTHORIZER, *others])):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)

    return Demon(kill, lambda: rng.uniform(0.5, 1.5) * every)


def duplicator(world: World, admission: Admission) -> Demon:
    """Settle again what was settled a moment ago, as a function would that has lost the store's answer."""

    def again() -> None:
        for _, event in world.valkey.xrevrange(f"{{{ORG}}}:usage", count=3):
            fields = {name.decode(): value.decode() for name, value in event.items()}
            if fields["outcome"] != EXPIRED:
                _settle_again(admission, fields)

    return Demon(again, lambda: 0.03)


def _settle_again(admission: Admission, fields: dict[str, str]) -> None:
    """Settle a request for the cost that it had."""
    named = [(kind, fields.get(kind, "")) for kind in _KINDS]
    scopes = tuple(f"{kind}:{name}" for kind, name in named if name)
    nothing = Standing(0, 0, 0)
    grant = Grant(nothing, nothing, 0, budgeted=True, day=fields["day"], month=fields["day"][:7])
    found = shares.read(fields["models"])
    usage: dict[str, Any] = {name: value for name, value in fields.items() if name not in _OF_SCRIPT}
    models = tuple(Bound(share.model, Worst(0, 0, 0)) for share in found)
    asked = Ask(ORG, scopes, fields["request_id"], 1, models)
    admission.settle(asked, grant, int(fields["cost"]), {**usage, "models": found})


class Flush(threading.Thread):
    """Has Valkey lose all that it has after so many seconds, and sees whether it is opened again in time."""

    def __init__(self, world: World, after: float) -> None:
        super().__init__()
        self._world = world
        self._after = after
        self._took = 0.0  # seconds, until it was open again

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.join()
        assert 0 < self._took <= LONGEST_LEASE + MINUTE, f"it was closed for {self._took:.1f} s"

    def run(self) -> None:
        """Wait, flush, and wait again."""
        time.sleep(self._after)
        self._world.valkey.flushall()
        self._world.valkey.script_flush()
        began = time.monotonic()
        while (took := time.monotonic() - began) <= LONGEST_LEASE + MINUTE:
            time.sleep(0.1)
            if self._world.valkey.exists(opened(ORG)):
                break
        self._took = took


class Watch:
    """Looks again and again whether committed and reserved money are within the budget, in nano-dollars."""

    def __init__(self, world: World, scope: str, budget: int) -> None:
        self._world = world
        self._scope = scope
        self._budget = budget
        self.demon = Demon(self._look, lambda: 0.01)

    def _look(self) -> None:
        spend = self._world.spend(self._scope)
        for period in {name.partition(":")[2] for name in spend}:
            now = spend.get(f"c:{period}", 0) + spend.get(f"r:{period}", 0)
            assert now <= self._budget, f"{now} nano-dollars are spent or held of {self._budget}, in {period}"
