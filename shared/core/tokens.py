"""JWTs before any cryptography: what is not a plain, signed, unambiguous token is refused before a key is looked for.

Nothing of a token says where a key comes from or what an algorithm means: `kid` picks among keys that are known, and a
header that would point elsewhere (`jku`, `x5u`, `jwk`, `x5c`) or change the rules (`crit`, `b64`, `zip`) refuses it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST = 8192  # characters; API Gateway takes 10,240 bytes of headers in all
ALGORITHMS: Mapping[str, tuple[str, str]] = {  # asymmetric ones only: type of the key, and its curve if it has one
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
    "PS256": ("RSA", ""),
    "PS384": ("RSA", ""),
    "PS512": ("RSA", ""),
    "RS256": ("RSA", ""),
    "RS384": ("RSA", ""),
    "RS512": ("RSA", ""),
}
_REFUSED = frozenset({"b64", "crit", "cty", "enc", "jku", "jwk", "x5c", "x5u", "zip"})
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})  # RFC 7519 and RFC 9068
_PART = re.compile(r"[A-Za-z0-9_-]+")
_KID = re.compile(r"[!-~]{1,200}")  # printable ASCII


class BadToken(Exception):  # noqa: N818 - a verdict
    """The token is refused; the message is for its sender: plain words, nothing of the token in them."""


class Token(NamedTuple):
    """A token whose form is good and whose signature nobody has looked at: believe nothing of it."""

    text: str
    alg: str
    kid: str
    claims: Mapping[str, Any]

    @property
    def signed(self) -> bytes:
        """The bytes that the signature is over."""
        return self.text.rpartition(".")[0].encode()

    @property
    def signature(self) -> bytes:
        """The signature itself."""
        return _bytes(self.text.rpartition(".")[2])


def parse(text: str) -> Token:
    """Take a token apart.

    Raises:
        BadToken: it is none, or has what no good token has.
    """
    parts = text.split(".") if len(text) <= LONGEST else []
    if len(parts) != 3:  # noqa: PLR2004 - JWS, compact
        raise BadToken("The token is malformed.")
    header, claims = _object(parts[0]), _object(parts[1])
    _bytes(parts[2])
    if not _REFUSED.isdisjoint(header):
        raise BadToken("The header of the token has a member that is not accepted.")
    alg, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(alg, str) or alg not in ALGORITHMS:
        raise BadToken("The token is not signed with an algorithm that is accepted.")
    if not isinstance(kid, str) or not _KID.fullmatch(kid):
        raise BadToken("The token does not say which key it was signed with.")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise BadToken("The token is not of a type that is accepted.")
    return Token(text, alg, kid, claims)


def decode(part: str) -> bytes:
    """Return what base64url without padding means, in the one spelling that it has.

    Raises:
        ValueError: it is something else.
    """
    if not _PART.fullmatch(part):
        raise ValueError("This is no base64url.")
    found = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if encode(found) != part:
        raise ValueError("This is base64url in a second spelling.")
    return found


def encode(data: bytes) -> str:
    """Write bytes in base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(part: str) -> bytes:
    try:
        return decode(part)
    except (ValueError, binascii.Error) as error:
        raise BadToken("The token is malformed.") from error


def _object(part: str) -> dict[str, Any]:
    try:
        found = json.loads(_bytes(part).decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadToken("The token is malformed.") from error
    if not isinstance(found, dict):
        raise BadToken("The token is malformed.")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that says something twice: two readers could believe two things."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("A member stands twice.")
    return found


def _refuse(_constant: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON.")
