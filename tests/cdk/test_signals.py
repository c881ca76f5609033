"""The metric filters count the very lines that the functions write, and no others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from cdk.local.log_pattern import matcher
from cdk.signals import SIGNALS
from functions import rebuilding
from functions.books import line as books_line
from functions.budgets import line_of_missed
from functions.drain import Drained
from shared.core import events, journal
from shared.core.errors import StoreRebuilding, StoreUnavailable, outcome
from shared.edge.log import Log
from shared.edge.telemetry import Event, Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.edge.aws import Aws
    from shared.edge.counters import Counters
    from shared.edge.ledger import Cursor, Ledger

    Select = Callable[[str], dict[str, Any]]

ORG = "acme"
BOOKED: Mapping[str, Any] = {"org": ORG, "key": "acme-k1", "user": "", "team": "", "alias": "", "models": ()}


def request(**changes: object) -> str:
    """The line of a request with these fields."""
    lines: list[bytes] = []
    event = Event("r-1", model="gpt-4o", provider="openai", outcome="ok", settled=True)
    for name, value in changes.items():
        setattr(event, name, value)
    Telemetry("prod", lines.append).emit(event)
    return lines[0].decode()


def fault() -> str:
    """The line of an unforeseen error."""
    lines: list[bytes] = []
    Telemetry("prod", lines.append).fault(ValueError("x"), "r-1")
    return lines[0].decode()


class Lost:
    """Counters and a ledger of which the counters were lost."""

    def close(self, _org: str, _whole: int) -> str:
        """Close the organization."""
        return "1795262400000"

    def rewind(self, _org: str, _cursor: object, _mark: str) -> bool:
        """Be the first to notice."""
        return True


def store_lost() -> str:
    """The line of the books that find the store empty."""
    said: list[Mapping[str, Any]] = []
    counters, ledger = cast("Counters", Lost()), cast("Ledger", Lost())
    cursor = cast("Cursor", type("C", (), {"whole": 0, "closed": ""}))
    rebuilding.close(ORG, cursor, counters, ledger, said.append)
    return json.dumps(said[0])


class Page:
    """A log with one line of the journal, which is broken."""

    def write(self, _action: str, _request: object) -> dict[str, Any]:
        """Return it."""
        return {"events": [{"message": json.dumps({"event": events.RESERVED, "org": ORG})}]}


def broken_line() -> str:
    """The line of the books that cannot read the log."""
    said: list[Mapping[str, Any]] = []
    assert not list(Log(cast("Aws", Page()), "group", said.append).unstored(ORG, 0))
    return json.dumps(said[0])


def used(*, stored: bool) -> str:
    """The journal's line of a request that was settled."""
    return json.dumps(journal.used(BOOKED, "r-1", "2026-11-21", 5, stored=stored))


def breaker(state: str) -> str:
    """The line of a target, or a model, that changed its state."""
    return json.dumps(events.breaker(ORG, "gpt-4o", state, error="upstream_error"))


def books(*, behind: bool = False, **done: int) -> str:
    """The line of books that were kept."""
    return json.dumps(books_line(ORG, 0, Drained(**done), behind=behind))


HARMLESS = {
    "gateway": [
        request(),
        request(settled=None, outcome=outcome(StoreRebuilding(""))),
        request(settled=None, outcome="upstream_timeout"),
        used(stored=True),
        *map(breaker, ("open", "half_open", "closed")),
        "START RequestId: r-1",
        '{"type": "platform.report", "record": {"status": "success"}}',
    ],
    "budgets": [books(booked=3, known=1), json.dumps({"event": events.BUDGET, "level": "WARN"})],
    "tokens": [request(provider="", model="", settled=None)],
    "admin": [request(provider="", model="", settled=None, outcome=outcome(StoreUnavailable("")))],
}
TELLING = [
    ("Faults", "gateway", fault()),
    ("Faults", "tokens", fault()),
    ("Faults", "admin", fault()),
    ("Unsettled", "gateway", request(settled=False)),
    ("StoreLost", "gateway", request(settled=None, outcome=outcome(StoreUnavailable("")))),
    ("StoreLost", "gateway", used(stored=False)),
    ("StoreLost", "budgets", store_lost()),
    ("Unserved", "gateway", breaker("none_left")),
    ("BooksBehind", "budgets", books(booked=2_000, behind=True)),
    ("BooksBehind", "budgets", json.dumps(line_of_missed(3))),
    ("Unbooked", "budgets", books(booked=2, broken=1)),
    ("Unbooked", "budgets", broken_line()),
]


def counted(filters: Mapping[str, Any], function: str, line: str) -> list[str]:
    """Say for which metrics the deployed filters count a line of a function's log."""
    return [
        resource["Properties"]["MetricTransformations"][0]["MetricName"]
        for resource in filters.values()
        if resource["Properties"]["LogGroupName"]["Ref"].startswith(f"{function.capitalize()}Log")
        and matcher(resource["Properties"]["FilterPattern"])(line)
    ]


@pytest.mark.parametrize(("metric", "function", "line"), TELLING)
def test_what_is_wrong_is_counted(of_type: Select, metric: str, function: str, line: str) -> None:
    """Each line, as the code writes it, for its own metric."""
    assert counted(of_type("Logs::MetricFilter"), function, line) == [metric]


def test_what_is_well_is_not_counted(of_type: Select) -> None:
    """Nor what only looks alike."""
    filters = of_type("Logs::MetricFilter")
    assert {function: [counted(filters, function, line) for line in lines] for function, lines in HARMLESS.items()} == {
        function: [[] for _ in lines] for function, lines in HARMLESS.items()
    }


def test_every_filter_has_a_line_that_it_counts(of_type: Select) -> None:
    """The list above forgets none."""
    filters = of_type("Logs::MetricFilter")
    assert len(filters) == len(SIGNALS)
    for resource in filters.values():
        matches = matcher(resource["Properties"]["FilterPattern"])
        assert any(matches(line) for _, _, line in TELLING)


def test_a_count_that_is_zero_is_no_metric(of_type: Select) -> None:
    """A default value would be a custom metric, and cost money while nothing happens. Each stage counts its own."""
    for resource in of_type("Logs::MetricFilter").values():
        [made] = resource["Properties"]["MetricTransformations"]
        assert made.keys() == {"MetricName", "MetricNamespace", "MetricValue", "Unit"}
        assert (made["MetricNamespace"], made["MetricValue"]) == ("AINexus/dev", "1")
