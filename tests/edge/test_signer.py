"""Requests to AWS leave with the region they belong to, and with the signature that botocore would make."""

from __future__ import annotations

import calendar
import time
from functools import partial

from botocore import auth, awsrequest
from botocore import credentials as botocore_credentials

from shared.edge.signer import Signer
from shared.edge.sigv4 import Credentials
from shared.providers.adapter import HttpRequest, Signing

CREDENTIALS = Credentials("AKIA1", "secret", "token")
URL = "https://bedrock-runtime.{region}.amazonaws.com/model/us.anthropic.claude-1%3A0/converse"
OWN = {"content-type": "application/json", "accept": "application/json", "user-agent": "ai-nexus"}


def test_a_request_is_signed_for_where_it_goes() -> None:
    """In the target's region if it has one, else in our own; what is not signed stays as it was."""
    for region in ("eu-west-1", ""):
        where = region or "eu-central-1"
        theirs = awsrequest.AWSRequest(
            "POST", URL.replace("{region}", where), headers={"content-type": "application/json"}, data=b"{}"
        )
        known = botocore_credentials.Credentials(*CREDENTIALS)
        auth.SigV4Auth(known, "bedrock", where).add_auth(theirs)
        now = calendar.timegm(time.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ"))
        signer = Signer("eu-central-1", lambda: CREDENTIALS, clock=partial(float, now))
        made = signer.complete(HttpRequest(URL, OWN, b"{}", signing=Signing("bedrock", region)))
        assert made.url == theirs.url
        assert made.headers["authorization"] == theirs.headers["Authorization"]
        assert made.headers["x-amz-security-token"] == "token"
        assert made.headers.items() >= OWN.items()
        assert "host" not in made.headers


def test_other_requests_pass() -> None:
    """They are complete; nobody is asked for credentials."""

    def nobody() -> Credentials:
        raise AssertionError

    request = HttpRequest("https://api.openai.com/v1/chat/completions", OWN, b"{}")
    assert Signer("eu-central-1", nobody).complete(request) is request
    keyed = HttpRequest(URL, {**OWN, "authorization": "Bearer k"}, b"{}")
    assert Signer("eu-central-1", nobody).complete(keyed).url == URL.replace("{region}", "eu-central-1")
