"""Usage plans: buckets fill with time, quotas with the calendar."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cdk.local.api import ApiKey, Integration, Method, Period, Quota, Rate, Stage, UsagePlan
from cdk.local.gateway_responses import Refused
from cdk.local.throttle import Throttle

GET = Method("GET", "/health", Integration("f"))


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.day = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)  # a Monday, the last of its month

    def monotonic(self) -> float:
        """Seconds since some time."""
        return self.seconds

    def today(self) -> datetime:
        """The date and time."""
        return self.day


def outcomes(throttle: Throttle, key: ApiKey | None, count: int) -> list[str]:
    """What `count` requests hear."""
    heard = []
    for _ in range(count):
        try:
            throttle.admit(GET, key)
            heard.append("ok")
        except Refused as refused:
            heard.append(refused.name)
    return heard


@pytest.fixture
def clock() -> Clock:
    """A clock of the test's own."""
    return Clock()


def make(clock: Clock, stage: Stage | None = None) -> Throttle:
    """A throttle on that clock."""
    return Throttle(stage or Stage("dev"), monotonic=clock.monotonic, today=clock.today)


def test_a_burst_passes_then_the_rate(clock: Clock) -> None:
    """A bucket of 3 that gains 2 a second, and never holds more than 3."""
    throttle, key = make(clock), ApiKey("k", "v", UsagePlan("p", Rate(2, 3)))

    assert outcomes(throttle, key, 4) == ["ok"] * 3 + ["THROTTLED"]
    clock.seconds += 1
    assert outcomes(throttle, key, 3) == ["ok"] * 2 + ["THROTTLED"]
    clock.seconds += 60
    assert outcomes(throttle, key, 4) == ["ok"] * 3 + ["THROTTLED"]


def test_each_key_has_its_own_bucket(clock: Clock) -> None:
    """Two keys of one plan do not share its rate."""
    throttle, plan = make(clock), UsagePlan("p", Rate(1, 1))

    assert outcomes(throttle, ApiKey("a", "x", plan), 2) == ["ok", "THROTTLED"]
    assert outcomes(throttle, ApiKey("b", "y", plan), 2) == ["ok", "THROTTLED"]


def test_the_stage_throttles_a_method_without_a_key(clock: Clock) -> None:
    """The method's own line wins over the one for all methods."""
    own = Stage("dev", {("/health", "GET"): Rate(1, 1), ("*", "*"): Rate(9, 9)})
    everywhere = Stage("dev", {("*", "*"): Rate(2, 2)})

    assert outcomes(make(clock, own), None, 2) == ["ok", "THROTTLED"]
    assert outcomes(make(clock, everywhere), None, 3) == ["ok", "ok", "THROTTLED"]
    assert outcomes(make(clock), None, 99) == ["ok"] * 99


@pytest.mark.parametrize(
    ("period", "same", "next_"),
    [
        ("DAY", datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
        ("WEEK", datetime(2026, 12, 6, 23, 59, tzinfo=UTC), datetime(2026, 12, 7, tzinfo=UTC)),
        ("MONTH", datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
    ],
)
def test_a_quota_starts_anew_with_its_period(clock: Clock, period: Period, same: datetime, next_: datetime) -> None:
    """Two a period, one of which the offset has used up in the first."""
    plan = UsagePlan("p", quota=Quota(2, period, offset=1))
    throttle, key = make(clock), ApiKey("k", "v", plan)

    assert outcomes(throttle, key, 2) == ["ok", "QUOTA_EXCEEDED"]
    clock.day = same
    assert outcomes(throttle, key, 1) == ["QUOTA_EXCEEDED"]
    clock.day = next_
    assert outcomes(throttle, key, 3) == ["ok", "ok", "QUOTA_EXCEEDED"]
