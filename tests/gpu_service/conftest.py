"""One real model, one real engine and one real server process for all tests of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gpu_service.build import build
from gpu_service.engine import Engine
from gpu_service.model import DEFAULT
from tests.gpu_service.process import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "a-shared-secret"


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """The model as the product builds it."""
    build(DEFAULT)
    return DEFAULT


@pytest.fixture(scope="session")
def engine(model_dir: Path) -> Engine:
    """The engine on that model."""
    return Engine.open(model_dir, device="cpu")


@pytest.fixture(scope="session")
def server(model_dir: Path) -> Iterator[Server]:
    """A server process on a free port of the loopback, which asks for `TOKEN`."""
    with Server(model_dir, GPU_SERVICE_TOKEN=TOKEN) as running:
        running.wait_until_ready()
        yield running
