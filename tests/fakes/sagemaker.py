"""SageMaker's asynchronous endpoints and the S3 beside them, on loopback; botocore computes each signature again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functions.plane.upstream import Request, Wire

INPUT, OUTPUT, FAILURE = "s3://bucket-1/nexus/in", "s3://bucket-2/out", "s3://bucket-2/failed"
_MISSING = b"<Error><Code>NoSuchKey</Code><Message>s</Message></Error>"


@dataclass
class SageMaker:
    """One endpoint; `compute` makes its answer, which is there at the look number `looks`."""

    compute: Callable[[Any], bytes] | None = None
    failure: bytes = b""
    looks: int = 3
    credentials: tuple[str, str, str | None] = ("a", "s", None)
    region: str = "eu-central-1"
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    invocations: list[dict[str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    after: Callable[[Wire, Request], bool] | None = None  # answers instead, if it says so

    def answer(self, wire: Wire, request: Request) -> None:
        """Answer one call."""
        self.asked.append(f"{request.method} {request.path.rpartition('/')[0]}")
        if fault := self._fault(request):
            self.faults.append(fault)
            return wire.answer(b"<Error><Code>SignatureDoesNotMatch</Code></Error>", "403 Forbidden")
        if self.after and self.after(wire, request):
            return None
        if request.path.endswith("/async-invocations"):
            return self._invoked(wire, request)
        return self._stored(wire, request, f"s3:/{request.path}")

    def _fault(self, request: Request) -> str:
        """Say what is wrong with the signature."""
        service = "sagemaker" if request.path.endswith("/async-invocations") else "s3"
        claim = request.headers.get("authorization", "")
        names = claim.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        if missing := {"host", "x-amz-date"} - set(names):
            return f"not signed: {missing}"
        if unsigned := {name for name in request.headers if name.startswith("x-amz")} - set(names):
            return f"not signed: {unsigned}"
        url = f"http://{request.headers['host']}{request.path}"
        lines = {name: request.headers[name] for name in names if name != "host"}
        made = AWSRequest(request.method, url, headers=lines, data=request.body)
        made.context["timestamp"] = request.headers["x-amz-date"]
        auth = S3SigV4Auth if service == "s3" else SigV4Auth
        signer: Any = auth(Credentials(*self.credentials), service, self.region)
        signature = signer.signature(signer.string_to_sign(made, signer.canonical_request(made)), made)
        return "" if claim.endswith(f"Signature={signature}") else f"another signature: {request.method} {request.path}"

    def _stored(self, wire: Wire, request: Request, name: str) -> None:
        if request.method == "PUT":
            self.objects[name] = request.body
            return wire.answer(b"")
        if request.method == "DELETE":
            self.objects.pop(name, None)
            return wire.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        if name in self.objects and self.asked.count(f"GET {request.path.rpartition('/')[0]}") >= self.looks:
            return wire.answer(self.objects[name], kind="binary/octet-stream")
        return wire.answer(_MISSING, "404 Not Found", "application/xml")

    def _invoked(self, wire: Wire, request: Request) -> None:
        said = {
            name.removeprefix("x-amzn-sagemaker-"): value
            for name, value in request.headers.items()
            if name.startswith("x-amzn-sagemaker-")
        }
        self.invocations.append(said)
        if request.body or not said["inputlocation"].startswith(f"{INPUT}/"):
            self.faults.append("another invocation")
        asked = json.loads(self.objects[said["inputlocation"]])
        number = len(self.invocations)
        output, failure = f"{OUTPUT}/{number}.out", f"{FAILURE}/{number}-error.out"
        if self.compute:
            self.objects[output] = self.compute(asked)
        elif self.failure:
            self.objects[failure] = self.failure
        places = {"X-Amzn-SageMaker-OutputLocation": output, "X-Amzn-SageMaker-FailureLocation": failure}
        wire.answer(json.dumps({"InferenceId": "1"}).encode(), "202 Accepted", **places)
