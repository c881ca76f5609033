"""What is said of money that is spent, reserved or cannot be counted."""

from __future__ import annotations

import math

from shared.core.errors import BudgetExhausted, UnpricedModel
from shared.core.pricing import usd

RULES = {"budget_daily": "daily", "budget_monthly": "monthly", "budget_total": "total"}
DEFAULT_MAX_TOKENS = 4096  # of an answer that a budget pays, and for which the client has set no bound


def exhausted(
    kind: str, rule: str, model: str = "", *, limit: int, used: int, reserved: int, wait: float | None, now: float
) -> Exception:
    """Say whose budget (`kind`: key, team ...) does not afford this request. Nano-dollars and seconds.

    `model` names it if it is one. `wait` is None for a budget that never starts anew; `now` is in epoch seconds.
    """
    held = f" and {usd(reserved)} reserved for requests that are being served" if reserved else ""
    whose = f"the model '{model}'" if model else f"this {kind}"
    return BudgetExhausted(
        f"The {RULES[rule]} budget of {whose} is {usd(limit)} US dollars: {usd(used)} are spent{held}; "
        "this request may cost more than what is left. Lower max_tokens, or have that done by the header "
        "'x-nexus-fit-budget: true'.",
        retry_after=None if wait is None else max(1, math.ceil(wait)),
        details={
            "scope": kind,
            **({"model": model} if model else {}),
            "rule": rule,
            "limit": usd(limit),
            "used": usd(used),
            "reserved": usd(reserved),
            "resets_at": None if wait is None else math.ceil(now + wait),
        },
    )


def unpriced(model: str, field: str) -> UnpricedModel:
    """Say that nobody knows what this request may cost at most; `field` is to blame, "" is the model itself."""
    if not field:
        return UnpricedModel(f"A budget applies, and the model '{model}' has no price here.", param="model")
    return UnpricedModel(
        f"A budget applies, and nothing bounds what '{field}' may cost. Leave it out, or use a key without a budget.",
        param=field,
    )
