"""What a verified token says, held to what was configured of its issuer, and translated into one of our callers.

Nothing is coerced: a time is a whole number, an audience is the exact string or a list that holds it, and a claim of
any other form refuses the token.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from shared.core.principals import ROLES, TIERS, Principal, token_key_id
from shared.core.tokens import BadToken

if TYPE_CHECKING:
    from collections.abc import Mapping

AUDIENCE = "ai-nexus"  # of our own tokens
LEEWAY = 30  # seconds that two clocks may differ
LONGEST_LIFE = 172_800  # seconds; Entra's live up to 28 hours, Okta's and Cognito's up to 24
_SUBJECT = re.compile(r"[!-~]{1,128}")  # printable ASCII without spaces: it becomes part of names in the stores
_LISTS = frozenset({"scope", "scp"})  # claims that are one string of words
_LATEST = 2**53


class Rule(NamedTuple):
    """How a claim becomes one of our words: the first of `values` that the claim holds counts."""

    claim: str = ""
    values: Mapping[str, str] = {}
    otherwise: str = ""

    def of(self, claims: Mapping[str, Any]) -> str:
        """Return our word, `otherwise` if there is none."""
        sent = claims.get(self.claim) if self.claim else None
        if isinstance(sent, str):
            sent = sent.split(" ") if self.claim in _LISTS else [sent]
        held = [value for value in sent if isinstance(value, str)] if isinstance(sent, list) else []
        return next((ours for theirs, ours in self.values.items() if theirs in held), self.otherwise)


class Issuer(NamedTuple):
    """An identity provider whose tokens are accepted. `name` begins the ids of its users: `okta:00u1`.

    `others` are audiences as good as `audience`. `audience_claim` is another than `aud` for Cognito's access tokens
    (`client_id`). `require` are claims that must have exactly these values, such as `token_use`.
    """

    name: str
    issuer: str
    audience: str
    jwks_url: str = ""
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    audience_claim: str = "aud"
    require: Mapping[str, str] = {}
    org: str = "default"
    role: Rule = Rule()
    team: Rule = Rule()
    tier: Rule = Rule(otherwise="free")
    others: frozenset[str] = frozenset()

    def principal(self, claims: Mapping[str, Any]) -> Principal:
        """Return who calls with these claims, which `check` let pass.

        Raises:
            BadToken: no role is configured for the caller.
        """
        role, tier = self.role.of(claims), self.tier.of(claims)
        if role not in ROLES or tier not in TIERS:
            raise BadToken("The token is good, but its holder has no role here. Ask an administrator.")
        user = f"{self.name}:{claims['sub']}"
        return Principal(
            key_id=token_key_id(self.org, tier, user),
            org=self.org,
            role=role,
            tier=tier,
            models=(),
            expires_at=claims["exp"],
            user=user,
            team=self.team.of(claims),
            issued_at=claims["iat"],
        )


def own(issuer: str) -> Issuer:
    """Return the gateway itself as an issuer."""
    return Issuer("", issuer, AUDIENCE, algorithms=("ES256",))


def configured(text: str) -> tuple[Issuer, ...]:
    """Read the issuers of the environment: a JSON list, checked when the deployment was configured; "" is none."""
    found = []
    for entry in json.loads(text or "[]"):
        rules = {name: Rule(**entry[name]) for name in ("role", "team", "tier") if name in entry}
        given = Issuer(**{**entry, **rules})
        found.append(given._replace(algorithms=tuple(given.algorithms)))
    return tuple(found)


def check(claims: Mapping[str, Any], issuer: Issuer, now: float) -> None:
    """Let pass claims that hold now, in epoch seconds, from this issuer, for us.

    Raises:
        BadToken: one of them is missing, wrong or of the wrong form.
    """
    if claims.get("iss") != issuer.issuer:
        raise BadToken("The token is of another issuer.")
    if issuer.others.union([issuer.audience]).isdisjoint(_audience(claims.get(issuer.audience_claim))):
        raise BadToken("The token is meant for another audience.")
    if any(claims.get(name) != value for name, value in issuer.require.items()):
        raise BadToken("The token is not of the kind that is accepted from its issuer.")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
        raise BadToken("The token does not name its holder in a form that is accepted.")
    _check_times(claims, now)


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    if expires <= now - LEEWAY:
        raise BadToken("The token has expired.")
    if issued > now + LEEWAY or ("nbf" in claims and _time(claims, "nbf") > now + LEEWAY):
        raise BadToken("The token is not valid yet.")
    if expires - issued > LONGEST_LIFE:
        raise BadToken("The token is meant to live longer than is accepted.")


def _audience(claim: object) -> list[str]:
    if isinstance(claim, str):
        return [claim]
    if isinstance(claim, list) and all(isinstance(name, str) for name in claim):
        return claim
    return []


def _time(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    if type(value) is not int or not 0 <= value <= _LATEST:
        raise BadToken(f"The token has no {name} in whole seconds.")
    return value
