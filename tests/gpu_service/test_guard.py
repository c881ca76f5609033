"""A service that others can reach asks them for something, or does not start."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gpu_service.guard import check_guard
from gpu_service.settings import Settings
from shared.edge.settings import SettingsError
from tests.fakes import tokens as t
from tests.gpu_service import google
from tests.gpu_service.client import Client, Heard, HeldEngine
from tests.gpu_service.google import ENVIRONMENT, URL, claims
from tests.gpu_service.process import Server
from tests.gpu_service.test_serve import serve

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"GPU_SERVICE_AUTH": "iam"}, "GPU_SERVICE_AUTH=iam is none of token, identity, platform"),
        ({"GPU_SERVICE_AUTH": "identity"}, "needs IDENTITY_AUDIENCE"),
        (ENVIRONMENT | {"IDENTITY_EMAILS": ""}, "needs IDENTITY_EMAILS"),
        (ENVIRONMENT | {"IDENTITY_EMAILS": "a@b.c,"}, "IDENTITY_EMAILS is not a list"),
        (
            ENVIRONMENT | {"IDENTITY_AUDIENCE": f"{URL},"},
            f"IDENTITY_AUDIENCE={URL}, is not a list of URLs .* '' is none",
        ),
        (ENVIRONMENT | {"IDENTITY_AUDIENCE": f"{URL} https://b"}, f"'{URL} https://b' is none. Write each as callers"),
        (ENVIRONMENT | {"IDENTITY_AUDIENCE": f'["{URL}"]'}, "without quotes"),
        (ENVIRONMENT | {"IDENTITY_JWKS_URL": "http://keys.example/certs"}, "is not read over https"),
        (ENVIRONMENT | {"GPU_SERVICE_AUTH": "platform"}, "IDENTITY_AUDIENCE is set, and only"),
    ],
)
def test_what_would_let_strangers_in_is_told(environment: dict[str, str], said: str) -> None:
    """The sentence names the variable."""
    with pytest.raises(SettingsError, match=said):
        Settings.from_env(environment)


def test_identity_guards_every_address(model_dir: Path) -> None:
    """On all interfaces with identity tokens alone: it starts, refuses who has none, and answers who has a good one."""
    urls = {"IDENTITY_AUDIENCE": f"https://embedder-abc-ew.a.run.app, {URL}"}
    everywhere = ENVIRONMENT | urls | {"GPU_SERVICE_HOST": "0.0.0.0"}  # noqa: S104 - it is guarded
    check_guard(Settings.from_env(everywhere))
    refused = serve("--port", "0", MODEL_DIR=str(model_dir), **everywhere | {"IDENTITY_AUDIENCE": ""})
    with google.serving() as provider:
        given: dict[str, Any] = everywhere | {"IDENTITY_JWKS_URL": f"{provider}/keys"}
        with Server(model_dir, **given) as server:
            bad, good = (
                server.ask("GET", "/v1/models", headers={"authorization": f"Bearer {token}"})
                for token in (t.foreign(claims(), key=1), t.foreign(claims()))
            )

    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert (bad.status, good.status) == (401, 200)


@pytest.mark.parametrize(
    ("peer", "status"),
    [("127.0.0.1", 200), ("::1", 200), ("::ffff:127.0.0.1", 200), (None, 200), ("169.254.8.1", 401), ("x", 401)],
)
def test_who_is_not_guarded_answers_its_own_machine_alone(peer: str | None, status: int) -> None:
    """functions-framework listens where it likes: without token, identity or platform others are told what to set."""

    async def situation(**changes: Any) -> Heard:
        async with Client(HeldEngine, **changes) as client:
            return await client.ask("GET", "/v1/models", peer=peer)

    heard = asyncio.run(situation())
    assert heard.status == status
    assert status == 200 or "GPU_SERVICE_AUTH=platform" in heard.json["error"]["message"]
    assert asyncio.run(situation(guard="platform")).status == 200
