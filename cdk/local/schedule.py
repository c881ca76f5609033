"""EventBridge on this machine: starts the functions that the template starts by the clock; the first time at once."""

from __future__ import annotations

import asyncio
import math
import re
import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cdk.local.child import LocalError
from cdk.local.emulator import ACCOUNT, REGION
from cdk.local.invocation import InvocationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from cdk.local.deploy import Deployment
    from cdk.local.workers import FunctionSpec, Pool

TYPE: Final = "AWS::Events::Rule"
_RATE: Final = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
FIRST_SECONDS: Final = 28.0  # those who fill a minute by waiting in its middle do not wait with so few
_SECONDS: Final = {"minute": 60, "hour": 3600, "day": 86_400}


class Start(NamedTuple):
    """Every so many seconds `function` (what the pool calls it) is started by the rule with this ARN."""

    function: str
    seconds: float
    rule: str


def timetable(deployment: Deployment, functions: Iterable[FunctionSpec]) -> list[Start]:
    """Read the template's rules; one that this clock cannot keep is a LocalError that names it."""
    names = {spec.arn: spec.name for spec in functions}
    found = []
    for logical_id, rule in deployment.of_type(TYPE).items():
        if rule.get("State", "ENABLED") != "ENABLED":
            continue
        rate = _RATE.fullmatch(rule.get("ScheduleExpression", ""))
        arns = [target["Arn"] for target in rule["Targets"]]
        if not rate or not names.keys() >= set(arns):
            raise LocalError(f"The rule {logical_id} does not start functions of the template at a rate.")
        arn = deployment.resolve({"Fn::GetAtt": [logical_id, "Arn"]})
        found += [Start(names[target], int(rate[1]) * _SECONDS[rate[2]], arn) for target in arns]
    return found


@asynccontextmanager
async def scheduled(pool: Pool, wanted: Iterable[Start], log: Callable[[str, str], None]) -> AsyncIterator[None]:
    """Start what is wanted for the length of the block, which begins when each has been started once.

    Raises:
        LocalError: one failed the first time. Later, `log(function, line)` is told, and the next start comes in time.
    """
    clocks = [_Clock(pool, start, log) for start in wanted]
    for clock in clocks:
        await clock.first()
    tasks = [asyncio.create_task(clock.run()) for clock in clocks]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Clock:
    """One rule and target. Starts do not wait for one another, for those of EventBridge do not."""

    def __init__(self, pool: Pool, start: Start, log: Callable[[str, str], None]) -> None:
        self._pool = pool
        self._start = start
        self._log = log
        self._running: set[asyncio.Task[None]] = set()

    async def first(self) -> None:
        try:
            await self._invoke(FIRST_SECONDS)
        except InvocationError as error:
            raise LocalError(f"A scheduled function failed at its first start ({error}); see its log.") from error

    async def run(self) -> None:
        try:
            while True:
                await asyncio.sleep(self._start.seconds)
                task = asyncio.create_task(self._try())
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        finally:
            for task in tuple(self._running):
                task.cancel()

    async def _try(self) -> None:
        try:
            await self._invoke()
        except InvocationError as error:
            self._log(self._start.function, f"A scheduled start failed: {error}")

    async def _invoke(self, within_s: float = math.inf) -> None:
        sent = event(self._start.rule, datetime.now(UTC))
        await self._pool.call(self._start.function, sent, within_s=within_s)


def event(rule: str, now: datetime) -> Mapping[str, Any]:
    """Return what EventBridge sends for a rule with a schedule."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [rule],
        "detail": {},
    }
