"""Lines that a filter of the template lets through start the function that it names, in batches, as at CloudWatch."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from cdk.local.child import LocalError
from cdk.local.invocation import FunctionError
from cdk.local.log_pattern import PatternError, matcher
from cdk.local.subscriptions import Subscriptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdk.local.deploy import Deployment
    from cdk.local.workers import FunctionSpec, Pool

PATTERN = '{ ($.event = "a.v1") || ($.event = "b.v1" && $.state = "open") }'
FILTER = {"LogGroupName": "WriterLog", "DestinationArn": "arn:hearer", "FilterPattern": PATTERN}


class Template:
    """A deployment of two functions, and of one filter between them."""

    def __init__(self, **changes: str) -> None:
        self.filters = {"Filter": {**FILTER, **changes}}

    def of_type(self, type_name: str) -> dict[str, dict[str, Any]]:
        """Return what there is."""
        functions = {name: {"LoggingConfig": {"LogGroup": f"{name}Log"}} for name in ("Writer", "Hearer")}
        return functions if type_name == "AWS::Lambda::Function" else self.filters


class Hearer:
    """Keeps what it is started with; fails if it is told to."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.fails = False
        self.called = asyncio.Event()

    async def call(self, name: str, event: dict[str, Any]) -> None:
        """Take an event as the pool does."""
        assert name == "Hearer"
        self.events.append(json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"]))))
        self.called.set()
        if self.fails:
            raise FunctionError("X", "y")


class Spec:
    """What the pool knows of a function."""

    name, arn = "Hearer", "arn:hearer"


def subscriptions(template: Template) -> Subscriptions:
    """Read a template."""
    return Subscriptions(cast("Deployment", template), [cast("FunctionSpec", Spec())])


async def told(heard: Subscriptions, hearer: Hearer, log: Callable[[str, str], None]) -> None:
    """Wait until the function was started."""
    async with heard.delivering(cast("Pool", hearer), log):
        await asyncio.wait_for(hearer.called.wait(), 10)
        await asyncio.sleep(0)


def test_a_function_is_started_with_the_lines_that_match() -> None:
    """Several in one batch, from the function whose log it is; other lines start nothing."""

    async def run() -> list[dict[str, Any]]:
        heard, hearer = subscriptions(Template()), Hearer()
        for line in ('{"event":"a.v1","n":1}', '{"event":"c.v1"}', "a.v1", '{"event":"b.v1","state":"open"}'):
            heard.hear("Writer", line)
        heard.hear("Hearer", '{"event":"a.v1","n":2}')
        await told(heard, hearer, lambda _function, _line: None)
        return hearer.events

    [event] = asyncio.run(run())
    assert (event["messageType"], event["logGroup"], event["subscriptionFilters"]) == (
        "DATA_MESSAGE", "WriterLog", ["Filter"],
    )  # fmt: skip
    assert [json.loads(one["message"])["event"] for one in event["logEvents"]] == ["a.v1", "b.v1"]
    assert len({one["id"] for one in event["logEvents"]}) == 2


def test_a_start_that_fails_is_written_down() -> None:
    """And keeps the next one from nothing."""
    lines: list[tuple[str, str]] = []

    async def run() -> int:
        heard, hearer = subscriptions(Template()), Hearer()
        hearer.fails = True
        async with heard.delivering(cast("Pool", hearer), lambda *line: lines.append(cast("tuple[str, str]", line))):
            for _ in range(2):
                hearer.called.clear()
                heard.hear("Writer", '{"event":"a.v1"}')
                await asyncio.wait_for(hearer.called.wait(), 10)
        return len(hearer.events)

    assert asyncio.run(run()) == 2
    assert lines[0][0] == "Hearer"
    assert "Filter" in lines[0][1]


@pytest.mark.parametrize(
    "changes", [{"LogGroupName": "Else"}, {"DestinationArn": "arn:else"}, {"FilterPattern": "{ $.n > 3 }"}], ids=str
)
def test_a_filter_that_is_not_done_here_stops_the_run(changes: dict[str, str]) -> None:
    """By its name: nothing of a template is skipped in silence."""
    with pytest.raises(LocalError, match="Filter"):
        subscriptions(Template(**changes))


@pytest.mark.parametrize(
    "pattern",
    [
        '{ $.a = "b" || $.c = "d" }', '{ ($.a = "b") && ($.c = "d") }', '{ ($.a = "b") || $.c = "d" }',
        '{ ($.a = "b") || }', '{ (($.a = "b")) }',
    ],
)  # fmt: skip
def test_a_pattern_of_another_form_is_refused(pattern: str) -> None:
    """Rather than understood in another way than by CloudWatch."""
    with pytest.raises(PatternError):
        matcher(pattern)
