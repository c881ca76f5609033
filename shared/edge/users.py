"""Users as the Directory holds them: who may log in, with which role, in which team."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from shared.core.principals import VOID, Principal, token_key_id
from shared.edge.directory import BrokenRecordError

if TYPE_CHECKING:
    from collections.abc import Mapping


class UserRecord(NamedTuple):
    """One user as stored; times are epoch seconds.

    `password_hash` is None for those who cannot log in with a password. Tokens issued before `tokens_since` are void.
    """

    id: str
    org: str
    role: str
    tier: str
    disabled: bool
    password_hash: str | None = None
    team: str | None = None
    models: tuple[str, ...] = ()
    tokens_since: int = 0

    def accepts(self, issued_at: int) -> bool:
        """Tell whether a token of this age is good."""
        return not self.disabled and self.tokens_since <= issued_at

    def renewed(self, caller: Principal) -> Principal:
        """Return the caller with a token of before as the user is now.

        Raises:
            Unauthorized: the token is good no more.
        """
        if not self.accepts(caller.issued_at):
            from shared.core.errors import Unauthorized  # noqa: PLC0415 - the authorizer must not load the JSON codec

            raise Unauthorized(VOID)
        return self.principal(caller.issued_at, caller.expires_at)

    def principal(self, issued_at: int, expires_at: int) -> Principal:
        """Return the user as a caller with a token that lives from `issued_at` until `expires_at`."""
        return Principal(
            key_id=token_key_id(self.org, self.tier, self.id),
            org=self.org,
            role=self.role,
            tier=self.tier,
            models=self.models,
            expires_at=expires_at,
            user=self.id,
            team=self.team or "",
            issued_at=issued_at,
        )


def user(item: Mapping[str, Any]) -> UserRecord:
    """Return the plain values of an item as a record.

    Raises:
        BrokenRecordError: one is missing.
    """
    try:
        return UserRecord(
            id=item["sk"].removeprefix("user#"),
            org=item["pk"],
            role=item["role"],
            tier=item.get("tier") or "free",
            disabled=item.get("disabled", False),
            password_hash=item.get("password_hash"),
            team=item.get("team"),
            models=tuple(item.get("models") or ()),
            tokens_since=int(item.get("tokens_since") or 0),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BrokenRecordError(f"A user in the directory cannot be read: {error!r}") from error
