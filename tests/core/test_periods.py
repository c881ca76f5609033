"""Days, months and their ends, against Python's own calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core import periods

EPOCH = date(1970, 1, 1).toordinal()


@given(st.dates(date(1, 3, 1), date(9999, 12, 31)))
def test_days_are_counted_as_the_calendar_counts_them(day: date) -> None:
    """A day and its number say the same, there and back, in every century."""
    assert periods.number_of(day.isoformat()) == day.toordinal() - EPOCH
    assert periods.day_of(day.toordinal() - EPOCH) == day.isoformat()


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001 - made UTC below
def test_a_moment_belongs_to_its_utc_day(moment: datetime) -> None:
    """Also its last millisecond."""
    utc = moment.replace(tzinfo=UTC)
    milliseconds = (utc - datetime(1970, 1, 1, tzinfo=UTC)).days * 86_400_000 + utc.hour * 3_600_000
    assert periods.day_at(milliseconds) == utc.date().isoformat()
    last = (utc.date().toordinal() - EPOCH + 1) * 86_400_000 - 1
    assert periods.day_at(last) == utc.date().isoformat()


@pytest.mark.parametrize(
    "text", ["2026-02-29", "2026-13-01", "2026-00-10", "2026-04-31", "21.11.2026", "", "2026-11-2"]
)
def test_what_is_no_day_is_refused(text: str) -> None:
    """A wrong day would put money where nobody looks for it."""
    with pytest.raises(ValueError, match="day"):
        periods.number_of(text)


def test_money_belongs_to_a_day_a_month_and_all_of_time() -> None:
    """The names are those of the store's fields."""
    assert periods.periods("2026-11-21") == ("d:2026-11-21", "m:2026-11", "t")


@pytest.mark.parametrize(
    ("period", "end"),
    [
        ("d:2026-11-21", datetime(2026, 11, 22, tzinfo=UTC)),
        ("d:2026-12-31", datetime(2027, 1, 1, tzinfo=UTC)),
        ("m:2026-12", datetime(2027, 1, 1, tzinfo=UTC)),
        ("m:2028-02", datetime(2028, 3, 1, tzinfo=UTC)),
    ],
)
def test_a_period_ends_when_the_next_begins(period: str, end: datetime) -> None:
    """At midnight UTC."""
    assert periods.resets_at(period) == end.timestamp()


def test_all_of_time_does_not_end() -> None:
    """A total budget is not renewed by waiting."""
    assert periods.resets_at("t") is None


def test_what_is_no_period_is_refused() -> None:
    """There are three kinds."""
    with pytest.raises(ValueError, match="no period"):
        periods.resets_at("w:2026-47")
