"""Usage plans and the stage's throttles: token buckets and calendar quotas, kept in this process.

API Gateway promises them as best effort only, and so does this: they bound sums, and no test should count on exactness.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cdk.local.gateway_responses import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdk.local.api import ApiKey, Method, Quota, Rate, Stage


class TokenBucket:
    """Lets `burst` through at once and `rate` a second after that."""

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = float(rate.burst)
        self._at = now

    def take(self, now: float) -> bool:
        """Take a token, if there is one."""
        self._tokens = min(self._rate.burst, self._tokens + (now - self._at) * self._rate.rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class QuotaCounter:
    """Counts requests within a calendar period (UTC; weeks begin on Monday)."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._used = quota.offset
        self._period: str | None = None

    def take(self, today: datetime) -> bool:
        """Count one request, if it still fits."""
        period = _period(self._quota.period, today)
        if self._period not in {None, period}:
            self._used = 0
        self._period = period
        if self._used >= self._quota.limit:
            return False
        self._used += 1
        return True


class Throttle:
    """All buckets and counters of one API."""

    def __init__(
        self,
        stage: Stage,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        today: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._monotonic = monotonic
        self._today = today
        self._stage = stage
        self._buckets: dict[tuple[str, ...], TokenBucket] = {}
        self._quotas: dict[str, QuotaCounter] = {}

    def admit(self, method: Method, key: ApiKey | None) -> None:
        """Let one request for `method` through, on the account of `key`.

        Raises:
            Refused: THROTTLED or QUOTA_EXCEEDED.
        """
        if key and key.plan and not self._within(key.plan.throttle, key.key_id):
            raise Refused("THROTTLED", reason=f"usage plan of {key.key_id}")
        where = method.resource_path, method.http_method
        rate = self._stage.throttles.get(where) or self._stage.throttles.get(("*", "*"))
        if not self._within(rate, *where):
            raise Refused("THROTTLED", reason=f"stage, for {where[1]} {where[0]}")
        if key and not self._within_quota(key):
            raise Refused("QUOTA_EXCEEDED", reason=f"usage plan of {key.key_id}")

    def _within(self, rate: Rate | None, *whose: str) -> bool:
        if rate is None:
            return True
        now = self._monotonic()
        if whose not in self._buckets:
            self._buckets[whose] = TokenBucket(rate, now)
        return self._buckets[whose].take(now)

    def _within_quota(self, key: ApiKey) -> bool:
        if key.plan is None or key.plan.quota is None:
            return True
        return self._quotas.setdefault(key.key_id, QuotaCounter(key.plan.quota)).take(self._today())


def _period(name: str, today: datetime) -> str:
    if name == "WEEK":
        return (today - timedelta(days=today.weekday())).strftime("%Y-%m-%d")
    return today.strftime("%Y-%m-%d" if name == "DAY" else "%Y-%m")
