"""One simulated provider as a process of its own, and the official SDK pointed straight at it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import openai
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "sk-real-looking-0123456789"


@contextmanager
def _provider(*arguments: str) -> Iterator[str]:
    command = [sys.executable, "-m", "cdk.local.simulated", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().split()[-1].removesuffix("/v1")
        finally:
            process.terminate()
    assert process.returncode == 0


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """Return the provider's root URL, without `/v1`."""
    with _provider("--port", "0") as root:
        yield root


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    """Return the official client, without retries so that every fault is seen."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=10) as made:
        yield made


@pytest.fixture
def http(url: str) -> Iterator[httpx2.Client]:
    """Return a plain HTTP client on the provider's root."""
    with httpx2.Client(base_url=url, timeout=10) as made:
        yield made


@pytest.fixture
def lie() -> Any:
    """Return a request body that asks for lies: `lie("html_200", stream=True)`."""

    def body(mode: str, **more: Any) -> dict[str, Any]:
        return {
            "model": "simulated",
            "messages": [{"role": "user", "content": "Hi"}],
            "simulated": {"mode": mode},
            **more,
        }

    return body
