"""Who calls the control plane, as the Directory has it now: the authorizer remembers a caller for a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.core import keys
from shared.core.errors import Forbidden, Unauthorized
from shared.core.principals import VOID, is_foreign, is_token

if TYPE_CHECKING:
    from functions.registry import Item, Registry
    from shared.core.principals import Principal


def confirmed(registry: Registry, caller: Principal, now: float) -> Principal:
    """Return `caller` with the role, user and team of this moment, in epoch seconds.

    A token's user may be one of another issuer, of whom the Directory knows nothing, or no more than limits.

    Raises:
        Unauthorized: the key is revoked, rotated, or gone; the user may no longer call, or not with this token.
        Forbidden: the key or the user is blocked for now, or the team is no more.
        StoreUnavailable: the Directory cannot be reached.
    """
    if not is_token(caller.key_id):
        caller = _holder(registry, caller, now)
    user = registry.find(caller.org, f"user#{caller.user}") if caller.user else None
    if user and (user.get("disabled") or user.get("deleted")):
        raise Unauthorized("This user may no longer call.")
    _refuse_blocked(user, "user", now)
    if user and is_token(caller.key_id) and not is_foreign(caller.user):
        if int(user.get("tokens_since") or 0) > caller.issued_at:
            raise Unauthorized(VOID)
        caller = caller._replace(role=user["role"], team=user.get("team") or "")
    team = registry.find(caller.org, f"team#{caller.team}") if caller.team else None
    if team and team.get("deleted"):
        raise Forbidden("The team of this request is revoked.")
    return caller


def marks(known: Item, now: float) -> set[str]:
    """Return how the secrets are told that open a key now."""
    before = known.get("previous_hash") if now < known.get("previous_until", 0) else None
    return {keys.mark(digest) for digest in (known["hash"], before) if digest}


def _holder(registry: Registry, caller: Principal, now: float) -> Principal:
    known = registry.find(caller.org, f"key#{caller.key_id}")
    if known is None or known["revoked"]:
        raise Unauthorized("This API key is revoked.")
    if caller.secret and caller.secret not in marks(known, now):
        raise Unauthorized("This API key was rotated: use its new secret.")
    if 0 < int(known.get("expires_at") or 0) <= now:
        raise Unauthorized("This API key has expired.")
    _refuse_blocked(known, "API key", now)
    return caller._replace(role=known["role"], user=known.get("user") or "", team=known.get("team") or "")


def _refuse_blocked(record: Item | None, what: str, now: float) -> None:
    if record and record.get("blocked_until", 0) > now:
        raise Forbidden(f"This {what} is blocked for some time.")
