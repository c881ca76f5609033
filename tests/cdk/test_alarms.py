"""Each alarm watches a metric that there really is, says what to do, and reaches somebody."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from cdk.runbook import RUNBOOK
from shared import manifest
from tests.cdk.metrics import complaint, filtered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Select = Callable[[str], dict[str, Any]]

MOST_ALARMS = 12
MOST_METRICS = 16  # of which each costs 0.10 USD a month, and two for every function that the clock starts
DAY = 86_400  # seconds, that an alarm may look back


@pytest.fixture(scope="module")
def alarms(template: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The alarms' properties, by what follows the stack's name in theirs."""
    found = [r["Properties"] for r in template["Resources"].values() if r["Type"] == "AWS::CloudWatch::Alarm"]
    return {properties["AlarmName"].removeprefix("ai-nexus-dev-"): properties for properties in found}


def metrics(alarm: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What an alarm reads: namespace, name, dimensions, period and statistic of each."""
    if "Metrics" not in alarm:
        stats = [(alarm, alarm["Period"], alarm["Statistic"])]
    else:
        found = [entry["MetricStat"] for entry in alarm["Metrics"] if "MetricStat" in entry]
        stats = [(stat["Metric"], stat["Period"], stat["Stat"]) for stat in found]
    return [
        {
            "namespace": metric["Namespace"],
            "name": metric["MetricName"],
            "dimensions": {one["Name"]: one["Value"] for one in metric.get("Dimensions", [])},
            "period": period,
            "statistic": statistic,
        }
        for metric, period, statistic in stats
    ]


def test_they_are_few_and_cost_what_the_readme_says(alarms: Mapping[str, Any]) -> None:
    """Whoever adds one weighs it against these."""
    assert alarms.keys() == RUNBOOK.keys()
    assert len(alarms) <= MOST_ALARMS
    clocked = [spec for spec in manifest.FUNCTIONS.values() if spec.every_minutes]
    assert sum(len(metrics(alarm)) for alarm in alarms.values()) <= MOST_METRICS + 2 * len(clocked)


def test_every_metric_exists(template: Mapping[str, Any], alarms: Mapping[str, Any]) -> None:
    """By AWS's names, or ours; its dimensions are those of parts of this stack."""
    read = [metric for alarm in alarms.values() for metric in metrics(alarm)]
    found = [complaint(template, one["namespace"], one["name"], one["dimensions"]) for one in read]
    assert [problem for problem in found if problem] == []


@pytest.mark.parametrize(
    ("namespace", "name", "dimensions"),
    [
        ("AINexus/dev", "Unsetled", {}),
        ("AINexus/prod", "Unsettled", {}),
        ("AINexus", "Requests", {"stage": "dev"}),
        ("AWS/ElastiCache", "ThrottledCmds", {"CacheClusterId": "ai-nexus-dev"}),
        ("AWS/Lambda", "Error", {"FunctionName": {"Ref": "GatewayFunctionB2DE2221"}}),
        ("AWS/Lambda", "Errors", {"FunctionName": "gateway"}),
        ("AWS/ApiGateway", "5XXError", {"ApiName": "ai-nexus-dev"}),
    ],
)
def test_one_that_does_not_exist_is_found(
    template: Mapping[str, Any], namespace: str, name: str, dimensions: Mapping[str, Any]
) -> None:
    """The test above can fail."""
    assert complaint(template, namespace, name, dimensions)


def test_what_is_counted_in_the_logs_rings(template: Mapping[str, Any], alarms: Mapping[str, Any]) -> None:
    """No metric filter is there for nothing."""
    read = {(metric["namespace"], metric["name"]) for alarm in alarms.values() for metric in metrics(alarm)}
    assert filtered(template) <= read


def test_somebody_hears_of_it_and_of_its_end(alarms: Mapping[str, Any], of_type: Select) -> None:
    """At the operators' topic, with a description that says what to do first."""
    [topic] = of_type("SNS::Topic")
    for name, alarm in alarms.items():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": topic}]
        assert alarm["AlarmDescription"] == RUNBOOK[name]
        assert " First: " in RUNBOOK[name]
        assert len(RUNBOOK[name]) <= 1024


def test_a_runbook_names_what_there_is(alarms: Mapping[str, Any]) -> None:
    """Alarms and settings, by their names."""
    from cdk.config import Config  # noqa: PLC0415 - for its fields alone

    for text in RUNBOOK.values():
        assert set(re.findall(r"nexus:(\w+)", text)) <= Config.model_fields.keys()
        assert set(re.findall(r"\b([a-z]+-[a-z]+) (?:or|rings)", text)) <= alarms.keys()


def test_an_idle_stack_is_well(alarms: Mapping[str, Any]) -> None:
    """Nobody calls, nothing is measured: only of what the clock starts is that bad news."""
    breaching = {name for name, alarm in alarms.items() if alarm["TreatMissingData"] != "notBreaching"}
    assert breaching == {"minute-missed"}
    assert alarms["minute-missed"]["TreatMissingData"] == "breaching"
    assert "FILL" not in str(alarms["minute-missed"]["Metrics"])  # or what is missing would not be
    for alarm in alarms.values():
        for namespace in {metric["namespace"] for metric in metrics(alarm)} & {"AWS/DynamoDB"}:
            assert "FILL(m0, 0)" in alarm["Metrics"][0]["Expression"], namespace  # it keeps its state otherwise


def test_an_expression_is_of_its_own_metrics(alarms: Mapping[str, Any]) -> None:
    """Each name in it is one of them, and all are used; one expression is the alarm's value, and of one period."""
    for alarm in alarms.values():
        if "Metrics" not in alarm:
            continue
        [value] = [entry for entry in alarm["Metrics"] if entry["ReturnData"]]
        named = {entry["Id"] for entry in alarm["Metrics"] if "MetricStat" in entry}
        assert set(re.findall(r"\b[a-z]\w*", value["Expression"])) == named
        assert "SEARCH" not in value["Expression"]
        assert len({metric["period"] for metric in metrics(alarm)}) == 1


def rings(alarm: Mapping[str, Any], measured: Mapping[str, float]) -> bool:
    """Tell whether a minute in which this was measured, and nothing else, is one to ring for."""
    [value] = [entry["Expression"] for entry in alarm["Metrics"] if entry["ReturnData"]]
    known: dict[str, Any] = {entry["Id"]: measured.get(entry["Id"]) for entry in alarm["Metrics"]}
    if any(known[name] is None for name in re.findall(r"\b[a-z]\w*", re.sub(r"FILL\(\w+, 0\)", "", value))):
        return bool(alarm["TreatMissingData"] == "breaching")
    known["FILL"] = lambda one, other: other if one is None else one
    known["IF"] = lambda holds, one, other: one if holds else other
    found = eval(value.replace(" AND ", " and ").replace(" OR ", " or "), known)  # noqa: S307 - our own template's
    below = alarm["ComparisonOperator"] == "LessThanThreshold"
    return bool(found < alarm["Threshold"] if below else found >= alarm["Threshold"])


@pytest.mark.parametrize(
    ("name", "measured", "ringing"),
    [
        ("minute-missed", {"runs0": 1, "fails0": 0, "runs1": 1, "fails1": 0}, False),
        ("minute-missed", {"runs0": 2, "fails0": 1, "runs1": 1, "fails1": 0}, False),
        ("minute-missed", {"runs0": 1, "fails0": 0, "runs1": 1, "fails1": 1}, True),
        ("minute-missed", {"runs0": 1, "fails0": 0}, True),
        ("minute-missed", {}, True),
        ("functions-fail", {}, False),
        ("functions-fail", {"m2": 2}, False),
        ("functions-fail", {"m0": 1, "m1": 1, "m2": 1}, True),
        ("functions-throttled", {"m0": 0}, False),
        ("functions-throttled", {"m1": 1}, True),
        ("store-busy", {}, False),
        ("store-busy", {"units": 479_999, "refused": 0}, False),
        ("store-busy", {"units": 480_000}, True),
        ("store-busy", {"units": 1, "refused": 1}, True),
        ("tables-throttled", {}, False),
        ("tables-throttled", {"m1": 1}, True),
    ],
)
def test_an_expression_says_what_it_should(
    alarms: Mapping[str, Any], name: str, measured: Mapping[str, float], *, ringing: bool
) -> None:
    """By the arithmetic of CloudWatch, where what was not measured is missing and makes what it is part of so, too."""
    assert rings(alarms[name], measured) is ringing


def test_an_alarm_is_one_that_cloudwatch_takes(alarms: Mapping[str, Any]) -> None:
    """It rings on no more values than it looks at, and looks back a day at most."""
    for alarm in alarms.values():
        assert 1 <= alarm["DatapointsToAlarm"] <= alarm["EvaluationPeriods"]
        assert metrics(alarm)[0]["period"] * alarm["EvaluationPeriods"] <= DAY


def test_everything_that_the_clock_starts_is_watched(alarms: Mapping[str, Any]) -> None:
    """Who adds such a function has it watched here, or says why not."""
    watched = {str(one["dimensions"]["FunctionName"]) for one in metrics(alarms["minute-missed"])}
    for spec in manifest.FUNCTIONS.values():
        if spec.every_minutes:
            assert [name for name in watched if f"'{spec.name.capitalize()}Function" in name], spec.name


def test_a_stores_alarm_follows_its_ceiling(alarms: Mapping[str, Any], of_type: Select) -> None:
    """Four fifths of what the store was given, however much that is."""
    [cache] = of_type("ElastiCache::ServerlessCache").values()
    limits = cache["Properties"]["CacheUsageLimits"]
    assert alarms["store-full"]["Threshold"] == 0.8 * limits["DataStorage"]["Maximum"] * 10**9
    units = round(0.8 * 60 * limits["ECPUPerSecond"]["Maximum"])  # of a minute, which is how the metric counts
    assert f"units >= {units} " in alarms["store-busy"]["Metrics"][0]["Expression"]
