"""Each key's own API Gateway key, in the usage plan of its tier: what a record says of it, and what it should say.

A record is enrolled in the plan of a tier from the moment `since`. As long as that is not its present tier, or it has
none of its own, its requests count against the one API Gateway key that all of a tier share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

TODO = "enrol#"  # begins the sort key of what is still to be done for a key: `{"due": epoch seconds}`
FORGOTTEN_SECONDS = 120  # after so long no authorizer acts on what a record said before: they remember for a minute
SPREAD_SECONDS = 120  # so long API Gateway may take to know a new key everywhere; seconds are usual, none promised


class Enrolment(NamedTuple):
    """An API Gateway key of one key's own: `tier` is "" while it is in no plan, or none that could be relied on."""

    id: str
    value: str
    tier: str
    since: int

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Enrolment | None:
        """Return what a record of the Directory says, None if it has none of its own."""
        told = record.get("enrolment")
        return cls(told["id"], told["value"], told["tier"], int(told["since"])) if told else None


def shared_value(prefix: str, tier: str) -> str:
    """Return the value of the API Gateway key that all of a tier share; `prefix` is unique to a stack."""
    return f"{prefix}-{tier}"


def own_value(prefix: str, key_id: str) -> str:
    """Return the value of a key's own API Gateway key. It opens nothing: clients cannot send it."""
    return f"{prefix}-{key_id}"


def usage_key(prefix: str, key_id: str, tier: str, own: Enrolment | None, now: float) -> str:
    """Return the value of the API Gateway key that a request counts against."""
    if own and own.tier == tier and own.since <= now and own.value == own_value(prefix, key_id):
        return own.value
    return shared_value(prefix, tier)


def wanted(record: Mapping[str, Any], now: float) -> str:
    """Return the tier in whose plan a key should be, "" for one that opens nothing any more."""
    over = record.get("revoked") or 0 < record.get("expires_at", 0) <= now
    return "" if over else str(record["tier"])


def todo(org: str, key_id: str, due: int) -> dict[str, Any]:
    """Return the record that has a key's enrolment looked at, at the epoch second `due` or soon after."""
    return {"pk": org, "sk": f"{TODO}{key_id}", "due": due}
