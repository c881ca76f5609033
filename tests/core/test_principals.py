"""Principals: what the authorizer says is what the others hear, and a role allows what its line says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import Forbidden, Unauthorized
from shared.core.keys import mint
from shared.core.principals import ACTIONS, ROLES, TIERS, USER_ID, Principal, from_context, is_token, token_key_id

NAMES = st.text(st.characters(exclude_characters=","), min_size=1)
PRINCIPALS = st.builds(
    Principal,
    key_id=st.text(),
    org=st.text(),
    role=st.sampled_from(ROLES),
    tier=st.sampled_from(TIERS),
    models=st.lists(NAMES, max_size=3).map(tuple),
    expires_at=st.integers(),
    user=st.text(),
    team=st.text(),
    issued_at=st.integers(),
)
ANYONE = Principal("default-abcdefghijkl", "default", "developer", "free", (), 1)


@given(PRINCIPALS)
def test_survives_the_context(principal: Principal) -> None:
    """Everything goes through API Gateway as strings and comes back as it was, whatever else the context holds."""
    context = principal.context()
    assert all(isinstance(value, str) for value in context.values())
    assert from_context({**context, "principalId": "x", "integrationLatency": "5"}) == principal


@pytest.mark.parametrize(
    "field", set(Principal._fields) - {"secret", "on_store_loss", "issued_at"}
)  # of which one of before is silent
def test_half_an_identity_is_none(field: str) -> None:
    """Each member must be there, or nobody is let in."""
    context = ANYONE.context()
    del context[field]
    with pytest.raises(Unauthorized):
        from_context(context)


def test_an_unreadable_identity_is_none() -> None:
    """A time that is no number is not guessed at."""
    with pytest.raises(Unauthorized):
        from_context({**ANYONE.context(), "expires_at": "soon"})


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("admin", {"administer", "infer", "observe", "read"}),
        ("developer", {"infer", "observe", "read"}),
        ("service", {"infer", "read"}),
        ("viewer", {"observe", "read"}),
        ("", set()),
        ("root", set()),
    ],
)
def test_a_role_allows_what_its_line_says(role: str, allowed: set[str]) -> None:
    """Viewers only look, admins do everything, and an unknown role does nothing; a refusal says which roles may."""
    principal = ANYONE._replace(role=role)
    assert {action for action in ACTIONS if principal.may(action)} == allowed
    if "infer" not in allowed:
        with pytest.raises(Forbidden, match="admin or developer or service"):
            principal.require("infer")


def test_a_key_may_be_for_some_models_only() -> None:
    """No list means all models; a list means those, by their exact names."""
    assert ANYONE.may_use("anything")
    bound = ANYONE._replace(models=("simulated",))
    assert bound.may_use("simulated")
    assert not bound.may_use("Simulated")
    assert not bound.may_use("")


@given(st.from_regex(USER_ID, fullmatch=True), st.sampled_from(TIERS), st.binary(min_size=48, max_size=48))
def test_a_token_is_never_taken_for_a_key(user: str, tier: str, chance: bytes) -> None:
    """The id of a user's token and that of a key cannot be the same, whatever the user is called."""
    assert is_token(token_key_id("default", tier, user))
    assert is_token(token_key_id("jwt", tier, f"okta:{user}"))
    assert not is_token(mint("jwt", chance).id)
