"""Starts functions with lines of others' logs, as the template's subscription filters say: in batches, a moment later.

CloudWatch Logs tells a line at least once, and Lambda repeats a start that failed; here each is told once.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import time
import uuid
from contextlib import asynccontextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cdk.local.child import LocalError
from cdk.local.emulator import ACCOUNT
from cdk.local.functions import log_groups
from cdk.local.invocation import InvocationError
from cdk.local.log_pattern import PatternError, matcher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from cdk.local.deploy import Deployment
    from cdk.local.workers import FunctionSpec, Pool

TYPE: Final = "AWS::Logs::SubscriptionFilter"
DELAY_SECONDS: Final = 0.3  # in which lines gather


class _Filter(NamedTuple):
    name: str
    group: str
    function: str  # what the pool calls it
    matches: Callable[[str], bool]


class _Line(NamedTuple):
    of: _Filter
    at: int
    text: str


class Subscriptions:
    """All of a template's filters; `hear` is told each line, on the loop that `delivering` runs on."""

    def __init__(self, deployment: Deployment, functions: Iterable[FunctionSpec]) -> None:
        """Read the template; a filter that is not done here is a LocalError that names it."""
        names = {spec.arn: spec.name for spec in functions}
        self._groups = log_groups(deployment)  # by function; several may write to one
        self._filters: dict[str, list[_Filter]] = {}
        for logical_id, found in deployment.of_type(TYPE).items():
            group, arn = found["LogGroupName"], found["DestinationArn"]
            if group not in self._groups.values() or arn not in names:
                raise LocalError(f"The filter {logical_id} does not lead from one function of the template to another.")
            try:
                matches = matcher(found["FilterPattern"])
            except PatternError as error:
                raise LocalError(f"{logical_id}: {error}") from error
            self._filters.setdefault(group, []).append(_Filter(logical_id, group, names[arn], matches))
        self._lines: list[_Line] = []
        self._any = asyncio.Event()

    def hear(self, function: str, text: str) -> None:
        """Take a line of a function's log."""
        for one in self._filters.get(self._groups.get(function, ""), ()):
            if one.matches(text):
                self._lines.append(_Line(one, int(time.time() * 1000), text))
                self._any.set()

    @asynccontextmanager
    async def delivering(self, pool: Pool, log: Callable[[str, str], None]) -> AsyncIterator[None]:
        """Deliver for the length of the block; `log(function, line)` is told what failed."""
        task = asyncio.create_task(self._run(pool, log))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self, pool: Pool, log: Callable[[str, str], None]) -> None:
        while True:
            await self._any.wait()
            await asyncio.sleep(DELAY_SECONDS)
            self._any.clear()
            lines, self._lines = sorted(self._lines, key=lambda line: line.of.name), []
            for name, several in groupby(lines, key=lambda line: line.of.name):
                batch = list(several)
                try:
                    await pool.call(batch[0].of.function, event(name, batch[0].of.group, batch))
                except InvocationError as error:
                    log(batch[0].of.function, f"A start by {name} failed: {error}")


def event(name: str, group: str, lines: Iterable[tuple[Any, int, str]]) -> dict[str, Any]:
    """Return what CloudWatch Logs sends for a filter: its lines with the epoch millisecond of each."""
    told = {
        "messageType": "DATA_MESSAGE",
        "owner": ACCOUNT,
        "logGroup": group,
        "logStream": "local",
        "subscriptionFilters": [name],
        "logEvents": [{"id": uuid.uuid4().hex, "timestamp": at, "message": text} for _, at, text in lines],
    }
    return {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(told).encode())).decode()}}
