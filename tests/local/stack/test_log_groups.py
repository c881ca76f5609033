"""What a function writes is found where the deployed function would look for it, and by whom its role allows."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from cdk.local.deploy import deploy
from cdk.local.emulated import LINES_A_PAGE
from cdk.local.emulator import REGION, Credentials, start
from cdk.local.functions import TYPE, log_groups
from cdk.local.journal import LINES_KEPT_MS
from cdk.local.log_groups import shipping
from cdk.local.log_pattern import PatternError, matcher
from cdk.local.substitutions import Place
from shared.core import events, journal
from shared.edge import sigv4
from shared.edge.aws import LOGS, Aws
from shared.edge.log import Log
from shared.edge.settings import AwsSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cdk.local.deploy import Deployment
    from cdk.local.emulator import Emulator

PAYING = {"org": "acme", "key": "acme-k1", "user": "", "team": "red", "alias": ""}
NOW = 1_795_262_400_000


def reserved(number: int, org: str = "acme", **more: bool) -> str:
    """A line that says what a request holds."""
    held: dict[str, Any] = {"held": number, "models": {"m": number}, "ends": NOW, **more}
    return json.dumps(journal.reserved({**PAYING, "org": org}, f"r{number}", "2026-11-21", **held))


@pytest.fixture(scope="module")
def running(
    template: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Emulator, Deployment]]:
    """The template, deployed."""
    folder = tmp_path_factory.mktemp("emulator")
    emulator = asyncio.run(start(folder, folder / "emulator.log"))
    try:
        yield emulator, deploy(emulator, template, Place("127.0.0.1", 6379))
    finally:
        emulator.child.stop()


def roles(running: tuple[Emulator, Deployment]) -> dict[str, tuple[str, str, Credentials]]:
    """Logical id, log group and credentials of each function, by name."""
    emulator, deployment = running
    groups = log_groups(deployment)
    return {
        function["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]: (
            name,
            groups[name],
            emulator.assume(function["Role"], "test"),
        )
        for name, function in deployment.of_type(TYPE).items()
    }


@pytest.fixture(scope="module")
def log(running: tuple[Emulator, Deployment]) -> Iterator[Callable[[str], list[Any]]]:
    """Read the gateway's log as the function does that keeps the books; other lines are among those of the journal."""
    emulator, deployment = running
    known = roles(running)
    name, group, _ = known["gateway"]
    budgets = {
        function["Environment"]["Variables"].get("GATEWAY_LOG") for function in deployment.of_type(TYPE).values()
    }
    assert budgets == {None, group}
    with shipping(emulator.endpoint, log_groups(deployment)) as take:
        for number in range(2 * LINES_A_PAGE):
            take(name, f"REPORT RequestId: {number}")
        for number in (1, 2, 3):
            take(name, reserved(number))
            take(name, reserved(number, "other"))
        take(known["admin"][0], reserved(4))
    key = known["budgets"][2]
    aws = Aws(LOGS, AwsSettings(REGION, emulator.endpoint), lambda: sigv4.Credentials(*key))
    yield lambda org: list(Log(aws, group, print).lines(org, events.RESERVED, 0))
    aws.drop()


def test_the_books_find_the_lines_of_an_organization(log: Callable[[str], list[Any]]) -> None:
    """All of them, behind pages on which there are none, and nobody else's."""
    assert [line.request_id for line in log("acme")] == ["r1", "r2", "r3"]
    assert [line.held for line in log("other")] == [1, 2, 3]
    assert log("nobody") == []


def test_a_settlement_is_found_by_its_request(running: tuple[Emulator, Deployment]) -> None:
    """Among all others."""
    emulator, deployment = running
    name, group, _ = roles(running)["gateway"]
    booked = {"event": events.USAGE, **PAYING, "outcome": "ok", "models": ()}
    with shipping(emulator.endpoint, log_groups(deployment)) as take:
        for number in (5, 6, 7):
            take(name, json.dumps(journal.used(booked, f"r{number}", "2026-11-21", number)))
    key = roles(running)["budgets"][2]
    aws = Aws(LOGS, AwsSettings(REGION, emulator.endpoint), lambda: sigv4.Credentials(*key))
    found = Log(aws, group, print).settled("acme", ["r6", "r8"], 0)
    aws.drop()
    assert {number: used.cost for number, used in found.items()} == {"r6": 6}


def test_what_the_store_did_not_hear_of_is_found(running: tuple[Emulator, Deployment]) -> None:
    """By its mark alone, among all that it did hear of."""
    emulator, deployment = running
    name, group, _ = roles(running)["gateway"]
    booked = {"event": events.USAGE, **PAYING, "org": "away", "outcome": "ok", "models": ()}
    with shipping(emulator.endpoint, log_groups(deployment)) as take:
        for number in (1, 2, 3):
            stored = number != 2
            take(name, reserved(number, "away", stored=stored))
            take(name, json.dumps(journal.used(booked, f"r{number}", "2026-11-21", number, stored=stored)))
    aws = Aws(LOGS, AwsSettings(REGION, emulator.endpoint), lambda: sigv4.Credentials(*roles(running)["budgets"][2]))
    found = [(line.request_id, type(line)) for line in Log(aws, group, print).unstored("away", 0)]
    aws.drop()
    assert found == [("r2", journal.Reservation), ("r2", events.Usage)]


def test_nobody_else_may_read_it(running: tuple[Emulator, Deployment], log: object) -> None:
    """Not the gateway itself, and the books read no other function's."""
    assert log
    emulator, known = running[0], roles(running)
    for reader, owner in (("gateway", "gateway"), ("admin", "gateway"), ("budgets", "admin")):
        client = emulator.client("logs", known[reader][2])
        with pytest.raises(ClientError) as refused:
            client.filter_log_events(logGroupName=known[owner][1])
        assert refused.value.response["Error"]["Code"] == "AccessDeniedException"


def test_an_unknown_group_and_pattern_are_errors(running: tuple[Emulator, Deployment]) -> None:
    """As at CloudWatch; what is not done here is refused, and never taken for something else."""
    client, group = running[0].client("logs"), roles(running)["gateway"][1]
    for request in ({"logGroupName": "none"}, {"logGroupName": group, "filterPattern": "{ $.a > 1 }"}):
        with pytest.raises(ClientError):
            client.filter_log_events(**request)


def test_patterns() -> None:
    """Members that equal a text or are true or false, all of them."""
    matches = matcher('{ $.event = "usage.v1" && $.org = "acme" }')
    assert matches('{"event": "usage.v1", "org": "acme", "cost": 1}')
    assert not any(map(matches, ("", "[]", '{"event": "usage.v1"}', '{"event": "x", "org": "acme"}')))
    settled = matcher('{ $.event = "request" && $.settled IS TRUE }')
    assert settled('{"event": "request", "settled": true}')
    others = ("false", "null", "1", '"TRUE"')
    assert not any(settled(f'{{"event": "request", "settled": {other}}}') for other in others)
    assert matcher("{ $.settled IS FALSE }")('{"settled": false}')
    assert not matcher("{ $.settled IS FALSE }")('{"settled": 0}')
    assert matcher("")("anything")
    for pattern in ("ERROR", "{ $.settled IS NULL }", "{ $.settled = FALSE }"):
        with pytest.raises(PatternError, match="no filter pattern"):
            matcher(pattern)


def test_lines_outlive_the_emulator(tmp_path: Path) -> None:
    """Also when it is killed: they are on disk before they are acknowledged, and a day later they are gone."""
    now = int(time.time() * 1000)
    events_put = [{"timestamp": at, "message": text} for at, text in ((now, "fresh"), (now - LINES_KEPT_MS, "old"))]
    for number in range(2):
        emulator = asyncio.run(start(tmp_path, tmp_path / "emulator.log"))
        try:
            client = emulator.client("logs")
            client.create_log_group(logGroupName="G")
            client.create_log_stream(logGroupName="G", logStreamName="S")
            if number == 0:
                client.put_log_events(logGroupName="G", logStreamName="S", logEvents=events_put)
            found = client.filter_log_events(logGroupName="G")["events"]
            assert [event["message"] for event in found] == [["old", "fresh"], ["fresh"]][number]
        finally:
            emulator.child.process.send_signal(signal.SIGKILL)
            emulator.child.process.wait()
