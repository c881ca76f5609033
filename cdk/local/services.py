"""The parts that are not in the template: the GPU service on its real model, and the provider called `simulated`."""

from __future__ import annotations

import http.client
import json
import os
import sys
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from cdk.local.child import Child, LocalError
from cdk.local.ports import on_free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cdk.local.state import Logs
    from shared.core.catalog import Catalog

HOST: Final = "127.0.0.1"
ROOT: Final = Path(__file__).resolve().parents[2]
MODEL: Final = Path("build/models/all-MiniLM-L6-v2")
BUILD_SECONDS: Final = 180.0
START_SECONDS: Final = 90.0
KEYLESS: Final = "no-key"  # what a provider gets whose address is configured and whose key is not


class Service(NamedTuple):
    """A running service and its OpenAI base URL."""

    child: Child
    base_url: str


async def start_gpu_service(token: str, logs: Logs) -> Service:
    """Serve what the file in `MODELS` names, or embeddings; their model is made where set-up has not done it."""
    log, own = logs.path("gpu_service"), _own_models()
    if not own and not (ROOT / MODEL / "manifest.json").exists():
        builder = _start("The model's builder", ["gpu_service", "build", "--out", str(MODEL)], log, {})
        try:
            await builder.until((ROOT / MODEL / "manifest.json").exists, seconds=BUILD_SECONDS)
        finally:
            builder.stop()
    served = own or {"MODEL_DIR": str(ROOT / MODEL)}
    environment = {**served, "GPU_SERVICE_TOKEN": token, "ACCESS_LOG": "off", "DEVICE": "cpu"}
    return await _serve("The GPU service", ["gpu_service", "serve"], "/health/ready", log, environment)


def _own_models() -> dict[str, str]:
    """Return where somebody's own models are named and kept, if they say so."""
    names = ("MODELS", "MODEL_STORE") if os.environ.get("MODELS") else ()
    return {name: str(Path(os.environ[name]).absolute()) for name in names if os.environ.get(name)}


async def start_simulated(logs: Logs) -> Service:
    """Serve made-up chat for whoever has no provider's key."""
    command = ["cdk.local.simulated", "--quiet"]
    return await _serve("The simulated provider", command, "/v1/models", logs.path("simulated"), {})


def credentials(catalog: Catalog, gpu_token: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the content of the providers' secret: what the standard variables say, and our own service's token.

    A provider whose base URL is set and whose key is not gets a placeholder: servers of one's own often want no key.
    """
    found = {"GPU_SERVICE_TOKEN": gpu_token}
    for provider in catalog.providers.values():
        if not provider.secret or provider.secret in found:
            continue
        if key := environment.get(provider.secret):
            found[provider.secret] = key
        elif environment.get(provider.base_url_env):
            found[provider.secret] = KEYLESS
    return found


def addresses(names: tuple[str, ...], own: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables among `names` that are known: our own services', and what the environment redirects.

    Raises:
        LocalError: a variable is no address, which every request to that provider would otherwise tell.
    """
    values = {name: own.get(name) or environment.get(name, "") for name in names}
    for name, value in values.items():
        if value and not _is_address(value):
            raise LocalError(f"{name} is no address of a provider: write it as https://api.example.com/v1.")
    return {name: value for name, value in values.items() if value}


def _is_address(text: str) -> bool:
    """Tell whether `text` is a URL that a path can be put behind; a name or a query in it would be lost."""
    if not text.isascii() or any(letter.isspace() or not letter.isprintable() for letter in text):
        return False
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    plain = not (parts.username or parts.query or parts.fragment)
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and plain


async def _serve(name: str, command: list[str], path: str, log: Path, environment: Mapping[str, str]) -> Service:
    async def start(port: int) -> Service:
        child = _start(name, [*command, "--host", HOST, "--port", str(port)], log, environment)
        try:
            await child.until(_answers(port, path), seconds=START_SECONDS)
        except BaseException:
            child.stop()
            raise
        return Service(child, f"http://{HOST}:{port}/v1")

    return await on_free_port(start)


def _start(name: str, command: list[str], log: Path, environment: Mapping[str, str]) -> Child:
    inherited = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
    return Child.start(
        name, [sys.executable, "-m", *command], log=log, environment={**inherited, **environment}, directory=ROOT
    )


def _answers(port: int, path: str) -> Callable[[], bool]:
    def answers() -> bool:
        connection = http.client.HTTPConnection(HOST, port, timeout=1)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return answers


def encode(values: Mapping[str, str]) -> str:
    """Write the providers' secret as the functions read it."""
    return json.dumps(dict(values), sort_keys=True)
