"""The dashboard shows nothing that there is not: metrics, dimensions, fields of log lines, alarms."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from functions.books import line as books_line
from functions.drain import Drained
from shared.core import events
from shared.core.usage import Usage
from shared.edge.telemetry import Event, Telemetry
from tests.cdk.metrics import complaint, emitted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FREE_METRICS = 50  # of one dashboard
QUERY = re.compile(
    r"SELECT (?:SUM|AVG)\((?P<metric>\w+)\) FROM SCHEMA\((?P<namespace>\w+), (?P<dimensions>[\w,]+)\) "
    r"WHERE (?P<where>.+?) GROUP BY (?P<by>[\w, ]+) ORDER BY (?:SUM|AVG)\(\) DESC LIMIT \d+"
)
SEARCH = re.compile(
    r"SEARCH\('\{(?P<namespace>\w+),(?P<dimensions>[\w,]+)\} MetricName=\"(?P<metric>\w+)\" (?P<where>.+)', "
    r"'p\d+', \d+\)"
)
WORDS = frozenset(
    {"filter", "stats", "sort", "limit", "by", "as", "and", "desc", "sum", "count", "latest", "bin", "h", "m"}
)


@pytest.fixture(scope="module")
def page(template: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The widgets, with `ref:Name` for what CloudFormation puts in."""
    [board] = [r["Properties"] for r in template["Resources"].values() if r["Type"] == "AWS::CloudWatch::Dashboard"]
    parts = board["DashboardBody"]["Fn::Join"][1]
    body = "".join(
        part if isinstance(part, str) else f"ref:{part.get('Ref') or part['Fn::GetAtt'][0]}" for part in parts
    )
    widgets: list[dict[str, Any]] = json.loads(body)["widgets"]
    return widgets


def entries(page: list[dict[str, Any]]) -> Iterator[list[Any]]:
    """Each line of each graph."""
    for widget in page:
        yield from widget["properties"].get("metrics", ())


def named(page: list[dict[str, Any]]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Namespace, name and dimensions of every metric that is named outright."""
    for namespace, name, *rest in (entry for entry in entries(page) if isinstance(entry[0], str)):
        pairs = [part for part in rest if isinstance(part, str)]
        values = [{"Ref": value[4:]} if value.startswith("ref:") else value for value in pairs[1::2]]
        yield namespace, name, dict(zip(pairs[::2], values, strict=True))


def expressions(page: list[dict[str, Any]]) -> list[str]:
    """Every expression, but for sums of what is named beside them."""
    found = [str(entry[0]["expression"]) for entry in entries(page) if isinstance(entry[0], dict)]
    return [text for text in found if text.startswith(("SELECT", "SEARCH"))]


def telemetry() -> dict[str, Any]:
    """The line of a request that has everything."""
    lines: list[bytes] = []
    event = Event("r-1", model="m", provider="p", outcome="ok", settled=True, usage=Usage(prompt=1), cost=5)
    event.mark_first_chunk()
    Telemetry("dev", lines.append).emit(event)
    line: dict[str, Any] = json.loads(lines[0])
    return line


def test_every_metric_exists(template: Mapping[str, Any], page: list[dict[str, Any]]) -> None:
    """As those of the alarms; and few enough to cost nothing."""
    found = list(named(page))
    assert [problem for one in found if (problem := complaint(template, *one))] == []
    assert {namespace for namespace, _, _ in found} >= {"AINexus", "AINexus/dev", "AWS/Lambda", "AWS/ElastiCache"}
    assert len({json.dumps(one) for one in found}) <= FREE_METRICS


def test_every_query_asks_for_what_the_telemetry_writes(page: list[dict[str, Any]]) -> None:
    """Metric, dimensions and stage; it is told apart by some of these dimensions."""
    queries = expressions(page)
    assert {text[:6] for text in queries} == {"SELECT", "SEARCH"}
    for text in queries:
        found = (QUERY if text.startswith("SELECT") else SEARCH).fullmatch(text)
        assert found, text
        dimensions = frozenset(found["dimensions"].split(","))
        assert found["namespace"] == "AINexus"
        assert found["metric"] in emitted()[dimensions]
        asked = set(re.findall(r"(\w+) ?!?= ?[\"']", found["where"]))
        assert "stage" in asked
        assert re.search(r"stage ?= ?[\"']dev[\"']", found["where"])
        assert asked <= dimensions
        assert {name.strip() for name in found.groupdict().get("by", "stage").split(",")} <= dimensions


def test_every_log_query_reads_fields_of_the_lines_it_finds(page: list[dict[str, Any]]) -> None:
    """In the log of the function that writes them."""
    lines = {
        ("Gateway", "request"): telemetry(),
        ("Gateway", "breaker.v1"): events.breaker("acme", "m", "open", failures=5),
        ("Budgets", "books"): books_line("acme", 1, Drained(1, 1, 1), behind=True),
    }
    queries = [widget["properties"]["query"] for widget in page if widget["type"] == "log"]
    assert queries
    for query in queries:
        source, _, rest = query.partition(" | ")
        [group] = re.findall(r"'ref:(\w+)Log\w+'", source)
        [event] = re.findall(r'event = "([\w.]+)"', rest)
        made = set(re.findall(r" as (\w+)", rest))
        used = set(re.findall(r"(?<![@\w])[A-Za-z_]\w*", re.sub(r'"[^"]*"', "", rest))) - WORDS - made
        assert used <= lines[group, event].keys(), query


def test_every_alarm_is_shown(template: Mapping[str, Any], page: list[dict[str, Any]]) -> None:
    """At the top."""
    [shown] = [widget["properties"]["alarms"] for widget in page if widget["type"] == "alarm"]
    alarms = [name for name, r in template["Resources"].items() if r["Type"] == "AWS::CloudWatch::Alarm"]
    assert sorted(shown) == sorted(f"ref:{name}" for name in alarms)
    assert page[0]["type"] == "alarm"


def test_every_function_is_shown(template: Mapping[str, Any], page: list[dict[str, Any]]) -> None:
    """Its errors, under its name."""
    functions = {name for name, r in template["Resources"].items() if r["Type"] == "AWS::Lambda::Function"}
    errors = {dimensions["FunctionName"]["Ref"] for _, name, dimensions in named(page) if name == "Errors"}
    assert errors == functions


def test_nothing_lies_over_another(page: list[dict[str, Any]]) -> None:
    """Nor beside the page."""
    taken: set[tuple[int, int]] = set()
    for widget in page:
        columns, rows = (
            range(widget["x"], widget["x"] + widget["width"]),
            range(widget["y"], widget["y"] + widget["height"]),
        )
        cells = {(x, y) for x in columns for y in rows}
        assert not cells & taken
        assert max(columns) < 24
        taken |= cells
