"""Who calls, and what a role may do: flat strings in API Gateway's context, one value here, one table for all routes.

A key is its own principal. A user's token has no key: its id names the organization, the tier and the user, so that
the limits of the tier follow from the id alone, and nothing has to be stored before its first request.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from shared.core.events import pseudonym

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Role = Literal["admin", "developer", "viewer", "service"]
Tier = Literal["free", "pro", "enterprise"]
OnStoreLoss = Literal["refuse", "serve"]  # what an organization wants of requests that Valkey cannot be asked about
Action = Literal[
    "administer",  # keys, users, teams, limits, budgets, blocks; the audit log
    "infer",  # chat and embeddings: whatever costs money
    "observe",  # usage, metrics, analytics
    "read",  # the lists of models
]

ROLES: tuple[Role, ...] = get_args(Role)
TIERS: tuple[Tier, ...] = get_args(Tier)
ACTIONS: tuple[Action, ...] = get_args(Action)
MAY: Mapping[str, frozenset[Action]] = {
    "admin": frozenset({"administer", "infer", "observe", "read"}),
    "developer": frozenset({"infer", "observe", "read"}),
    "service": frozenset({"infer", "read"}),
    "viewer": frozenset({"observe", "read"}),
}
USER_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")  # of our own users
FOREIGN_ID = re.compile(
    r"[a-z][a-z0-9]{0,15}:[!-~]{1,128}"
)  # of another issuer's: its name here, and what it calls them
_NEEDS: Mapping[Action, str] = {action: " or ".join(role for role in MAY if action in MAY[role]) for action in ACTIONS}
VOID = "The token is void: its user was disabled, or has to log in again."
_TOKEN = "-jwt-"  # noqa: S105 - what tells the two kinds of ids apart: behind a key's organization stands no hyphen


class Principal(NamedTuple):
    """The caller, by its key; `models` is empty for all of them, `expires_at` is in epoch seconds.

    `user` and `team` are "" where there is none. `secret` tells which of a key's secrets was sent, by the beginning of
    its stored digest. `on_store_loss` is what the organization wants, an `OnStoreLoss`, or "" for the usual.
    `issued_at` is a token's, in epoch seconds, 0 for a key.
    """

    key_id: str
    org: str
    role: str
    tier: str
    models: tuple[str, ...]
    expires_at: int
    user: str = ""
    team: str = ""
    secret: str = ""
    on_store_loss: str = ""
    issued_at: int = 0

    @property
    def identity(self) -> str:
        """Digest of what a record says of the caller: by it, what the authorizer remembers is found out of date."""
        if is_token(self.key_id):
            return user_identity(self.role, self.tier, self.team, self.models)
        return key_identity(self.role, self.user, self.team, self.models)

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

            raise Forbidden(f"The role {self.role} may not do this. Use a key with the role {_NEEDS[action]}.")

    def may_use(self, model: str) -> bool:
        """Tell whether the key is for `model`."""
        return not self.models or model in self.models

    def context(self) -> dict[str, str]:
        """Render it for API Gateway, which carries strings only; model names hold no commas."""
        times = {"expires_at": str(self.expires_at), "issued_at": str(self.issued_at)}
        return {**self._asdict(), "models": ",".join(self.models), **times}


def key_identity(role: str, user: str, team: str, models: Iterable[str]) -> str:
    """Digest what a key's record says of who calls with it."""
    return _digest(role, user, team, *models)


def user_identity(role: str, tier: str, team: str, models: Iterable[str]) -> str:
    """Digest what a user's record says of who calls with a token of theirs."""
    return _digest(role, tier, team, *models)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def token_key_id(org: str, tier: str, user: str) -> str:
    """Return what stands for the key where a user calls with a token."""
    return f"{org}{_TOKEN}{tier}-{user}"


def policy_scope(scope: str) -> str:
    """Return whose policy holds for a scope.

    That is a tier's for all who call with tokens, an endpoint's for all keys; an alias is limited like a model.
    """
    kind, _, name = scope.partition(":")
    if kind == "alias":
        return f"model:{name}"
    if kind == "class":
        return f"class:{name.partition(':')[0]}"
    if kind != "key" or not is_token(name):
        return scope
    org, _, rest = name.partition(_TOKEN)
    return f"key:{token_key_id(org, rest.partition('-')[0], '')}"


def is_foreign(user: str) -> bool:
    """Tell whether a user is another issuer's: its tokens say who that is, and a record only what they may spend."""
    return bool(FOREIGN_ID.fullmatch(user))


def masked(key_id: str, user: str) -> str:
    """Return a key's id as a log may tell it: a token's names its user, who is known by a pseudonym there."""
    return key_id.removesuffix(user) + pseudonym(user) if is_token(key_id) else key_id


def is_token(key_id: str) -> bool:
    """Tell whether this is a user with a token: no key of this id is in the Directory."""
    return key_id.partition("-")[2].startswith(_TOKEN[1:])


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
            user=context["user"],
            team=context["team"],
            secret=context.get("secret", ""),
            on_store_loss=context.get("on_store_loss", ""),
            issued_at=int(context.get("issued_at", "0")),
        )
    except (KeyError, ValueError) as error:
        from shared.core.errors import Unauthorized  # noqa: PLC0415 - the authorizer must not load the JSON codec

        raise Unauthorized("The request carries no identity. Send an API key.") from error
