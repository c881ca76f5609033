"""Tokens that attackers send: each is refused in the one form of refusals, fetches nothing, and breaks nothing."""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest

from shared.core.tokens import decode, encode
from shared.edge.signing import derive
from tests.fakes import tokens as t
from tests.fakes.tokens import KID, LOST_SEED, NOW, OURS, THEIRS, Gate, foreign, ours, part, theirs, token

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAIN = re.compile(r"[ !#-\[\]-~]+")  # printable ASCII without quotes and backslashes
GOOD = token(ours())
HEADER, CLAIMS, SIGNATURE = GOOD.split(".")
CANARY = "https://127.0.0.1:{port}/keys"  # filled in with the port of a listener that nobody may call
ATTACKER = t.rsa_jwk(t.rsa_key(1), kid="rsa-1")
INFINITY = json.dumps(ours(exp=0)).replace('"exp": 0', '"exp": Infinity')
HUGE = json.dumps(ours(exp=0)).replace('"exp": 0', '"exp": 1e400')
DIGITS = json.dumps(ours(exp=0)).replace('"exp": 0', f'"exp": {"9" * 5000}')
TWICE = json.dumps(ours())[:-1] + ', "sub": "root"}'
MARKED = b"\xef\xbb\xbf" + json.dumps(ours()).encode()
LATIN = b'{"sub":"\xff"}'
DEEP = '{"iss":' + "[" * 2500


def confused(secret: bytes) -> str:
    """Sign with a public key as if it were a shared secret."""
    signed = f"{part({'alg': 'HS256', 'kid': 'rsa-1'})}.{part(theirs())}"
    return f"{signed}.{encode(t.hs256(signed.encode(), secret))}"


def by_stranger(header: dict[str, Any]) -> str:
    """Sign with the attacker's own key, and have the header say where to find it."""
    return foreign(theirs(), header, key=1)


def unsigned(alg: Any, signature: str = "") -> str:
    """Leave the signature out."""
    return f"{part({'alg': alg, 'kid': KID})}.{CLAIMS}.{signature}"


HOSTILE = {
    # no signature
    "none": unsigned("none"),
    "None": unsigned("None"),
    "nOnE": unsigned("nOnE"),
    "none, with a signature": unsigned("none", SIGNATURE),
    "alg empty": unsigned("", SIGNATURE),
    "alg null": unsigned(None, SIGNATURE),
    "alg a list": unsigned(["ES256"], SIGNATURE),
    "alg a number": unsigned(256, SIGNATURE),
    "alg missing": token(ours(), {"alg": ...}),
    "alg with a space": unsigned("ES256 ", SIGNATURE),
    "alg in lower case": unsigned("es256", SIGNATURE),
    "signature cut off": f"{HEADER}.{CLAIMS}.",
    "signature of zeros": f"{HEADER}.{CLAIMS}.{encode(bytes(64))}",
    "signature of zeros in DER": f"{HEADER}.{CLAIMS}.{encode(bytes.fromhex('3006020100020100'))}",
    "signature one byte short": f"{HEADER}.{CLAIMS}.{encode(decode(SIGNATURE)[:-1])}",
    "signature one byte long": f"{HEADER}.{CLAIMS}.{encode(decode(SIGNATURE) + bytes(1))}",
    "signature of another token": f"{HEADER}.{part(ours(sub='root'))}.{SIGNATURE}",
    "signature in a second spelling": GOOD[:-1] + chr(ord(GOOD[-1]) + 1),
    "signature with padding": f"{GOOD}==",
    "signed by a key that was never ours": token(ours(), seed=LOST_SEED),
    "signed by a lost key under our kid": token(ours(), {"kid": KID}, seed=LOST_SEED),
    # keys confused
    "HS256 with the public key in PEM": confused(t.pem(t.rsa_key(0))),
    "HS256 with the PEM, stripped": confused(t.pem(t.rsa_key(0)).strip()),
    "HS256 with the public key in DER": confused(t.der(t.rsa_key(0))),
    "HS256 with the modulus": confused(t.rsa_jwk(t.rsa_key(0))["n"].encode()),
    "HS256 with nothing": confused(b""),
    "RS256 under the kid of an elliptic key": foreign(theirs(), {"kid": "ec-1"}),
    "RS256 in our name": foreign(ours(), {"kid": KID}),
    "their key in our name": foreign(ours()),
    "our key in their name": token(theirs()),
    "PS256 with an RS256 key": foreign(theirs(), {"alg": "PS256"}),
    "RS512 that was not configured": foreign(theirs(), {"alg": "RS512"}),
    "signed by a stranger": foreign(theirs(), key=1),
    # keys named by the token
    "kid missing": token(ours(), {"kid": ...}),
    "kid empty": token(ours(), {"kid": ""}),
    "kid null": token(ours(), {"kid": None}),
    "kid a list": token(ours(), {"kid": [KID]}),
    "kid an object": token(ours(), {"kid": {"$ne": ""}}),
    "kid a path": token(ours(), {"kid": "../../../../dev/null"}),
    "kid SQL": token(ours(), {"kid": "x' UNION SELECT 'secret'--"}),
    "kid a command": token(ours(), {"kid": "|/bin/true"}),
    "kid with a new line": token(ours(), {"kid": f"{KID}\nx-role: admin"}),
    "kid with a NUL": token(ours(), {"kid": f"{KID}\0"}),
    "kid of 5000 signs": token(ours(), {"kid": "k" * 5000}),
    "kid an address": by_stranger({"kid": CANARY}),
    "jku": by_stranger({"jku": CANARY}),
    "x5u": by_stranger({"x5u": CANARY}),
    "jku beside a good signature": token(ours(), {"jku": CANARY}),
    "jwk": by_stranger({"jwk": ATTACKER}),
    "jwk beside a good signature": token(ours(), {"jwk": derive(t.SEED).jwk}),
    "x5c": by_stranger({"x5c": ["MIIB"]}),
    "issuer an address": token(ours(iss=CANARY)),
    # rules changed by the token
    "crit": token(ours(), {"crit": ["exp"]}),
    "crit empty": token(ours(), {"crit": []}),
    "b64 false": token(ours(), {"b64": False, "crit": ["b64"]}),
    "zip": token(ours(), {"zip": "DEF"}),
    "cty JWT": token(ours(), {"cty": "JWT"}),
    "typ of a logout token": token(ours(), {"typ": "logout+jwt"}),
    "typ a number": token(ours(), {"typ": 1}),
    # times
    "expired": token(ours(exp=NOW - 31)),
    "expired, theirs": foreign(theirs(exp=NOW - 31)),
    "exp missing": token(ours(exp=...)),
    "exp null": token(ours(exp=None)),
    "exp text": token(ours(exp=str(NOW + 60))),
    "exp true": token(ours(exp=True)),
    "exp a fraction": token(ours(exp=NOW + 60.5)),
    "exp negative": token(ours(exp=-1)),
    "exp infinite": token(INFINITY),
    "exp 1e400": token(HUGE),
    "exp of 5000 digits": token(DIGITS),
    "exp beyond a double": token(ours(exp=2**63)),
    "exp in a hundred years": token(ours(exp=NOW + 100 * 365 * 86_400)),
    "nbf to come": token(ours(nbf=NOW + 31)),
    "nbf text": token(ours(nbf="now")),
    "nbf null": token(ours(nbf=None)),
    "iat to come": token(ours(iat=NOW + 31)),
    "iat missing": token(ours(iat=...)),
    "iat a list": token(ours(iat=[NOW])),
    # issuers
    "iss missing": token(ours(iss=...)),
    "iss a list": token(ours(iss=[OURS])),
    "iss with a slash more": token(ours(iss=f"{OURS}/")),
    "iss that only begins so": token(ours(iss=f"{OURS}.attacker.example")),
    "iss that only ends so": token(ours(iss=f"https://attacker.example/{OURS}")),
    "iss in upper case": token(ours(iss=OURS.upper())),
    "iss of another tenant": foreign(theirs(iss=THEIRS.replace("t1", "t2"))),
    "iss an object": token(ours(iss={OURS: 1})),
    # audiences
    "aud missing": token(ours(aud=...)),
    "aud empty": token(ours(aud="")),
    "aud an empty list": token(ours(aud=[])),
    "aud that only contains ours": token(ours(aud="not-ai-nexus-at-all")),
    "aud a part of ours": token(ours(aud="nexus")),
    "aud an object": token(ours(aud={"ai-nexus": True})),
    "aud a list of lists": token(ours(aud=[["ai-nexus"]])),
    "aud a list with a number": token(ours(aud=["ai-nexus", 1])),
    "aud of another client": foreign(theirs(aud="another-app")),
    "aud of the wrong issuer": foreign(theirs(aud="ai-nexus")),
    # holders
    "sub missing": token(ours(sub=...)),
    "sub empty": token(ours(sub="")),
    "sub an object": token(ours(sub={"id": "alice"})),
    "sub a list": token(ours(sub=["alice"])),
    "sub with a new line": token(ours(sub="alice\nroot")),
    "sub of 5000 signs": token(ours(sub="a" * 5000)),
    "sub nobody": token(ours(sub="mallory")),
    "sub of another organization": token(ours(org="other")),
    "sub too long for a name": foreign(theirs(sub="a" * 129)),
    "no role": foreign(theirs(groups=["everyone"])),
    "a role that only begins so": foreign(theirs(groups=["admins-of-another-app"])),
    "roles as one text": foreign(theirs(groups="everyone admins")),
    "roles as an object": foreign(theirs(groups={"admins": True})),
    "our role in a claim of theirs": foreign(theirs(groups=[], role="admin")),
    # forms
    "claims twice": token(TWICE),
    "header twice": token(ours(), f'{{"alg":"none","alg":"ES256","kid":"{KID}"}}'),
    "claims a list": token([ours()]),
    "claims a text": token('"alice"'),
    "claims null": token("null"),
    "claims in UTF-16": f"{HEADER}.{encode(json.dumps(ours()).encode('utf-16'))}.{SIGNATURE}",
    "claims with a byte order mark": f"{HEADER}.{encode(MARKED)}.{SIGNATURE}",
    "claims no UTF-8": f"{HEADER}.{encode(LATIN)}.{SIGNATURE}",
    "claims deep": f"{HEADER}.{part(DEEP)}.{SIGNATURE}",
    "claims no base64": f"{HEADER}.***.{SIGNATURE}",
    "claims in the other base64": f"{HEADER}.{CLAIMS}+/.{SIGNATURE}",
    "claims empty": f"{HEADER}..{SIGNATURE}",
    "header empty": f".{CLAIMS}.{SIGNATURE}",
    "header no JSON": f"{part('alg')}.{CLAIMS}.{SIGNATURE}",
    "two parts": f"{HEADER}.{CLAIMS}",
    "four parts": f"{GOOD}.{SIGNATURE}",
    "five parts, encrypted": f"{part({'alg': 'dir', 'enc': 'A256GCM'})}....",
    "dots alone": "..",
    "in JSON": json.dumps({"payload": CLAIMS, "protected": HEADER, "signature": SIGNATURE}),
    "too long": token(ours(padding="x" * 8000)),
    "with a space within": GOOD.replace(".", ". ", 1),
    "with a new line at its end": f"{GOOD}\n.",
    "twice": f"{GOOD},{GOOD}",
    "as a key": f"nexus_{GOOD}",
}


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port that tokens point to and that nobody may call."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        opened.setblocking(False)
        yield opened


def refused(gate: Gate, text: str, header: str = "Authorization") -> None:
    """Hold a verdict to the one form of a refusal."""
    verdict = gate.verdict(text, header)
    assert verdict["policyDocument"]["Statement"][0]["Effect"] == "Deny"
    assert "usageIdentifierKey" not in verdict
    assert verdict["context"].keys() == {"message", "code"}
    assert verdict["context"]["code"] == "invalid_api_key"
    assert PLAIN.fullmatch(verdict["context"]["message"])
    assert not any(piece in json.dumps(verdict) for piece in text.split(".") if len(piece) > 10)


def test_the_list_is_long_and_its_tokens_differ() -> None:
    """No case is there twice by accident, and the untouched token would get in."""
    assert len(HOSTILE) > 60
    assert len(set(HOSTILE.values())) == len(HOSTILE)
    for good in (GOOD, foreign(theirs())):
        assert Gate().verdict(good)["policyDocument"]["Statement"][0]["Effect"] == "Allow"


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_token_is_refused(text: str, listener: socket.socket) -> None:
    """Whatever it is, it gets 401 in plain words, and nothing is called but the one configured address, once."""
    if CANARY in json.dumps([part_of(piece) for piece in text.split(".")[:2]]):
        text = aimed(text, listener)
    gate = Gate()
    refused(gate, text)
    refused(gate, text, "x-api-key")
    assert set(gate.provider.asked) <= {t.JWKS}
    assert len(gate.provider.asked) <= 1
    with pytest.raises(BlockingIOError):
        listener.accept()


def part_of(piece: str) -> str:
    """Read a part of a token as text, where it is one."""
    try:
        return decode(piece).decode()
    except ValueError:
        return ""


def aimed(text: str, listener: socket.socket) -> str:
    """Point a token to the listener, and sign it again with the key that it was signed with."""
    header, said = (json.loads(part_of(piece)) for piece in text.split(".")[:2])
    where = json.dumps([header, said]).replace("{port}", str(listener.getsockname()[1]))
    header, said = json.loads(where)
    return foreign(said, header, key=1) if header["alg"] == "RS256" else token(said, header)
