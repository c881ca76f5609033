"""Google's token exchange and the writer of identity tokens, on loopback, as strict as the real ones could be.

What is to prove the role is verified as AWS would: botocore computes the signature again.
"""

from __future__ import annotations

import base64
import calendar
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

if TYPE_CHECKING:
    from tests.functions.plane.upstream import Request, Wire

POOL = "projects/123456789/locations/global/workloadIdentityPools/aws/providers/nexus"
ACCOUNT = "caller@project.iam.gserviceaccount.com"
TARGET = f"//iam.googleapis.com/{POOL}"
FORM = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "audience": TARGET,
    "scope": "https://www.googleapis.com/auth/cloud-platform",
    "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
    "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
}
SENT = {"Authorization", "host", "x-amz-date", "x-amz-security-token", "x-goog-cloud-target-resource"}
IDENTITY_PATH = f"/v1/projects/-/serviceAccounts/{ACCOUNT}:generateIdToken"


def token(audience: str, number: int, ends: float) -> str:
    """Write an identity token that nobody has signed."""
    claims = {"aud": audience, "email": ACCOUNT, "exp": int(ends), "iat": number}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJSUzI1NiJ9.{payload}.signature-{number}"


@dataclass
class Google:
    """Both endpoints; `now` is its clock, `life` that of its tokens, both in seconds."""

    credentials: tuple[str, str, str] = ("a", "s", "t")
    region: str = "eu-central-1"
    scope: str = FORM["scope"]
    bound: bool = True  # the target is signed too, as google-auth does not
    now: float = field(default_factory=time.time)
    life: float = 3600
    faults: list[str] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def answer(self, wire: Wire, request: Request) -> None:
        """Answer either of the two calls; one that is wrong is refused, and `faults` says why."""
        self.asked.append(request.path)
        if request.path == "/v1/token":
            fault = self._exchange_fault(request)
            found: dict[str, Any] = {
                "access_token": f"ya29.{len(self.asked)}",
                "token_type": "Bearer",
                "expires_in": 3600,
            }
            refusal: dict[str, Any] = {"error": "invalid_grant", "error_description": "secret s, account 123"}
        else:
            fault = self._identity_fault(request)
            audience = "" if fault else request.json["audience"]
            found = {"token": token(audience, len(self.issued) + 1, self.now + self.life)}
            refusal = {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "no secrets, please"}}
        if fault:
            self.faults.append(fault)
            return wire.answer(json.dumps(refusal).encode(), "400 Bad Request")
        if "token" in found:
            self.issued.append(found["token"])
        return wire.answer(json.dumps(found).encode())

    def _exchange_fault(self, request: Request) -> str:
        if request.headers.get("content-type") != "application/x-www-form-urlencoded":
            return "the exchange is a form"
        form = parse_qs(request.body.decode(), strict_parsing=True)
        [subject] = form.pop("subject_token")
        if form != {name: [value] for name, value in {**FORM, "scope": self.scope}.items()}:
            return f"another form: {form}"
        return self._subject_fault(json.loads(unquote(subject)))

    def _subject_fault(self, signed: dict[str, Any]) -> str:
        url = f"https://sts.{self.region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"
        if (signed.pop("url"), signed.pop("method")) != (url, "POST"):
            return "another request"
        lines = {line["key"]: line["value"] for line in signed.pop("headers")}
        if signed or lines.keys() != SENT or lines["x-goog-cloud-target-resource"] != TARGET:
            return f"other headers: {sorted(lines)}"
        stamp = lines["x-amz-date"]
        if abs(calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) - self.now) > 300:
            return "signed at another time"
        return "" if lines["Authorization"] == self._authorization(url, stamp) else "another signature"

    def _authorization(self, url: str, stamp: str) -> str:
        """Sign as botocore does."""
        more = {
            "X-Amz-Date": stamp,
            "X-Amz-Security-Token": self.credentials[2],
            **({"x-goog-cloud-target-resource": TARGET} if self.bound else {}),
        }
        request = AWSRequest("POST", url, headers=more)
        request.context["timestamp"] = stamp
        signer: Any = SigV4Auth(Credentials(*self.credentials), "sts", self.region)
        signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
        names = signer.signed_headers(signer.headers_to_sign(request))
        return f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, SignedHeaders={names}, Signature={signature}"

    def _identity_fault(self, request: Request) -> str:
        if request.path != IDENTITY_PATH:
            return f"another path: {request.path}"
        if not request.headers.get("authorization", "").startswith("Bearer ya29."):
            return "not with the access token"
        body = request.json
        audience = body.pop("audience")
        return "" if audience and body == {"delegates": [], "includeEmail": True} else f"another body: {body}"
