"""How a team's own identity provider is configured: whose tokens are accepted, and what their claims mean here."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.core.principals import Role, Tier

Https = Annotated[str, Field(pattern=r"^https://[^\s?#@]+$", max_length=500)]
Claim = Annotated[str, Field(max_length=200)]
Algorithm = Literal["ES256", "ES384", "ES512", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"]


class Strict(BaseModel):
    """No unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Rule(Strict):
    """The first of `values` that the claim holds gives our word for it; none of them gives `otherwise`."""

    claim: Claim = ""
    values: dict[str, str] = {}
    otherwise: str = ""


class OidcIssuer(Strict):
    """One identity provider; `shared.core.claims.Issuer` is what becomes of it."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,15}$")]
    """Begins the ids of its users here: `okta:00u1`."""

    issuer: Https
    """Exactly as in the claim `iss`, with its last slash if it has one."""

    audience: Annotated[str, Field(min_length=1, max_length=500)]
    jwks_url: Https
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = ("RS256", "ES256")
    audience_claim: Annotated[Claim, Field(min_length=1)] = "aud"
    """`client_id` for the access tokens of Cognito, which have no `aud`."""

    require: dict[str, str] = {}
    """Claims that must have exactly these values, such as `{"token_use": "access"}`."""

    org: Annotated[str, Field(pattern=r"^[a-z0-9]{1,20}$")] = "default"
    role: Rule
    """To one of our roles; `otherwise` "" refuses who has none of the values."""

    team: Rule = Rule()
    tier: Rule = Rule(otherwise="free")

    @field_validator("role")
    @classmethod
    def _known_roles(cls, rule: Rule) -> Rule:
        return _known(rule, ("", *get_args(Role)))

    @field_validator("tier")
    @classmethod
    def _known_tiers(cls, rule: Rule) -> Rule:
        return _known(rule, get_args(Tier))


def _known(rule: Rule, words: tuple[str, ...]) -> Rule:
    for word in (*rule.values.values(), rule.otherwise):
        if word not in words:
            raise ValueError(f"{word!r} is none of {', '.join(filter(None, words))}")
    return rule
