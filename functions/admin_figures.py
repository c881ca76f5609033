"""`/api/ai/metrics` and `/api/ai/analytics/...`: figures for people with keys, of the sums that `/admin/usage` shows.

A role that may observe sees its organization's; every other key sees its own. They lag by the minute in which requests
are booked.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router
from aws_lambda_powertools.event_handler.openapi.params import Query

from functions import figures
from functions.spans import refuse_others, span
from functions.visit import answer
from shared.core import periods
from shared.core.errors import Forbidden, StoreUnavailable
from shared.core.principals import is_token
from shared.edge.aws import AwsError
from shared.edge.ledger import Sum
from shared.edge.telemetry import NONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from functions.spans import Span
    from functions.visit import Visit
    from shared.edge.booking import Served

router = Router()  # type: ignore[no-untyped-call]
METRICS: Final = "/api/ai/metrics"
SUMMARY: Final = "/api/ai/analytics/summary"
COMPARISON: Final = "/api/ai/analytics/model-comparison"
PATHS: Final = frozenset({METRICS, SUMMARY, COMPARISON})
UNBOOKED: Final = "The ledger cannot be read now. Please try again."
_TOP: Final = 5
_KINDS: Final = ("model", "key", "user", "team")
_TAGS: Final = ["usage"]

First = Annotated[str | None, Query(alias="from")]
Last = Annotated[str | None, Query(alias="to")]


@router.get(METRICS, tags=_TAGS, summary="Requests, tokens and cost of today, this month and ever")
def _metrics() -> Response[str]:
    visit = _visit(())
    scope, now = _scope(visit), visit.control.now()
    day = periods.day_at(int(now * 1000))
    with ledger_read():
        found = visit.control.ledger.spent(visit.org, [(scope, period) for period in periods.periods(day)])
        served = list(visit.control.ledger.served(visit.org, day, day)) if visit.observes else []
    named = zip(("today", "month", "total"), periods.periods(day), strict=True)
    sums = {name: figures.told(found[scope, period]) for name, period in named}
    return answer({"object": "metrics", "scope": scope, **sums, "served": list(map(_shown, served))})


@router.get(SUMMARY, tags=_TAGS, summary="What was spent, by day, beside the time before and this month's forecast")
def _summary(first: First = None, last: Last = None) -> Response[str]:
    visit = _visit(("from", "to"))
    wanted = span(visit.control.now(), first, last)
    with ledger_read():
        told = {"object": "analytics.summary", **wanted.ends, **_spent(visit, wanted)}
        for kind in _KINDS if visit.observes else ():
            rows = visit.control.ledger.days(visit.org, kind, *wanted)
            told[f"top_{kind}s"] = figures.dearest(figures.grouped((name, one) for _, name, one in rows), _TOP)
    return answer(told)


@router.get(COMPARISON, tags=_TAGS, summary="Models, and providers, by success, latency, tokens and cost")
def _comparison(first: First = None, last: Last = None) -> Response[str]:
    visit = _visit(("from", "to"))
    wanted = span(visit.control.now(), first, last)
    with ledger_read():
        models = [(name, one) for _, name, one in visit.control.ledger.days(visit.org, "model", *wanted)]
        served = list(visit.control.ledger.served(visit.org, *wanted))
    providers = _by(served, lambda one: one.provider)
    sums = {name: figures.total(one.spent for one in found) for name, found in providers.items()}
    return answer(
        {
            "object": "analytics.model_comparison",
            **wanted.ends,
            "models": figures.compared(figures.grouped(models), _by(served, lambda one: one.model)),
            "providers": figures.compared(sums, providers),
        }
    )


@contextmanager
def ledger_read() -> Iterator[None]:
    """Say of a failure of the ledger that it is one.

    Raises:
        StoreUnavailable: it cannot be read.
    """
    try:
        yield
    except AwsError as error:
        raise StoreUnavailable(UNBOOKED, retry_after=1) from error


def _visit(parameters: tuple[str, ...]) -> Visit:
    refuse_others(router.current_event.query_string_parameters or {}, parameters)
    visit: Visit = router.context["visit"]
    return visit


def _scope(visit: Visit) -> str:
    """Return whose figures the caller sees.

    Raises:
        Forbidden: those of a user may be of another person, too, who had the id before.
    """
    if visit.observes:
        return f"org:{visit.org}"
    if is_token(visit.who):
        raise Forbidden("A token shows figures to those who may observe only. Use a key: it shows its own.")
    return f"key:{visit.who}"


def _spent(visit: Visit, wanted: Span) -> dict[str, Any]:
    """Return what was spent on each day of a span, on all of them, and on as many before."""
    scope, now, before = _scope(visit), visit.control.now(), wanted.before
    month = periods.monthly(periods.day_at(int(now * 1000)))
    asked = [(scope, periods.daily(day)) for day in (*before.days, *wanted.days)]
    found = visit.control.ledger.spent(visit.org, [*asked, (scope, month)])

    def of(days: list[str]) -> list[Sum]:
        return [found[scope, periods.daily(day)] for day in days]

    now_total, then_total = figures.total(of(wanted.days)), figures.total(of(before.days))
    return {
        "scope": scope,
        "total": figures.told(now_total),
        "previous": {**before.ends, **figures.told(then_total)},
        "change": figures.change(now_total, then_total),
        "forecast": figures.forecast(found[scope, month].cost, now),
        "days": [{"id": day, **figures.told(one)} for day, one in zip(wanted.days, of(wanted.days), strict=True)],
    }


def _by(served: list[Served], name: Callable[[Served], str]) -> dict[str, list[Served]]:
    groups: defaultdict[str, list[Served]] = defaultdict(list)
    for one in served:
        groups[name(one) or NONE].append(one)
    return groups


def _shown(one: Served) -> dict[str, Any]:
    names = {"provider": one.provider or NONE, "model": one.model or NONE, "outcome": one.outcome}
    return {**names, **figures.told(one.spent), "latency_ms": figures.latency([one])}
