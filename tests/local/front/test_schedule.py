"""Functions with a schedule are started at once and then in time; one failure is written down and stops nothing."""

from __future__ import annotations

import asyncio
import math
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cdk.local.child import LocalError
from cdk.local.deploy import PSEUDO, Deployment, split, wanted
from cdk.local.invocation import FunctionError
from cdk.local.schedule import FIRST_SECONDS, Start, event, scheduled, timetable
from cdk.local.substitutions import Place
from cdk.local.template import Resolver
from cdk.local.workers import FunctionSpec
from functions.budgets import MIDDLE_MS, SPARE_MS
from tests.local.front.pool import running

if TYPE_CHECKING:
    from collections.abc import Mapping


class Pool:
    """Notes who is started; fails the starts with the numbers `failing`."""

    def __init__(self, *failing: int) -> None:
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.within: list[float] = []
        self._failing = failing

    async def call(self, name: str, sent: Mapping[str, Any], *, within_s: float) -> None:
        """Be started."""
        self.events.append((name, sent))
        self.within.append(within_s)
        if len(self.events) in self._failing:
            raise FunctionError("ValueError", "no")

    async def until(self, count: int) -> None:
        """Wait for so many starts."""
        while len(self.events) < count:  # noqa: ASYNC110 - nothing sets an event
            await asyncio.sleep(0.001)


def template(**rule: Any) -> Deployment:
    """A deployment of one function and one rule."""
    properties = {
        "ScheduleExpression": "rate(1 minute)",
        "State": "ENABLED",
        "Targets": [{"Id": "function", "Arn": {"Fn::GetAtt": ["Run", "Arn"]}}],
        **rule,
    }
    body = {
        "Resources": {
            "Run": {"Type": "AWS::Lambda::Function", "Properties": {}},
            "Rule": {"Type": "AWS::Events::Rule", "Properties": properties},
        }
    }
    resources = wanted(body)
    known = split(body, resources, Place("127.0.0.1", 1)).answered
    return Deployment(resources, Resolver(body, known), {})


def functions() -> list[FunctionSpec]:
    """The function, as the pool knows it."""
    arn = f"arn:aws:lambda:{PSEUDO['AWS::Region']}:{PSEUDO['AWS::AccountId']}:function:Run"
    return [FunctionSpec(name="Run", handler="h", task_root=Path(), environment={}, timeout_s=1, arn=arn)]


@pytest.mark.parametrize(
    ("expression", "seconds"), [("rate(1 minute)", 60), ("rate(5 minutes)", 300), ("rate(1 day)", 86_400)]
)
def test_the_templates_rates_are_read(expression: str, seconds: int) -> None:
    """In any unit that EventBridge has."""
    [start] = timetable(template(ScheduleExpression=expression), functions())
    assert (start.function, start.seconds) == ("Run", seconds)
    assert start.rule.endswith(":rule/Rule")


def test_a_rule_that_is_off_starts_nothing() -> None:
    """As deployed."""
    assert timetable(template(State="DISABLED"), functions()) == []


@pytest.mark.parametrize(
    "rule", [{"ScheduleExpression": "cron(0 12 * * ? *)"}, {"Targets": [{"Arn": "arn:aws:sqs:q"}]}]
)
def test_a_rule_that_this_clock_cannot_keep_is_named(rule: dict[str, Any]) -> None:
    """Nothing of a template is skipped in silence."""
    with pytest.raises(LocalError, match="Rule"):
        timetable(template(**rule), functions())


def test_the_first_start_is_over_before_anything_is_served() -> None:
    """And the others come in time, one failing or not, with what EventBridge sends."""
    pool, lines = Pool(2), list[str]()

    async def situation() -> None:
        starts = [Start("Run", 0.005, "arn:rule")]
        async with scheduled(pool, starts, lambda _name, line: lines.append(line)):  # type: ignore[arg-type]
            assert len(pool.events) == 1
            await pool.until(4)

    asyncio.run(situation())
    assert {name for name, _ in pool.events} == {"Run"}
    sent = pool.events[0][1]
    assert sent.keys() == event("arn:rule", datetime.now(UTC)).keys()
    assert (sent["source"], sent["detail-type"], sent["resources"]) == ("aws.events", "Scheduled Event", ["arn:rule"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", sent["time"])
    assert len(lines) == 1
    assert "ValueError" in lines[0]


def test_the_first_start_has_no_time_to_wait_in() -> None:
    """Books that somebody used are looked at again in the middle of the minute: a restart would wait for that."""
    pool = Pool()

    async def situation() -> None:
        async with scheduled(pool, [Start("Run", 0.005, "arn")], lambda *_: None):  # type: ignore[arg-type]
            await pool.until(2)

    asyncio.run(situation())
    assert pool.within[:2] == [FIRST_SECONDS, math.inf]
    assert SPARE_MS < FIRST_SECONDS * 1000 <= MIDDLE_MS


def test_a_function_is_told_to_end_earlier_than_its_timeout(task_root: Path) -> None:
    """As `context.get_remaining_time_in_millis` says it; never later."""

    async def situation() -> list[float]:
        async with running(task_root, "tell") as around:
            told = [await around.pool.call("f", {}, within_s=within) for within in (5, math.inf)]
            return [answer["deadline_ms"] / 1000 - time.time() for answer in told]

    short, whole = asyncio.run(situation())
    assert short <= 5 < whole <= 15


def test_a_function_that_fails_at_the_first_start_ends_the_run() -> None:
    """It would fail each minute, where nobody looks."""

    async def situation() -> None:
        async with scheduled(Pool(1), [Start("Run", 60, "arn")], lambda *_: None):  # type: ignore[arg-type]
            raise AssertionError("it was served")

    with pytest.raises(LocalError, match="ValueError"):
        asyncio.run(situation())


def test_a_real_function_is_started(task_root: Path) -> None:
    """Through the pool, in a process of its own."""

    async def situation() -> list[int]:
        async with (
            running(task_root) as around,
            scheduled(around.pool, [Start("f", 60, "arn")], lambda *_: None),
        ):
            return around.pids

    assert len(asyncio.run(situation())) == 1
