"""Calendar periods of money, in UTC: the day, the month and all of time, as the store and the ledger spell them.

A period is `d:2026-11-21`, `m:2026-11` or `t`. Days are counted by hand, for the core reads no clock and no time zone.
"""

from __future__ import annotations

import re
from typing import Final

TOTAL: Final = "t"
DAY_SECONDS: Final = 86_400
_DAY_MS: Final = DAY_SECONDS * 1000
_DAY: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_ERA_DAYS, _ERA_YEARS = 146_097, 400  # the Gregorian calendar repeats itself after so many
_EPOCH: Final = 719_468  # days from 0000-03-01, where counting is easiest, to 1970-01-01


def day_at(milliseconds: int) -> str:
    """Return the day, as `2026-11-21`, of a time in epoch milliseconds."""
    return day_of(milliseconds // _DAY_MS)


def day_of(number: int) -> str:
    """Return the day that comes `number` days after 1970-01-01 (H. Hinnant's civil_from_days)."""
    era, day = divmod(number + _EPOCH, _ERA_DAYS)
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    year += era * _ERA_YEARS + (month > 9)  # noqa: PLR2004 - counted from March, January is the tenth
    return f"{year:04}-{month + 3 if month < 10 else month - 9:02}-{day + 1:02}"  # noqa: PLR2004 - as above


def number_of(day: str) -> int:
    """Return how many days after 1970-01-01 a day comes.

    Raises:
        ValueError: there is no such day.
    """
    found = _DAY.fullmatch(day)
    if not found:
        raise ValueError(f"A day is written as 2026-11-21, not {day!r}.")
    year, month, date = map(int, found.groups())
    early = month <= 2  # noqa: PLR2004 - January and February end the year that began in March
    era, rest = divmod(year - early, _ERA_YEARS)
    within = (153 * (month + (9 if early else -3)) + 2) // 5 + date - 1
    number = era * _ERA_DAYS + rest * 365 + rest // 4 - rest // 100 + within - _EPOCH
    if day_of(number) != day:
        raise ValueError(f"There is no day {day!r}.")
    return number


def periods(day: str) -> tuple[str, str, str]:
    """Return the periods that money spent on `day` belongs to."""
    return daily(day), monthly(day), TOTAL


def daily(day: str) -> str:
    """Return the period of one day."""
    return f"d:{day}"


def monthly(day: str) -> str:
    """Return the period of the month that `day` lies in."""
    return f"m:{month_of(day)}"


def month_of(day: str) -> str:
    """Return the month that `day` lies in, as `2026-11`."""
    return day[:7]


def resets_at(period: str) -> int | None:
    """Return the epoch second at which a period ends, or None for all of time.

    Raises:
        ValueError: it is no period.
    """
    if period == TOTAL:
        return None
    kind, _, name = period.partition(":")
    if kind == "d":
        return (number_of(name) + 1) * DAY_SECONDS
    if kind != "m":
        raise ValueError(f"{period!r} is no period.")
    first = number_of(f"{name}-01")
    return number_of(f"{day_of(first + 31)[:7]}-01") * DAY_SECONDS
