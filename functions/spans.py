"""The days that a question about the past is of, as it says them: `from` and `to`, both included."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shared.core import periods
from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

DEFAULT_DAYS = 30
MOST_DAYS = 92


class Span(NamedTuple):
    """From the first to the last day, both as `2026-11-21`, and both in it."""

    first: str
    last: str

    @property
    def days(self) -> list[str]:
        """All of them."""
        return [periods.day_of(one) for one in range(periods.number_of(self.first), periods.number_of(self.last) + 1)]

    @property
    def before(self) -> Span:
        """As many days before."""
        first = periods.number_of(self.first)
        return Span(periods.day_of(first - len(self.days)), periods.day_of(first - 1))

    @property
    def ends(self) -> dict[str, str]:
        """How it is asked for."""
        return {"from": self.first, "to": self.last}


def span(now: float, first: str | None, last: str | None) -> Span:
    """Return the days that were asked for at `now`, in epoch seconds: the last 30 unless said otherwise.

    Raises:
        BadRequest: one is no day, there are none, or too many.
    """
    end = periods.number_of(periods.day_at(int(now * 1000))) if last is None else _number(last, "to")
    start = end - DEFAULT_DAYS + 1 if first is None else _number(first, "from")
    if not 0 <= end - start < MOST_DAYS:
        raise BadRequest(f"Ask for 1 to {MOST_DAYS} days, the first one as 'from'.", param="from")
    return Span(periods.day_of(start), periods.day_of(end))


def refuse_others(given: Iterable[str], known: Collection[str]) -> None:
    """Let pass the names of parameters that are known.

    Raises:
        BadRequest: one is not.
    """
    for name in given:
        if name not in known:
            may = f"Use {' and '.join(sorted(known))}." if known else "None is taken here."
            raise BadRequest(f"The parameter {name[:64]!a} is not known. {may}", param=name[:64])


def _number(day: str, param: str) -> int:
    wrong = BadRequest(f"The field '{param}' is not a day such as 2026-11-21.", param=param)
    try:
        number = periods.number_of(day)
    except ValueError as error:
        raise wrong from error
    if number < MOST_DAYS:  # nobody spent anything then, and there are no days before the first ones to compare with
        raise wrong
    return number
