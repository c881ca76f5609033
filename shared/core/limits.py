"""Limits of a key, and what is left of them. The counting is done by `shared/edge/admit.lua`, in one place for all."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, NamedTuple

from msgspec.json import encode
from msgspec.structs import asdict, replace

from shared.core.errors import RateLimited

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.core.catalog import Tier

MINUTE = 60  # seconds: the window of requests_per_minute
HOUR = 3600  # seconds: the window of requests_per_hour

_PHRASES = {
    "requests_per_minute": "requests per minute",
    "requests_per_hour": "requests per hour",
    "concurrency": "requests at the same time",
}


class Standing(NamedTuple):
    """Where an admitted request stands in its tightest window.

    `remaining` counts requests; `reset` is in seconds until the oldest counted one leaves. A `limit` of 0 is none.
    """

    limit: int
    remaining: int
    reset: float

    def headers(self) -> dict[str, str]:
        """Return the `x-ratelimit-*-requests` headers, in OpenAI's notation; none for an unlimited key."""
        if not self.limit:
            return {}
        return {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(self.remaining),
            "x-ratelimit-reset-requests": f"{self.reset:.3f}s",
        }


def fingerprint(presets: Mapping[str, Tier]) -> str:
    """Name the presets of all tiers: what was resolved with others is out of date."""
    return hashlib.sha256(encode(presets, order="deterministic")).hexdigest()[:16]


def resolve(preset: Tier, own: Mapping[str, int | None]) -> Tier:
    """Lay a key's own limits over the preset of its tier; a missing one, or None, keeps the preset."""
    known = asdict(preset)
    return replace(preset, **{name: int(value) for name, value in own.items() if value is not None and name in known})


def refusal(scope: str, limit: int, used: int, wait: float, now: float) -> RateLimited:
    """Say which limit (`scope`) is reached, and when to try again: `wait` seconds after `now`, in epoch seconds."""
    seconds = max(1, math.ceil(wait))
    return RateLimited(
        f"This key may make {limit} {_PHRASES.get(scope, scope)}; {used} are counted. Try again in {seconds} s.",
        retry_after=seconds,
        details={"scope": scope, "limit": limit, "used": used, "reserved": 0, "resets_at": math.ceil(now + wait)},
        headers=Standing(limit, 0, wait).headers(),
    )
