"""What the admission script must know of a scope, as Valkey keeps it: made of a record of the Directory, one way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core import addresses, keys, principals
from shared.core.catalog import Tier
from shared.core.limits import ENDPOINTS, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

PERIODS = ("daily", "monthly", "total")
TIER_EDITS = 1_000_000  # more than a tier ever sees; the scripts count exactly up to 2**53


def key_policy(
    record: Mapping[str, Any], tiers: Mapping[str, Tier], edited: Mapping[str, Any] | None
) -> tuple[int, dict[str, str | int]]:
    """Return version and fields of a key's policy; `edited` is the record `tier#<name>` of its tier, if there is one.

    Every edit of either record raises it, and one of the key above all of the tier's, for it may move the key to a tier
    that was edited less often: so the newest state of both wins in Valkey.
    """
    preset = resolve(tiers[record["tier"]], (edited or {}).get("limits") or {})
    who: dict[str, str | int] = {}
    if "hash" in record:  # of a tier alone, for those who call with tokens, there is nothing to say of them
        user, team = str(record.get("user") or ""), str(record.get("team") or "")
        who = {
            "identity": principals.key_identity(record["role"], user, team, record.get("models") or ()),
            "secret": keys.mark(record["hash"]),
            "secret_before": keys.mark(record.get("previous_hash") or ""),
            "secret_until": int(record.get("previous_until") or 0),
        }
    version = int(record["version"]) * TIER_EDITS + int((edited or {}).get("version", 0))
    return version, {**policy(record, preset), **who}


def endpoint_policy(name: str, record: Mapping[str, Any]) -> dict[str, str | int]:
    """Return the fields of an endpoint's policy; `record` is what an organization has said of it."""
    return policy(record, Tier(requests_per_minute=ENDPOINTS[name]))


def policy(record: Mapping[str, Any], preset: Tier | None = None) -> dict[str, str | int]:
    """Return the fields of `{org}:policy:<scope>` but its version.

    `record` is what the Directory holds of a key, user, team, organization or model; `preset` is the tier of a key,
    over which its own limits lie. Counts are 0 for unlimited; money is in nano-dollars, empty for no budget. Of an
    organization's own budget and the ceiling that its operators set, the lower one counts. What others spent `before`
    under the same id is taken off what counts in total.
    """
    limits = resolve(preset or Tier(), record.get("limits") or {})
    budget, ceiling = record.get("budget") or {}, record.get("ceiling") or {}
    money = {period: _lower(budget.get(f"{period}_nano"), ceiling.get(f"{period}_nano")) for period in PERIODS}
    return {
        "state": "revoked" if record.get("revoked") or record.get("disabled") or record.get("deleted") else "active",
        "expires_at": int(record.get("expires_at") or 0),
        "tier": str(record.get("tier") or ""),
        "rpm": limits.requests_per_minute,
        "rph": limits.requests_per_hour,
        "tpm": limits.tokens_per_minute,
        "concurrency": limits.concurrency,
        **{period: "" if nano is None else int(nano) for period, nano in money.items()},
        "blocked_until": int(record.get("blocked_until") or 0),
        "addresses": addresses.blocked(record.get("addresses") or {}),
        "identity": _identity(record),
        **({"before": int(record["before_nano"])} if record.get("before_nano") else {}),
        **({"tokens_since": int(record["tokens_since"])} if record.get("tokens_since") else {}),
    }


def _lower(*amounts: int | None) -> int | None:
    return min((amount for amount in amounts if amount is not None), default=None)


def _identity(record: Mapping[str, Any]) -> str:
    """Digest what a user's record says of the caller; "" for others, of whom nothing is said, or by `key_policy`."""
    if not str(record.get("sk", "")).startswith("user#") or record.get("deleted") or "role" not in record:
        return ""  # the last are another issuer's
    tier, team = str(record.get("tier") or "free"), str(record.get("team") or "")
    return principals.user_identity(record["role"], tier, team, record.get("models") or ())
