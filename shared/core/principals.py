"""Who calls, as the authorizer tells the other functions: flat strings in API Gateway's context, one value here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

Role = Literal["admin", "developer", "viewer", "service"]
Tier = Literal["free", "pro", "enterprise"]
Action = Literal["administer", "infer", "read"]  # keys and the like; chat and embeddings; the lists of models

ROLES: tuple[Role, ...] = get_args(Role)
TIERS: tuple[Tier, ...] = get_args(Tier)
MAY: Mapping[str, frozenset[Action]] = {
    "admin": frozenset({"administer", "infer", "read"}),
    "developer": frozenset({"infer", "read"}),
    "service": frozenset({"infer", "read"}),
    "viewer": frozenset({"read"}),
}
_NEEDS: Mapping[Action, str] = {
    action: ", ".join(role for role in MAY if action in MAY[role]) for action in get_args(Action)
}


class Principal(NamedTuple):
    """The caller, by its key; `models` is empty for all of them, `expires_at` is in epoch seconds."""

    key_id: str
    org: str
    role: str
    tier: str
    models: tuple[str, ...]
    expires_at: int

    def may(self, action: Action) -> bool:
        """Tell whether the role allows `action`; an unknown role allows nothing."""
        return action in MAY.get(self.role, frozenset())

    def require(self, action: Action) -> None:
        """Let pass who may.

        Raises:
            Forbidden: the role does not allow `action`.
        """
        if not self.may(action):
            from shared.core.errors import Forbidden  # noqa: PLC0415 - the authorizer must not load the JSON codec

            raise Forbidden(f"The role {self.role} may not do this. Use a key with one of the roles {_NEEDS[action]}.")

    def may_use(self, model: str) -> bool:
        """Tell whether the key is for `model`."""
        return not self.models or model in self.models

    def context(self) -> dict[str, str]:
        """Render it for API Gateway, which carries strings only; model names hold no commas."""
        return {**self._asdict(), "models": ",".join(self.models), "expires_at": str(self.expires_at)}


def from_context(context: Mapping[str, str]) -> Principal:
    """Read what `Principal.context` wrote; API Gateway adds members of its own.

    Raises:
        Unauthorized: the authorizer said nothing of a caller.
    """
    try:
        return Principal(
            key_id=context["key_id"],
            org=context["org"],
            role=context["role"],
            tier=context["tier"],
            models=tuple(filter(None, context["models"].split(","))),
            expires_at=int(context["expires_at"]),
        )
    except (KeyError, ValueError) as error:
        from shared.core.errors import Unauthorized  # noqa: PLC0415 - the authorizer must not load the JSON codec

        raise Unauthorized("The request carries no identity. Send an API key.") from error
