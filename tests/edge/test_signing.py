"""Signing keys come out of a secret: the same from the same seed, and none from anything that is no seed."""

from __future__ import annotations

import json

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.edge.signing import SigningKeys, SigningSecretError, derive
from tests.fakes.tokens import Vault


def _keys(text: str) -> SigningKeys:
    return SigningKeys(Vault(text), "signing")  # type: ignore[arg-type]


def test_a_seed_is_its_key_for_ever() -> None:
    """The derivation may never change, or every token and every cached key set would be void at a deployment."""
    assert derive("seed" * 16).jwk == {
        "crv": "P-256",
        "kty": "EC",
        "x": "CY2chPtQs7W2yl9B9RszikzUEGEzFuzu9l1xvG-r2cI",
        "y": "E1RvJukyw5xX5Rf76h5OtsT64ClwAxRGbyLMJaSxoWQ",
        "kid": "Tqod4LKuyyXx8JWHXTD7plVSJRITjGA215Hw7SN92bs",
        "use": "sig",
        "alg": "ES256",
    }


@settings(max_examples=30)
@given(st.text(min_size=43, max_size=80))
def test_any_seed_makes_a_key_that_signs(seed: str) -> None:
    """Sign and verify, through the public half as it is published; no part of the seed is in it."""
    key = derive(seed)
    token = jwt.encode({"sub": "a"}, key.private, algorithm="ES256")
    assert jwt.decode(token, jwt.PyJWK(dict(key.jwk)), algorithms=["ES256"]) == {"sub": "a"}
    assert "d" not in key.jwk
    assert repr(key) == f"Key({key.jwk['kid']})"


def test_only_the_current_key_signs() -> None:
    """The one before it is published for what it has signed, first comes the current one."""
    keys = _keys(json.dumps({"current": "n" * 64, "previous": "o" * 64}))
    new, old = keys.published()
    assert (new, old) == (derive("n" * 64).jwk, derive("o" * 64).jwk)
    assert jwt.get_unverified_header(keys.sign({}))["kid"] == new["kid"]
    assert keys.find(old["kid"]) == old
    assert keys.find("unknown") is None


def test_there_may_be_no_key_before() -> None:
    """A new deployment has one key."""
    assert len(_keys(json.dumps({"current": "n" * 64, "previous": ""})).published()) == 1


@pytest.mark.parametrize(
    "text",
    [
        "seed",
        "[]",
        "null",
        "{}",
        '{"current": ""}',
        '{"current": 5}',
        '{"current": null}',
        json.dumps({"current": "short"}),
        json.dumps({"current": "n" * 64, "previous": "short"}),
        json.dumps({"current": ["n" * 64]}),
    ],
)
def test_a_secret_of_another_shape_signs_nothing(text: str) -> None:
    """It fails with what is wrong, and repeats nothing of the secret."""
    with pytest.raises(SigningSecretError) as caught:
        _keys(text).sign({})
    assert "short" not in str(caught.value)
