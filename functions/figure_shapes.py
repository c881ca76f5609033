"""What `functions/admin_figures.py` and `/admin/usage` answer, as OpenAPI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection

    Json = dict[str, Any]

TEXT: Final = {"type": "string"}
COUNT: Final = {"type": "integer"}
YES: Final = {"type": "boolean"}
_USD_OR_NULL: Final = {"type": ["string", "null"]}
_NUMBER_OR_NULL: Final = {"type": ["number", "null"]}
_ENDS: Final = {"from": TEXT, "to": TEXT}
SPENT: Final = {
    "cost_usd": TEXT,
    **dict.fromkeys(("requests", "errors", "prompt_tokens", "completion_tokens", "cached_tokens"), COUNT),
}


def shape(members: Json, optional: Collection[str] = (), kind: str = "") -> Json:
    """Return the schema of an object with these members, all of which it has but the `optional` ones."""
    known = {**({"object": {"const": kind}} if kind else {}), **members}
    return {"type": "object", "properties": known, "required": [name for name in known if name not in optional]}


def _rows(**more: Any) -> Json:  # noqa: ANN401 - schemas
    return {"type": "array", "items": shape({"id": TEXT, **SPENT, **more})}


_LATENCY: Final = {
    **shape(dict.fromkeys(("mean", "p50", "p95"), _NUMBER_OR_NULL)),
    "description": "Until the end of the answer, in ms; the quantiles are off by an eighth at most",
}
_SHARE: Final = {**_NUMBER_OR_NULL, "description": "From 0 to 1"}
_COMPARED: Final = _rows(
    success_rate=_SHARE,
    cost_per_request_usd=_USD_OR_NULL,
    cost_per_1k_tokens_usd=_USD_OR_NULL,
    share_of_cost=_SHARE,
    share_of_requests=_SHARE,
    latency_ms=_LATENCY,
)
_TOPS: Final = tuple(f"top_{kind}s" for kind in ("model", "key", "user", "team"))
_SERVED: Final = shape({**dict.fromkeys(("provider", "model", "outcome"), TEXT), **SPENT, "latency_ms": _LATENCY})
SHAPES: Final[dict[str, Json]] = {
    "Spent": shape(SPENT),
    "Usage": shape({"by": TEXT, **_ENDS, "has_more": YES, "total": shape(SPENT), "data": _rows()}, kind="usage"),
    "Metrics": shape(
        {
            "scope": TEXT,
            **dict.fromkeys(("today", "month", "total"), shape(SPENT)),
            "served": {"type": "array", "items": _SERVED},
        },
        kind="metrics",
    ),
    "AnalyticsSummary": shape(
        {
            **_ENDS,
            "scope": TEXT,
            "total": shape(SPENT),
            "previous": shape({**_ENDS, **SPENT}),
            "change": shape(dict.fromkeys(("cost", "requests", "errors"), _NUMBER_OR_NULL)),
            "forecast": shape({"month": TEXT, "spent_usd": TEXT, "expected_usd": _USD_OR_NULL}),
            "days": _rows(),
            **dict.fromkeys(_TOPS, _rows()),
        },
        _TOPS,
        "analytics.summary",
    ),
    "ModelComparison": shape({**_ENDS, "models": _COMPARED, "providers": _COMPARED}, kind="analytics.model_comparison"),
}
PATHS: Final = {
    "/admin/usage": "Usage",
    "/api/ai/metrics": "Metrics",
    "/api/ai/analytics/summary": "AnalyticsSummary",
    "/api/ai/analytics/model-comparison": "ModelComparison",
}
