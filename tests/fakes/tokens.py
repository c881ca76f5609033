"""Issuers that sign whatever a test wants, ours and two others, and the authorizer that knows them."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from functions.authorizer import Authorizer
from functions.bearer import Bearers
from shared.core import claims
from shared.core.claims import Issuer, Rule
from shared.core.principals import Principal
from shared.core.tokens import encode
from shared.edge.aws import AwsUnavailableError
from shared.edge.jwks import Jwks, JwksUnavailableError
from shared.edge.signing import SigningKeys, derive
from shared.edge.users import UserRecord
from shared.edge.verification import Verifier

NOW: Final = 1_750_000_000
OURS: Final = "https://nexus.example"
THEIRS: Final = "https://login.example/t1"
JWKS: Final = "https://login.example/t1/keys"
ARN: Final = "arn:aws:execute-api:us-east-1:123456789012:abc123/prod/POST/v1/chat/completions"
SEED, OLD_SEED, LOST_SEED = "c" * 64, "p" * 64, "x" * 64
KID: Final = derive(SEED).jwk["kid"]
OKTA: Final = Issuer(
    "okta",
    THEIRS,
    "api://nexus",
    JWKS,
    ("RS256", "ES256"),
    role=Rule("groups", {"admins": "admin", "devs": "developer"}),
    team=Rule("groups", {"blue-team": "blue"}),
    tier=Rule("plan", {"gold": "pro"}, "free"),
)
ALICE: Final = UserRecord("alice", "default", "developer", "pro", disabled=False, team="red", models=("simulated",))


class Vault:
    """`Secrets` with one secret in memory; counts how often it is read anew."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.kept = text
        self.refreshed = 0

    def get(self, _name: str) -> str:
        """Return what was read last; there may be nothing."""
        if not self.kept:
            raise AwsUnavailableError("secretsmanager", "Cut", "the line is cut")
        return self.kept

    def refresh(self, _name: str) -> str:
        """Read anew."""
        self.refreshed += 1
        self.kept = self.text
        return self.kept


@dataclass
class Provider:
    """An identity provider: its keys, and every address that was asked for; it may be down."""

    document: bytes = b""
    asked: list[str] = field(default_factory=list)
    down: bool = False

    def fetch(self, url: str) -> bytes:
        """Serve the keys."""
        self.asked.append(url)
        if self.down:
            raise JwksUnavailableError("down")
        return self.document


@cache
def rsa_key(number: int, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return an RSA key, the same for the same `number`."""
    assert number >= 0
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(curve: str = "P-256") -> ec.EllipticCurvePrivateKey:
    """Return the provider's elliptic key."""
    return ec.generate_private_key(ec.SECP256R1() if curve == "P-256" else ec.SECP384R1())


def number(value: int) -> str:
    """Write a number as a JWK does."""
    return encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def rsa_jwk(key: rsa.RSAPrivateKey, **more: str) -> dict[str, str]:
    """Return the public half as a JWK."""
    public = key.public_key().public_numbers()
    return {"kty": "RSA", "n": number(public.n), "e": number(public.e), "use": "sig", **more}


def ec_jwk(key: ec.EllipticCurvePrivateKey, **more: str) -> dict[str, str]:
    """Return the public half as a JWK."""
    public = key.public_key().public_numbers()
    size = (key.curve.key_size + 7) // 8
    x, y = (encode(value.to_bytes(size, "big")) for value in (public.x, public.y))
    return {"kty": "EC", "crv": f"P-{key.curve.key_size}", "x": x, "y": y, **more}


def pem(key: rsa.RSAPrivateKey) -> bytes:
    """Return the public half as anyone can have it: the secret of a key confusion."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def der(key: rsa.RSAPrivateKey) -> bytes:
    """Return the public half in binary."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def part(value: Any) -> str:
    """Encode a header or claims; text is taken as it is."""
    return encode((value if isinstance(value, str) else json.dumps(value)).encode())


def es256(signed: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Sign."""
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def rs256(signed: bytes, key: rsa.RSAPrivateKey) -> bytes:
    """Sign."""
    return key.sign(signed, padding.PKCS1v15(), hashes.SHA256())


def hs256(signed: bytes, secret: bytes) -> bytes:
    """Sign as the attacker does who takes a public key for a shared secret."""
    return hmac.digest(secret, signed, hashlib.sha256)


def ours(**changes: Any) -> dict[str, Any]:
    """Claims of a good token of our own; a change to `...` leaves a claim out."""
    good = {"iss": OURS, "aud": "ai-nexus", "sub": "alice", "org": "default", "kind": "user"}
    return _changed({**good, "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 3590, "jti": "1"}, changes)


def theirs(**changes: Any) -> dict[str, Any]:
    """Claims of a good token of the other issuer."""
    good = {"iss": THEIRS, "aud": "api://nexus", "sub": "00u1", "groups": ["everyone", "devs", "blue-team"]}
    return _changed({**good, "iat": NOW - 10, "exp": NOW + 3590}, changes)


def _changed(good: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (good | changes).items() if value is not ...}


def token(said: Any, header: dict[str, Any] | str | None = None, *, seed: str = SEED) -> str:
    """Sign with one of our keys; `header` adds to the good one, or is another as text."""
    key = derive(seed)
    good = {"alg": "ES256", "kid": key.jwk["kid"], "typ": "at+jwt"}
    signed = f"{part(header if isinstance(header, str) else _changed(good, header or {}))}.{part(said)}"
    return f"{signed}.{encode(es256(signed.encode(), key.private))}"


def foreign(said: Any, header: dict[str, Any] | None = None, *, key: int = 0) -> str:
    """Sign with the other issuer's RSA key, or with a stranger's (`key` 1)."""
    signed = f"{part(_changed({'alg': 'RS256', 'kid': 'rsa-1', 'typ': 'JWT'}, header or {}))}.{part(said)}"
    return f"{signed}.{encode(rs256(signed.encode(), rsa_key(key)))}"


class Gate:
    """The authorizer with its issuers; nothing of it is a stand-in but the stores and the network."""

    def __init__(self, *users: UserRecord) -> None:
        self.vault = Vault(json.dumps({"current": SEED, "previous": OLD_SEED}))
        known = [rsa_jwk(rsa_key(0), kid="rsa-1", alg="RS256"), ec_jwk(ec_key(), kid="ec-1")]
        self.provider = Provider(json.dumps({"keys": known}).encode())
        self.users = {(user.org, user.id): user for user in users or (ALICE,)}
        issuers: Any = {
            OURS: (claims.own(OURS), SigningKeys(self.vault, "signing")),  # type: ignore[arg-type]
            THEIRS: (OKTA, Jwks(JWKS, self.provider.fetch, lambda: NOW)),
        }
        bearers = Bearers(Verifier(issuers, lambda: NOW), lambda *who: self.users.get(who), self._key)
        self.authorizer = Authorizer(lambda *_: None, lambda: "pepper", "stack", lambda: NOW, lambda: bearers)

    def _key(self, org: str, key_id: str, secret: str) -> Principal:
        return Principal(key_id, org, "service", "free", (), 0, secret=secret)

    def verdict(self, text: str, header: str = "Authorization") -> dict[str, Any]:
        """Ask about a request that carries `text`."""
        value = f"Bearer {text}" if header == "Authorization" else text
        return self.authorizer.verdict({"methodArn": ARN, "headers": {header: value}})
