"""A token is taken apart only if it has one form and one meaning; what it says of keys is a name and nothing more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.tokens import LONGEST, BadToken, decode, encode, parse
from tests.fakes.tokens import part

HEADER = {"alg": "ES256", "kid": "k"}


def made(header: Any = HEADER, said: Any = None, signature: str = "c2ln") -> str:
    """Put a token together."""
    return f"{part(header)}.{part({'sub': 'a'} if said is None else said)}.{signature}"


def test_is_taken_apart() -> None:
    """Algorithm, key and claims; what was signed, and the signature, as bytes."""
    text = made()
    token = parse(text)
    assert (token.alg, token.kid, token.claims) == ("ES256", "k", {"sub": "a"})
    assert token.signed + b"." + encode(token.signature).encode() == text.encode()


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
def test_a_type_has_no_case(kind: str) -> None:
    """RFC 7515, 4.1.9."""
    assert parse(made({**HEADER, "typ": kind}))


def test_members_that_mean_nothing_here_are_passed_over() -> None:
    """RFC 7515, 4: Entra sends a thumbprint, for one."""
    assert parse(made({**HEADER, "x5t": "abc", "nonce": "1"})).kid == "k"


@pytest.mark.parametrize("alg", ["none", "HS256", "HS384", "HS512", "ES256K", "es256", "", None, 5, ["ES256"], {}])
def test_other_algorithms_are_none(alg: object) -> None:
    """Symmetric ones, unknown ones, and what is no name."""
    with pytest.raises(BadToken, match="algorithm"):
        parse(made({**HEADER, "alg": alg}))


@pytest.mark.parametrize("kid", ["", "a b", "a\n", "a\0", "\u212a", "k" * 201, None, 5, ["k"], {}])
def test_a_key_is_named_in_plain_signs(kid: object) -> None:
    """Printable ASCII without spaces, 200 at most."""
    with pytest.raises(BadToken, match="which key"):
        parse(made({**HEADER, "kid": kid}))


def test_a_long_text_is_not_looked_at() -> None:
    """The longest that is: 8,192 characters."""
    room = LONGEST - len(made(signature=""))
    assert parse(made(signature="A" * (room - room % 4)))
    with pytest.raises(BadToken):
        parse(made(signature="A" * (room + 4)))


@given(st.binary())
def test_bytes_have_one_spelling(data: bytes) -> None:
    """What is written is read back; with another last sign it is no spelling of anything."""
    text = encode(data)
    assert not data or decode(text) == data
    for spoiled in (f"{text}=", f"{text}\n", f" {text}", text.replace("-", "+") + "+"):
        with pytest.raises(ValueError, match="base64url"):
            decode(spoiled)


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    """Whatever it is, it is refused in words."""
    for whole in (text, f"{text}.{text}.{text}", made(f"x{text}"), made(HEADER, f"x{text}")):
        with pytest.raises(BadToken):
            parse(whole)
