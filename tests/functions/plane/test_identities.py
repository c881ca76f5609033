"""Cloud Run services that let nobody in but a service account, on the whole way of a request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from functions.plane import build
from shared.core.catalog import FILE, Identity, Model, Provider, Target, decode
from shared.edge.identity import RETRY_SECONDS
from tests.fakes.google import ACCOUNT, POOL, Google
from tests.functions.plane.rig import well
from tests.functions.plane.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.functions.plane.rig import Rig
    from tests.functions.plane.upstream import Request, Wire


class Situation:
    """A gateway whose catalog has a service at Google, the service, and Google."""

    def __init__(self, rig: Rig, url: str, google: Google) -> None:
        self.google = google
        self.good: list[str] | None = None  # tokens that are let in; None: all that Google gave
        path = Path(rig.environment["LAMBDA_TASK_ROOT"], FILE)
        known = decode(path.read_bytes())
        run = Provider("run", "openai", f"{rig.upstream.url}/v1", identity=Identity(POOL, ACCOUNT))
        model = Model("ours", "chat", (Target("run", "llama"), Target("openai", "gpt-4o-2024")), "us")
        changed = msgspec.structs.replace(
            known, providers={**known.providers, "run": run}, models={**known.models, "ours": model}
        )
        path.write_bytes(msgspec.json.encode(changed))
        google_at = {"GOOGLE_STS_URL": url, "GOOGLE_IAM_URL": url, "AWS_SESSION_TOKEN": "t"}
        made = build({**rig.environment, **google_at})
        self.rig, self.gateway = rig, made._replace(telemetry=rig.gateway.telemetry, pause=rig.gateway.pause)
        rig.gateway = self.gateway
        made.identities._clock = lambda: google.now
        rig.upstream.default = self.let_in

    def let_in(self, wire: Wire, request: Request) -> None:
        """Answer as Cloud Run does: 401 for a token that is not good."""
        token = request.headers["authorization"].removeprefix("Bearer ")
        if token == "sk-provider-secret" or token in (self.google.issued if self.good is None else self.good):
            return well(wire, request)
        return wire.answer(f"<html>{token} is bad</html>".encode(), "401 Unauthorized", "text/html")

    def callers(self) -> list[str]:
        """With what the services were called."""
        return [request.headers["authorization"].removeprefix("Bearer ") for request in self.rig.upstream.requests]


@pytest.fixture
def situation(rig: Rig) -> Iterator[Situation]:
    """Everything is well."""
    google = Google()
    server = Upstream(google.answer)
    yield Situation(rig, server.url, google)
    server.stop()
    assert google.faults == []


def test_a_service_is_called_with_a_token_of_the_role(situation: Situation) -> None:
    """Streamed and whole, with the same one; it is for the service's address."""
    assert situation.rig.chat(model="ours").text == "Hi there"
    assert situation.rig.chat(model="ours", stream=False).headers["x-nexus-provider"] == "run"
    assert situation.callers() == situation.google.issued * 2
    assert len(situation.google.issued) == 1


def test_a_token_that_is_refused_is_replaced_within_the_request(situation: Situation) -> None:
    """The service's access was given a moment ago, say; its word about the token is shown to nobody."""
    situation.rig.chat(model="ours")
    situation.google.now += RETRY_SECONDS
    situation.good = []
    refused = situation.rig.chat(model="ours", stream=False)
    assert refused.headers["x-nexus-provider"] == "openai"
    assert len(situation.google.issued) == 2
    situation.google.now += RETRY_SECONDS
    situation.good = None
    situation.rig.upstream.requests.clear()
    assert situation.rig.chat(model="ours").headers["x-nexus-provider"] == "run"
    assert situation.callers() == [situation.google.issued[1]]


def test_where_google_gives_no_token_another_target_serves(situation: Situation) -> None:
    """Nothing is charged for that, and no breaker opens; without another target the client is told, and no secret."""
    situation.google.credentials = ("b", "b", "b")
    for _ in range(6):
        assert situation.rig.chat(model="ours").headers["x-nexus-provider"] == "openai"
    assert len(situation.google.asked) == 1  # and not for each request
    assert not [line for line in situation.rig.lines if line.get("event") == "breaker.v1"]
    [use] = {(use["provider"], use["target"]) for use in situation.rig.usage()}
    assert use == ("openai", "gpt-4o-2024")
    situation.rig.upstream.default = lambda wire, _request: wire.answer(b"{}", "401 Unauthorized")
    client = situation.rig.chat(model="ours")
    assert client.status == 502
    told = json.dumps([client.json, situation.rig.lines])
    assert not [secret for secret in ("AWS4", "ya29", "eyJ", "sk-provider-secret") if secret in told]
    situation.google.faults.clear()
