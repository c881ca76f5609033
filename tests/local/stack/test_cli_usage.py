"""`nexus usage summary` and `models`: answers of the control plane as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import pytest

from cdk.cli import access
from cdk.cli.main import main
from tests.functions.judging import document, undocumented

if TYPE_CHECKING:
    import argparse

SPENT = {"requests": 3, "errors": 1, "prompt_tokens": 40, "completion_tokens": 2, "cached_tokens": 0}
ANSWERS: dict[str, Any] = {
    "/api/ai/analytics/summary": {
        "object": "analytics.summary",
        "scope": "org:default",
        "from": "2026-11-21",
        "to": "2026-11-22",
        "total": {"cost_usd": "1.50", **SPENT},
        "previous": {"from": "2026-11-19", "to": "2026-11-20", "cost_usd": "0.00", **dict.fromkeys(SPENT, 0)},
        "change": {"cost": None, "requests": None, "errors": None},
        "forecast": {"month": "2026-11", "spent_usd": "1.50", "expected_usd": "2.10"},
        "days": [
            {"id": "2026-11-21", "cost_usd": "0.00", **dict.fromkeys(SPENT, 0)},
            {"id": "2026-11-22", "cost_usd": "1.50", **SPENT},
        ],
        "top_models": [{"id": "m1", "cost_usd": "1.50", **SPENT}],
        "top_users": [],
    },
    "/api/ai/analytics/model-comparison": {
        "object": "analytics.model_comparison",
        "from": "2026-11-21",
        "to": "2026-11-22",
        **{
            name: [
                {
                    "id": id_,
                    "cost_usd": "1.50",
                    **SPENT,
                    "success_rate": rate,
                    "cost_per_request_usd": "0.50",
                    "cost_per_1k_tokens_usd": None,
                    "share_of_cost": 1.0,
                    "share_of_requests": 1.0,
                    "latency_ms": {"mean": 10.5, "p50": 10.0, "p95": None},
                }
            ]
            for name, id_, rate in (("models", "m1", 0.6667), ("providers", "none", None))
        },
    },
}


class Gateway:
    """Answers what the table says."""

    def done(self, _method: str, path: str, _body: object = None) -> Any:
        """Answer."""
        return ANSWERS[path]

    @classmethod
    def of(cls, _asked: argparse.Namespace) -> Self:
        """Stand for whatever gateway was meant."""
        return cls()


@pytest.fixture(autouse=True)
def _gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "client", Gateway.of)


@pytest.mark.parametrize("path", ANSWERS)
def test_such_is_what_the_control_plane_answers(path: str) -> None:
    """By its own description."""
    assert undocumented("GET", path, 200, ANSWERS[path], document()) == []


def test_a_summary_is_a_few_tables(capsys: pytest.CaptureFixture[str]) -> None:
    """Now and before, the month, the days on which something was asked, the top of what there is."""
    assert main(["usage", "summary"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "id                        cost_usd  requests  errors  prompt_tokens  completion_tokens",
        "2026-11-21 to 2026-11-22  1.50      3         1       40             2",
        "2026-11-19 to 2026-11-20  0.00      0         0       0              0",
        "",
        "2026-11: 1.50 USD so far, at this pace 2.10 in the end",
        "",
        "days",
        "id          cost_usd  requests  errors  prompt_tokens  completion_tokens",
        "2026-11-22  1.50      3         1       40             2",
        "",
        "models",
        "id  cost_usd  requests  errors  prompt_tokens  completion_tokens",
        "m1  1.50      3         1       40             2",
    ]


def test_models_stand_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    """Then providers; what nobody knows is a dash."""
    assert main(["usage", "models"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "models",
        "id  requests  success  mean_ms  p50_ms  p95_ms  cost_usd  per_request  per_1k_tokens",
        "m1  3         66.7%    10.5     10.0    -       1.50      0.50         -",
        "",
        "providers",
        "id    requests  success  mean_ms  p50_ms  p95_ms  cost_usd  per_request  per_1k_tokens",
        "none  3         -        10.5     10.0    -       1.50      0.50         -",
    ]


@pytest.mark.parametrize("option", ["--by=model", "--top=3"])
def test_a_view_takes_no_options_of_sums(capsys: pytest.CaptureFixture[str], option: str) -> None:
    """They would be left out in silence."""
    assert main(["usage", "models", option]) == 1
    assert "leave them out, or 'models'" in capsys.readouterr().err
