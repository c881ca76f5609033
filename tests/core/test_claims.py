"""What a foreign issuer's claims become here is decided by its configuration, word for word."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cdk import config
from cdk.config import ConfigError
from cdk.oidc import OidcIssuer
from shared.core import claims
from shared.core.claims import LEEWAY, Issuer, Rule, check, configured
from shared.core.principals import Principal
from shared.core.tokens import ALGORITHMS, BadToken
from tests.fakes.tokens import NOW, OKTA, theirs

GIVEN: dict[str, Any] = {
    "name": "entra",
    "issuer": "https://login.example/t1/v2.0",
    "audience": "api://nexus",
    "jwks_url": "https://login.example/t1/keys",
    "role": {"claim": "roles", "values": {"Nexus.Admin": "admin"}, "otherwise": "viewer"},
    "team": {"claim": "groups", "values": {"g1": "blue"}},
}


def test_a_caller_is_who_the_rules_say() -> None:
    """The issuer's short name keeps its users apart from ours; the tier is in the principal's id."""
    assert OKTA.principal(theirs(plan="gold")) == Principal(
        key_id="default-jwt-pro-okta:00u1",
        org="default",
        role="developer",
        tier="pro",
        models=(),
        expires_at=NOW + 3590,
        user="okta:00u1",
        team="blue",
        issued_at=NOW - 10,
    )


@pytest.mark.parametrize(
    ("claim", "sent", "word"),
    [
        ("groups", ["users", "admins"], "admin"),
        ("groups", ["devs", "admins"], "admin"),
        ("groups", "devs", "developer"),
        ("groups", "users admins", ""),
        ("groups", ["Admins", " admins", "admins "], ""),
        ("groups", [["admins"], {"admins": 1}, None, 7], ""),
        ("groups", {"admins": True}, ""),
        ("groups", None, ""),
        ("scope", "openid admins", "admin"),
        ("scp", "users devs", "developer"),
        ("scope", ["openid admins"], ""),
    ],
)
def test_the_first_configured_value_that_a_claim_holds_counts(claim: str, sent: object, word: str) -> None:
    """Exact texts only; the order is the configuration's; scopes alone are words in one text."""
    rule = Rule(claim, {"admins": "admin", "devs": "developer"})
    assert rule.of({claim: sent}) == word
    assert rule._replace(otherwise="viewer").of({claim: sent}) == (word or "viewer")


def test_a_rule_without_a_claim_gives_one_word() -> None:
    """A claim without a name is none."""
    assert Rule(otherwise="free").of({"": "pro"}) == "free"


@pytest.mark.parametrize("role", ["", "root", "Admin"])
def test_who_has_no_role_is_not_let_in(role: str) -> None:
    """No role, or one that is none of ours."""
    with pytest.raises(BadToken, match="no role"):
        OKTA._replace(role=Rule(otherwise=role)).principal(theirs())


def test_two_clocks_may_differ_a_little() -> None:
    """A token counts from half a minute before its time to half a minute after."""
    for said in (theirs(exp=NOW - LEEWAY + 1), theirs(iat=NOW + LEEWAY), theirs(nbf=NOW + LEEWAY)):
        check(said, OKTA, NOW)
    for said in (theirs(exp=NOW - LEEWAY), theirs(iat=NOW + LEEWAY + 1), theirs(nbf=NOW + LEEWAY + 1)):
        with pytest.raises(BadToken):
            check(said, OKTA, NOW)


def test_cognito_names_its_audience_otherwise() -> None:
    """Its access tokens have a client_id and no aud, and say what they are for."""
    cognito = OKTA._replace(audience="app1", audience_claim="client_id", require={"token_use": "access"})
    good = theirs(aud=..., client_id="app1", token_use="access")
    check(good, cognito, NOW)
    for wrong in ({"client_id": "app2"}, {"token_use": "id"}, {"token_use": None}):
        with pytest.raises(BadToken):
            check(good | wrong, cognito, NOW)


def test_the_deployments_words_are_the_authorizers() -> None:
    """What an operator writes arrives unchanged through the environment, with every default."""
    chosen = config.parse({"nexus:oidc": [GIVEN]})
    [issuer] = configured(chosen.oidc_environment)
    assert issuer == Issuer(
        name="entra",
        issuer="https://login.example/t1/v2.0",
        audience="api://nexus",
        jwks_url="https://login.example/t1/keys",
        role=Rule("roles", {"Nexus.Admin": "admin"}, "viewer"),
        team=Rule("groups", {"g1": "blue"}),
    )
    assert config.parse({"nexus:oidc": json.dumps([GIVEN])}) == chosen
    assert config.parse(chosen.context()) == chosen
    assert configured("") == configured(config.Config().oidc_environment) == ()


def test_the_configuration_knows_the_same_words() -> None:
    """A field, or an algorithm, that one side has and the other has not would be lost on the way."""
    of_services_only = {"others"}  # an authorizer has one audience
    assert OidcIssuer.model_fields.keys() | of_services_only == set(Issuer._fields)
    for algorithm in ALGORITHMS:
        assert config.parse({"nexus:oidc": [{**GIVEN, "algorithms": [algorithm]}]}).oidc[0].algorithms == (algorithm,)
    assert claims.own("https://a").algorithms == ("ES256",)


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "http://login.example"},
        {"jwks_url": "http://login.example/keys"},
        {"jwks_url": "https://user:secret@login.example/keys"},
        {"algorithms": ["HS256"]},
        {"algorithms": ["none"]},
        {"algorithms": []},
        {"audience": ""},
        {"audience_claim": ""},
        {"name": "Entra:"},
        {"name": ""},
        {"org": "Default"},
        {"role": {"claim": "roles", "values": {"a": "root"}}},
        {"role": {"otherwise": "root"}},
        {"tier": {"otherwise": "platinum"}},
        {"tier": {}},
        {"secret": "x"},
        {"issuer": "https://ai-nexus.invalid"},
    ],
)
def test_a_configuration_that_would_let_strangers_in(change: dict[str, Any]) -> None:
    """Plain HTTP, symmetric algorithms, invented roles, our own name: refused before anything is deployed."""
    with pytest.raises(ConfigError, match="nexus:"):
        config.parse({"nexus:oidc": [{**GIVEN, **change}]})


def test_two_issuers_are_two() -> None:
    """Neither names nor addresses may stand twice."""
    for change in ({"name": "other"}, {"issuer": "https://other.example"}):
        with pytest.raises(ConfigError):
            config.parse({"nexus:oidc": [GIVEN, {**GIVEN, **change}]})
