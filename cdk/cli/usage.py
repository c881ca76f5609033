"""`nexus usage`: who spent what; with `summary` beside the time before, with `models` models side by side."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from cdk.cli import access
from cdk.cli.tables import show, table
from cdk.local.child import LocalError

if TYPE_CHECKING:
    import argparse

SPENT: Final = ("id", "cost_usd", "requests", "errors", "prompt_tokens", "completion_tokens")
COMPARED: Final = (
    "id",
    "requests",
    "success",
    "mean_ms",
    "p50_ms",
    "p95_ms",
    "cost_usd",
    "per_request",
    "per_1k_tokens",
)
VIEWS: Final = {"summary": "/api/ai/analytics/summary", "models": "/api/ai/analytics/model-comparison"}
TOPS: Final = ("models", "keys", "users", "teams")


def add(parser: argparse.ArgumentParser) -> None:
    """Describe it."""
    parser.add_argument(
        "view", nargs="?", choices=tuple(VIEWS), help="more than sums: beside the time before, by model"
    )
    parser.add_argument("--by", choices=("day", "key", "user", "team", "model", "alias"), help="(default: day)")
    parser.add_argument("--from", metavar="DAY", help="such as 2026-11-01 (default: 30 days ago)")
    parser.add_argument("--to", metavar="DAY", help="the last day (default: today, UTC)")
    parser.add_argument("--top", type=int, metavar="N", help="only the dearest")
    parser.set_defaults(run=_usage)
    access.add((parser,))


def _usage(asked: argparse.Namespace) -> int:
    """Ask for what is wanted, and show it."""
    if asked.view and (asked.by or asked.top is not None):
        raise LocalError(f"--by and --top are of `nexus usage` alone: leave them out, or '{asked.view}'.")
    named = {name: getattr(asked, name) for name in ("from", "to")}
    if not asked.view:
        named = {"by": asked.by or "day", **named, "top": asked.top}
    query = urlencode({name: value for name, value in named.items() if value is not None})
    path = VIEWS[asked.view] if asked.view else "/admin/usage"
    found: dict[str, Any] = access.client(asked).done("GET", f"{path}?{query}" if query else path)
    if not asked.view:
        return show(found, SPENT, as_json=asked.json)
    if asked.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n\n".join(_summary(found) if asked.view == "summary" else _compared(found)))
    return 0


def _summary(found: dict[str, Any]) -> list[str]:
    """Return the parts of a summary: all of it beside the time before, the month, its days, the top of all."""
    spans = [(found, found["total"]), (found["previous"], found["previous"])]
    both = [{**spent, "id": f"{ends['from']} to {ends['to']}"} for ends, spent in spans]
    month = found["forecast"]
    expected = f", at this pace {month['expected_usd']} in the end" if month["expected_usd"] else ""
    parts = [table(SPENT, both), f"{month['month']}: {month['spent_usd']} USD so far{expected}"]
    days = [day for day in found["days"] if day["requests"] or day["cost_usd"] != "0.00"]
    tops = [(name, found[f"top_{name}"]) for name in TOPS if found.get(f"top_{name}")]
    return parts + [f"{name}\n{table(SPENT, rows)}" for name, rows in (("days", days), *tops) if rows]


def _compared(found: dict[str, Any]) -> list[str]:
    """Return models and providers as tables, by what they cost."""
    return [f"{name}\n{table(COMPARED, list(map(_row, found[name])))}" for name in ("models", "providers")]


def _row(one: dict[str, Any]) -> dict[str, Any]:
    rate, lasted = one["success_rate"], one["latency_ms"]
    return {
        **one,
        "success": None if rate is None else f"{rate:.1%}",
        **{f"{name}_ms": value for name, value in lasted.items()},
        "per_request": one["cost_per_request_usd"],
        "per_1k_tokens": one["cost_per_1k_tokens_usd"],
    }
