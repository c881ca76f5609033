"""Money as administrators write it, US dollars, and as it is kept, whole nano-dollars; no fraction is ever rounded."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

if TYPE_CHECKING:
    from collections.abc import Mapping

DECIMALS = 9
MOST_USD = 4_000_000  # below 2**53 nano-dollars twice over: the scripts compare doubles
_LONGEST = 40  # characters of an amount


def nano(value: object) -> int:
    """Return an amount of dollars in nano-dollars, exactly as it was written.

    A number of JSON has been a double on its way. Below 4 million dollars doubles lie closer together than
    nano-dollars, so the shortest decimal that names the double is the one that was sent.

    Raises:
        ValueError: it is no amount, too much, or finer than a nano-dollar.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float) or len(str(value)) > _LONGEST:
        raise ValueError("send US dollars as a decimal")
    try:
        amount = Decimal(str(value))
    except InvalidOperation as error:
        raise ValueError("send US dollars as a decimal") from error
    if not (amount.is_finite() and 0 <= amount <= MOST_USD):
        raise ValueError(f"send US dollars from 0 to {MOST_USD}")
    whole = amount.scaleb(DECIMALS)
    if whole != whole.to_integral_value():
        raise ValueError(f"an amount has at most {DECIMALS} decimals")
    return int(whole)


def usd(amount: int) -> str:
    """Write nano-dollars as dollars, with two decimals or as many as it takes."""
    sign, digits = ("-" if amount < 0 else ""), f"{abs(amount):0{DECIMALS + 1}d}"
    cents = digits[-DECIMALS:].rstrip("0").ljust(2, "0")
    return f"{sign}{digits[:-DECIMALS]}.{cents}"


def told_budget(budget: Mapping[str, int]) -> dict[str, str]:
    """Write a budget as administrators write it."""
    return {f"{name.removesuffix('_nano')}_usd": usd(amount) for name, amount in budget.items()}


Usd = Annotated[
    int,
    BeforeValidator(nano),
    PlainSerializer(usd, return_type=str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^\d{1,7}(\.\d{1,9})?$", "examples": ["12.50"]},
                {"type": "number", "minimum": 0, "maximum": MOST_USD},
            ]
        }
    ),
]
