"""Signatures: botocore signs the same request, and the two must agree to the byte."""

from __future__ import annotations

import calendar
import time
from urllib.parse import parse_qs, quote, urlsplit

from botocore import auth, awsrequest
from botocore import credentials as botocore_credentials
from hypothesis import given
from hypothesis import strategies as st

from shared.edge.sigv4 import Credentials, Scope, elasticache_token, headers

WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)
SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
ACCESS = st.text("ABCDEFGHIJ234567", min_size=1, max_size=20)
CREDENTIALS = st.builds(Credentials, access_key=ACCESS, secret_key=SECRETS, token=st.none() | SECRETS)
SCOPES = st.builds(Scope, region=WORDS, service=WORDS)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(str.strip)
HEADERS = st.dictionaries(WORDS.map(lambda name: f"x-{name}"), VALUES, max_size=4)


def _seconds(stamp: str) -> int:
    return calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))


@given(credentials=CREDENTIALS, scope=SCOPES, host=WORDS, body=st.binary(max_size=50), named=HEADERS)
def test_signs_a_call_as_botocore_does(
    credentials: Credentials, scope: Scope, host: str, body: bytes, named: dict[str, str]
) -> None:
    """Any credentials, region, service, host, body and headers: the same Authorization header."""
    request = awsrequest.AWSRequest("POST", f"http://{host}/", headers=named, data=body)
    judge = auth.SigV4Auth(botocore_credentials.Credentials(*credentials), scope.service, scope.region)
    judge.add_auth(request)
    signed = headers(credentials, scope, host, body, named, now=_seconds(request.headers["X-Amz-Date"]))
    assert signed["authorization"] == request.headers["Authorization"]
    assert signed.get("x-amz-security-token") == request.headers.get("X-Amz-Security-Token")


@given(credentials=CREDENTIALS, scope=SCOPES, parts=st.lists(VALUES.filter(bool), min_size=1, max_size=3))
def test_signs_any_path_as_botocore_does(credentials: Credentials, scope: Scope, parts: list[str]) -> None:
    """Its parts are escaped when it is sent, and once more when it is signed."""
    path = "".join("/" + quote(part, safe="") for part in parts if part not in {".", ".."}) or "/"
    request = awsrequest.AWSRequest("POST", f"http://host{path}", data=b"x")
    judge = auth.SigV4Auth(botocore_credentials.Credentials(*credentials), scope.service, scope.region)
    judge.add_auth(request)
    signed = headers(credentials, scope, "host", b"x", {}, now=_seconds(request.headers["X-Amz-Date"]), path=path)
    assert signed["authorization"] == request.headers["Authorization"]


@given(credentials=CREDENTIALS, region=WORDS, cache=WORDS, user=WORDS)
def test_presigns_elasticache_tokens_as_botocore_does(
    credentials: Credentials, region: str, cache: str, user: str
) -> None:
    """The token is botocore's presigned URL without its scheme."""
    url = f"http://{cache}/?Action=connect&User={user}&ResourceType=ServerlessCache"
    request = awsrequest.AWSRequest("GET", url)
    known = botocore_credentials.Credentials(*credentials)
    auth.SigV4QueryAuth(known, "elasticache", region, expires=900).add_auth(request)
    theirs = parse_qs(urlsplit(str(request.url)).query)
    ours = elasticache_token(credentials, region, cache, user, now=_seconds(theirs["X-Amz-Date"][0]))
    assert ours.startswith(f"{cache}/?Action=connect&")
    assert parse_qs(urlsplit(f"http://{ours}").query) == theirs


def test_shows_no_secret_of_credentials() -> None:
    """What a log or a trace would print of them opens nothing."""
    assert repr(Credentials("AKIA1", "hidden-secret", "hidden-token")) == "Credentials('AKIA1', ...)"
