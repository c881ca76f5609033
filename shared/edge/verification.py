"""Whether a token is what its issuer signed. Loaded when the first token comes: cryptography costs a cold start dear.

The issuer that a token names picks among those configured, its `kid` among that issuer's keys; the key, not the token,
says which algorithms may be used with it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import jwt

from shared.core import claims, tokens
from shared.core.tokens import ALGORITHMS, BadToken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.core.claims import Issuer
    from shared.core.tokens import Token

_SMALLEST_RSA = 2048  # bits, NIST SP 800-131A
_BAD = "The token is not signed by a key of its issuer."


class Keys(Protocol):
    """The public keys of an issuer."""

    def find(self, kid: str) -> Mapping[str, Any] | None:
        """Return the JWK called `kid`, None if there is none."""


class Verifier(NamedTuple):
    """The issuers that are believed, by their exact names, each with its keys."""

    issuers: Mapping[str, tuple[Issuer, Keys]]
    now: Callable[[], float] = time.time

    def verify(self, text: str) -> tuple[Issuer, Mapping[str, Any]]:
        """Return who issued a token, and what it says.

        Raises:
            BadToken: it is refused.
            AwsError, SigningSecretError, JwksUnavailableError: the issuer's keys cannot be had now.
        """
        token = tokens.parse(text)
        named = token.claims.get("iss")
        if not isinstance(named, str) or named not in self.issuers:
            raise BadToken("The token is of an issuer that is not known here.")
        issuer, keys = self.issuers[named]
        if token.alg not in issuer.algorithms:
            raise BadToken("The token is not signed with an algorithm that is accepted.")
        claims.check(token.claims, issuer, self.now())  # first: it is cheap, and a late token costs no key
        _check_signature(token, keys.find(token.kid))
        return issuer, token.claims


def _check_signature(token: Token, jwk: Mapping[str, Any] | None) -> None:
    if jwk is None or not _suits(jwk, token.alg):
        raise BadToken(_BAD)
    try:
        key = jwt.PyJWK(dict(jwk), algorithm=token.alg)
        good = key.Algorithm.verify(token.signed, key.key, token.signature)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise BadToken(_BAD) from error
    if not good:
        raise BadToken(_BAD)


def _suits(jwk: Mapping[str, Any], alg: str) -> bool:
    """Tell whether a key may be used with an algorithm: by its type, its curve or size, and what it says itself."""
    kind, curve = ALGORITHMS[alg]
    if jwk.get("kty") != kind or jwk.get("crv", "") != curve or jwk.get("alg", alg) != alg:
        return False
    return kind != "RSA" or _bits(jwk.get("n")) >= _SMALLEST_RSA


def _bits(number: object) -> int:
    try:
        return int.from_bytes(tokens.decode(str(number)), "big").bit_length()
    except ValueError:
        return 0
