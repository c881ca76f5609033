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
    "tokens_per_minute": "tokens per minute",
    "concurrency": "requests at the same time",
}
ENDPOINTS: Mapping[str, int] = {"status": 300, "metrics": 60, "route": 100, "ensemble": 20}
"""Requests a minute that one key may make of an endpoint, beside its other limits; an organization can edit them."""
MODEL = "model:"  # begins the scope of a model
ENDPOINT = "class:"  # and that of an endpoint, for one key
KINDS = {
    "org": "organization",
    "class": "endpoint",
    "alias": "model",
}  # as clients call a kind of scope where it is not the scope's own word


class Standing(NamedTuple):
    """Where an admitted request stands in its tightest window.

    `remaining` counts requests or tokens; `reset` is in seconds until the oldest counted one leaves. A `limit` of 0 is
    none.
    """

    limit: int
    remaining: int
    reset: float

    def headers(self, counted: str = "requests") -> dict[str, str]:
        """Return the `x-ratelimit-*` headers of what is `counted`, in OpenAI's notation; none for an unlimited key."""
        if not self.limit:
            return {}
        return {
            f"x-ratelimit-limit-{counted}": str(self.limit),
            f"x-ratelimit-remaining-{counted}": str(self.remaining),
            f"x-ratelimit-reset-{counted}": f"{self.reset:.3f}s",
        }


def fingerprint(presets: Mapping[str, Tier]) -> str:
    """Name the presets of all tiers and endpoints: what was resolved with others is out of date."""
    return hashlib.sha256(encode([presets, ENDPOINTS], order="deterministic")).hexdigest()[:16]


def scopes(
    org: str, key: str, user: str = "", team: str = "", alias: str = "", *, endpoint: str = ""
) -> tuple[str, ...]:
    """Name whom a request counts against besides models: the caller's key, user and team, the organization.

    And the `alias` that it asked for, if that is no model's own name. An `endpoint` of `ENDPOINTS` is counted for each
    key.
    """
    owner = (f"key:{key}", user and f"user:{user}", team and f"team:{team}", f"org:{org}")
    asked = (endpoint and f"{ENDPOINT}{endpoint}:{key}", alias and f"alias:{alias}")
    return tuple(filter(None, owner + asked))


def of_model(name: str) -> str:
    """Name the scope of a model."""
    return f"{MODEL}{name}"


def kind_of(scope: str) -> str:
    """Return what kind of thing a scope is, in the words of clients."""
    kind = scope.partition(":")[0]
    return KINDS.get(kind, kind)


def resolve(preset: Tier, own: Mapping[str, int | None]) -> Tier:
    """Lay a key's own limits over the preset of its tier; a missing one, or None, keeps the preset."""
    known = asdict(preset)
    return replace(preset, **{name: int(value) for name, value in own.items() if value is not None and name in known})


def refusal(
    kind: str, rule: str, model: str = "", *, limit: int, used: int, wait: float | None, now: float
) -> RateLimited:
    """Say which limit (`rule`) of whom (`kind`) is reached, and when to try again: `wait` seconds after `now`.

    `model` names it if it is one. `now` is in epoch seconds. Without `wait` the request is larger than the limit
    itself, and never passes.
    """
    who = f"The model '{model}'" if model else f"This {kind}"
    said = f"{who} may make {limit} {_PHRASES.get(rule, rule)}"
    told: dict[str, object] = {"scope": kind, **({"model": model} if model else {})}
    details: dict[str, object] = {**told, "rule": rule, "limit": limit, "used": used, "reserved": 0}
    if wait is None:
        raised = RateLimited(f"{said}; this request alone may take more. Lower max_tokens.", details=details)
        raised.should_retry = False
        return raised
    seconds = max(1, math.ceil(wait))
    return RateLimited(
        f"{said}; {used} are counted. Try again in {seconds} s.",
        retry_after=seconds,
        details={**details, "resets_at": math.ceil(now + wait)},
        headers=Standing(limit, 0, wait).headers("tokens" if rule == "tokens_per_minute" else "requests"),
    )
