"""Our own signing keys, out of one secret: `{"current": seed, "previous": seed or ""}`.

A seed is text of chance, which the deployment generates; the private key is derived from it, so that nobody ever has to
write the secret: no race for the first key, and no function that may change what is trusted. To rotate, an operator
writes a new value whose `previous` is the old `current`.

The key is found as FIPS 186-5, A.2.1 says: from more random bits than the order has (384 for 256), modulo the order
less one. Its `kid` is the thumbprint of RFC 7638.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.core.tokens import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.edge.secrets import Secrets

ALGORITHM = "ES256"
SHORTEST_SEED = 43  # characters: 256 bits, if they are letters and digits at random
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256
_BYTES = 32  # of a coordinate
_INFO = b"ai-nexus token signing key, ES256"


class SigningSecretError(Exception):
    """The secret does not hold what signing keys are made of; the message repeats nothing of it."""


class Key(NamedTuple):
    """One key pair."""

    private: ec.EllipticCurvePrivateKey
    jwk: Mapping[str, str]  # the public half

    def __repr__(self) -> str:
        """Show the public half."""
        return f"Key({self.jwk['kid']})"


class SigningKeys:
    """The pairs of the secret as it is now, kept until its text changes."""

    def __init__(self, secrets: Secrets, name: str) -> None:
        self._secrets = secrets
        self._name = name
        self._text = ""
        self._keys: list[Key] = []

    def find(self, kid: str) -> Mapping[str, Any] | None:
        """Return the public key called `kid`, of a secret read again (but seldom) if it is not known yet.

        Raises:
            AwsError: the secret cannot be read.
            SigningSecretError: it is not one of ours.
        """
        for read in (self._secrets.get, self._secrets.refresh):
            for key in self._read(read):
                if key.jwk["kid"] == kid:
                    return key.jwk
        return None

    def published(self) -> list[Mapping[str, str]]:
        """Return the public keys, the current one first; raises as `find` does."""
        return [key.jwk for key in self._read(self._secrets.get)]

    def sign(self, claims: Mapping[str, object]) -> str:
        """Return a token with these claims, signed with the current key; raises as `find` does."""
        current = self._read(self._secrets.get)[0]
        headers = {"kid": current.jwk["kid"], "typ": "at+jwt"}
        return jwt.encode(dict(claims), current.private, algorithm=ALGORITHM, headers=headers)

    def _read(self, how: Callable[[str], str]) -> list[Key]:
        text = how(self._name)
        if text != self._text:
            self._text, self._keys = text, [derive(seed) for seed in _seeds(text)]
        return self._keys


def derive(seed: str) -> Key:
    """Make the pair that belongs to a seed."""
    material = HKDF(algorithm=hashes.SHA512(), length=48, salt=None, info=_INFO).derive(seed.encode())
    private = ec.derive_private_key(int.from_bytes(material, "big") % (_ORDER - 1) + 1, ec.SECP256R1())
    point = private.public_key().public_numbers()
    x, y = (encode(number.to_bytes(_BYTES, "big")) for number in (point.x, point.y))
    needed = {"crv": "P-256", "kty": "EC", "x": x, "y": y}  # in the order of the alphabet, as RFC 7638 wants it
    kid = encode(hashlib.sha256(json.dumps(needed, separators=(",", ":")).encode()).digest())
    return Key(private, {**needed, "kid": kid, "use": "sig", "alg": ALGORITHM})


def _seeds(text: str) -> list[str]:
    try:
        found = json.loads(text)
        seeds = [found["current"], *filter(None, [found.get("previous")])]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SigningSecretError("The signing secret is no JSON object with a member called current.") from error
    if not all(isinstance(seed, str) and len(seed) >= SHORTEST_SEED for seed in seeds):
        raise SigningSecretError(f"A seed of the signing secret is no text of at least {SHORTEST_SEED} characters.")
    return seeds
