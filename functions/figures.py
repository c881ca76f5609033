"""Sums of the ledger as people read them: money, rates, shares, durations, and what a month comes to at this pace."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from functions.usd import usd
from shared.core import durations, periods
from shared.edge.ledger import Sum

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shared.edge.booking import Served

_DIGITS: Final = 4  # of a ratio
_TOKENS: Final = 1000
_OK: Final = "ok"
_COMPARED: Final = ("cost", "requests", "errors")


def told(spent: Sum) -> dict[str, Any]:
    """Render a sum."""
    return {
        "cost_usd": usd(spent.cost),
        "requests": spent.requests,
        "errors": spent.errors,
        "prompt_tokens": spent.prompt,
        "completion_tokens": spent.completion,
        "cached_tokens": spent.cached,
    }


def total(parts: Iterable[Sum]) -> Sum:
    """Add sums up."""
    return Sum(*map(sum, zip(*parts, strict=True))) if (parts := list(parts)) else Sum()


def grouped(found: Iterable[tuple[str, Sum]]) -> dict[str, Sum]:
    """Add up what is of the same name."""
    groups: defaultdict[str, list[Sum]] = defaultdict(list)
    for name, spent in found:
        groups[name].append(spent)
    return {name: total(parts) for name, parts in groups.items()}


def dearest(rows: Mapping[str, Sum], most: int) -> list[dict[str, Any]]:
    """Render the rows that cost most, the dearest first."""
    order = sorted(rows.items(), key=lambda row: (-row[1].cost, row[0]))
    return [{"id": name, **told(spent)} for name, spent in order[:most]]


def ratio(part: int, whole: int) -> float | None:
    """Return what `part` is of `whole`, None if that is nothing."""
    return round(part / whole, _DIGITS) if whole else None


def change(now: Sum, before: Sum) -> dict[str, float | None]:
    """Return by what share of `before` cost, requests and errors have grown; None where there were none."""
    return {name: ratio(getattr(now, name) - getattr(before, name), getattr(before, name)) for name in _COMPARED}


def forecast(spent: int, now: float) -> dict[str, Any]:
    """Say what the month comes to that lies around `now`, epoch seconds, if it goes on as the `spent` of it did.

    Nothing can be said of a month on its first day.
    """
    day = periods.day_at(int(now * 1000))
    begin = periods.number_of(f"{periods.month_of(day)}-01") * periods.DAY_SECONDS
    end, passed = periods.resets_at(periods.monthly(day)) or begin, int(now) - begin
    expected = usd(spent * (end - begin) // passed) if passed >= periods.DAY_SECONDS else None
    return {"month": periods.month_of(day), "spent_usd": usd(spent), "expected_usd": expected}


def compared(rows: Mapping[str, Sum], served: Mapping[str, list[Served]]) -> list[dict[str, Any]]:
    """Render models, or providers, side by side, the dearest first, with the durations of those they `served`."""
    whole = total(rows.values())
    order = sorted(rows.items(), key=lambda row: (-row[1].cost, row[0]))
    return [{"id": name, **_compared(spent, whole), **_lasted(served.get(name, []))} for name, spent in order]


def _compared(spent: Sum, whole: Sum) -> dict[str, Any]:
    tokens = spent.prompt + spent.completion
    return {
        **told(spent),
        "success_rate": ratio(spent.requests - spent.errors, spent.requests),
        "cost_per_request_usd": _each(spent.cost, spent.requests),
        "cost_per_1k_tokens_usd": _each(spent.cost * _TOKENS, tokens),
        "share_of_cost": ratio(spent.cost, whole.cost),
        "share_of_requests": ratio(spent.requests, whole.requests),
    }


def _each(cost: int, count: int) -> str | None:
    """Divide nano-dollars, to the nearest one."""
    return usd((2 * cost + count) // (2 * count)) if count > 0 else None


def _lasted(served: Iterable[Served]) -> dict[str, Any]:
    """Render how long those took that went well."""
    return {"latency_ms": latency(one for one in served if one.outcome == _OK)}


def latency(served: Iterable[Served]) -> dict[str, float | None]:
    """Render mean and quantiles in ms: these are off by an eighth at most, as buckets are."""
    buckets: Counter[int] = Counter()
    took = 0
    for one in served:
        buckets.update(one.buckets)
        took += one.ms
    count = buckets.total()
    return {
        "mean": round(took / count, 1) if count else None,
        "p50": durations.quantile(buckets, 0.5),
        "p95": durations.quantile(buckets, 0.95),
    }
