"""AWS Signature Version 4 in the two forms we send: signed headers, and the token that opens ElastiCache.

botocore is the judge of both in the tests; importing it would cost more than the whole authorizer.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALGORITHM = "AWS4-HMAC-SHA256"
_TOKEN_SECONDS = 900  # the longest that ElastiCache accepts
_NOTHING = hashlib.sha256(b"").hexdigest()


class Credentials(NamedTuple):
    """Whose signature it is; `token` belongs to temporary credentials, which a role's are."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        """Show whose they are and nothing that opens anything."""
        return f"Credentials({self.access_key!r}, ...)"


class Scope(NamedTuple):
    """What a signature is good for."""

    region: str
    service: str


def headers(
    credentials: Credentials,
    scope: Scope,
    host: str,
    body: bytes,
    named: Mapping[str, str],
    *,
    now: float,
    method: str = "POST",
    path: str = "/",
    query: str = "",
) -> dict[str, str]:
    """Return the headers of a signed request to `host`: those in `named` (lower case), and the signature's own.

    `path` is as it is sent, its parts escaped: every service but S3 wants them escaped once more where it is signed.
    `query` is sorted by name, and escaped. `now` is in epoch seconds; AWS refuses what is more than five minutes off
    its own clock.
    """
    stamp = _stamp(now)
    signed = {**named, "host": host, "x-amz-date": stamp}
    if credentials.token:
        signed["x-amz-security-token"] = credentials.token
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{' '.join(signed[name].split())}\n" for name in sorted(signed))
    place = path if scope.service == "s3" else quote(path, safe="/-_.~")
    request = f"{method}\n{place}\n{query}\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    signature = _sign(credentials, scope, stamp, request)
    claim = f"{credentials.access_key}/{_reach(scope, stamp)}"
    signed["authorization"] = f"{_ALGORITHM} Credential={claim}, SignedHeaders={names}, Signature={signature}"
    return signed


def elasticache_token(credentials: Credentials, region: str, cache: str, user: str, now: float) -> str:
    """Return the password with which `user` may connect to the serverless `cache` for 15 minutes."""
    scope = Scope(region, "elasticache")
    stamp = _stamp(now)
    query = {
        "Action": "connect",
        "User": user,
        "ResourceType": "ServerlessCache",
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key}/{_reach(scope, stamp)}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(_TOKEN_SECONDS),
        "X-Amz-SignedHeaders": "host",
    }
    if credentials.token:
        query["X-Amz-Security-Token"] = credentials.token
    text = "&".join(f"{_escape(name)}={_escape(query[name])}" for name in sorted(query))
    signature = _sign(credentials, scope, stamp, f"GET\n/\n{text}\nhost:{cache}\n\nhost\n{_NOTHING}")
    return f"{cache}/?{text}&X-Amz-Signature={signature}"


def _sign(credentials: Credentials, scope: Scope, stamp: str, request: str) -> str:
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = f"{_ALGORITHM}\n{stamp}\n{_reach(scope, stamp)}\n{digest}"
    return _hmac(_key(credentials.secret_key, stamp[:8], scope), text).hex()


@lru_cache(maxsize=8)
def _key(secret: str, day: str, scope: Scope) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, scope.region, scope.service, "aws4_request"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _reach(scope: Scope, stamp: str) -> str:
    return f"{stamp[:8]}/{scope.region}/{scope.service}/aws4_request"


def _stamp(now: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))


def _escape(text: str) -> str:
    return quote(text, safe="-_.~")
