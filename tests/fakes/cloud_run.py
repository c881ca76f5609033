"""Cloud Run's Admin API on loopback, with the exchange of tokens that opens it; what a service is, `run_v2` judges."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from google.cloud import run_v2

from tests.fakes.google import Google

if TYPE_CHECKING:
    from tests.functions.plane.upstream import Request, Wire

PROJECT, REGION, NAME = "our-project", "europe-west4", "ai-nexus-dev-gpu"
PARENT = f"projects/{PROJECT}/locations/{REGION}"
PLACE = f"{PARENT}/services/{NAME}"
DEPLOYER = "nexus-deployer@our-project.iam.gserviceaccount.com"
ADDRESS = "https://ai-nexus-dev-gpu-123456789.europe-west4.run.app"
TYPE = "type.googleapis.com/google.cloud.run.v2.Service"
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
}


@dataclass
class CloudRun:
    """One project. `services` are its services as JSON, by their whole names, `policies` who may call them.

    An operation is done after `polls` looks at it, and fails with `trouble` if there is some; `refusal` is the
    answer to whatever would change something.
    """

    google: Google = field(default_factory=lambda: Google(scope="https://www.googleapis.com/auth/iam", bound=False))
    services: dict[str, Any] = field(default_factory=dict)
    policies: dict[str, Any] = field(default_factory=dict)
    polls: int = 0
    trouble: str = ""
    refusal: str = ""
    asked: list[str] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)  # to CloudFormation, which listens here too
    late: bool = False  # the next look finds nothing, as where another try makes the service at this moment

    def answer(self, wire: Wire, request: Request) -> None:
        """Answer one call."""
        path = request.path.partition("?")[0]
        self.asked.append(f"{request.method} {path}")
        if path.startswith("/answers/"):
            self.answers.append(request.json)
            return wire.answer(b"")
        if path == "/v1/token":
            return self.google.answer(wire, request)
        if path == f"/v1/projects/-/serviceAccounts/{DEPLOYER}:generateAccessToken":
            exchanged = request.headers.get("authorization", "").startswith("Bearer ya29.")
            told = {"accessToken": "deployer-token", "expireTime": "2099-01-01T00:00:00Z"}
            return _say(wire, told) if exchanged else _refuse(wire, 401, "not with the exchanged token")
        if request.headers.get("authorization") != "Bearer deployer-token":
            return _refuse(wire, 401, "not as the deployer")
        return self._serve(wire, request, path.removeprefix("/v2/"))

    def _serve(self, wire: Wire, request: Request, name: str) -> None:
        if "/operations/" in name:
            self.polls -= 1
            return _say(wire, self._operation(name.rpartition("/")[2]))
        if request.method == "GET":
            found = None if self.late else self.services.get(name)
            self.late = False
            return _say(wire, found) if found else _refuse(wire, 404, f"Resource '{name}' was not found.")
        if self.refusal:
            return _refuse(wire, 403, self.refusal)
        if name.endswith(":setIamPolicy"):
            self.policies[name.removesuffix(":setIamPolicy")] = request.json["policy"]
            return _say(wire, request.json["policy"])
        return self._change(wire, request, name)

    def _change(self, wire: Wire, request: Request, name: str) -> None:
        if request.method == "DELETE":
            if self.services.pop(name, None) is None:
                return _refuse(wire, 404, f"Resource '{name}' was not found.")
            return _say(wire, self._operation(""))
        place = (
            f"{name}/{request.path.partition('serviceId=')[2].partition('&')[0]}" if request.method == "POST" else name
        )
        if request.method == "POST" and place in self.services:
            return _refuse(wire, 409, f"Resource '{NAME}' already exists.")
        service = run_v2.Service.from_json(request.body.decode())
        service.name, service.uri = place, ADDRESS
        self.services[place] = json.loads(run_v2.Service.to_json(service, use_integers_for_enums=False))
        return _say(wire, self._operation(place))

    def _operation(self, place: str) -> dict[str, Any]:
        place = place if place in self.services else PLACE
        told: dict[str, Any] = {"name": f"{PARENT}/operations/1", "done": self.polls <= 0}
        if told["done"] and self.trouble:
            return {**told, "error": {"code": 9, "message": self.trouble}}
        service = self.services.get(place, {"name": place})
        return {**told, "response": {"@type": TYPE, **service}} if told["done"] else told


def _say(wire: Wire, told: Any) -> None:
    wire.answer(json.dumps(told).encode())


def _refuse(wire: Wire, status: int, message: str) -> None:
    body = {"error": {"code": status, "message": message, "status": STATUSES[status]}}
    wire.answer(json.dumps(body).encode(), f"{status} Refused")
