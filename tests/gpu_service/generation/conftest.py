"""A tiny Llama, by itself and behind a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from gpu_service import specs
from gpu_service.generation.decoder import Decoder
from gpu_service.prepare import prepare
from tests.gpu_service import tiny
from tests.gpu_service.generation import llama
from tests.gpu_service.process import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODEL = "tiny-llama"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models.toml with the tiny Llama: three slots, prompts read by five tokens at a time."""
    root = tmp_path_factory.mktemp("generation")
    entry = {
        "task": "generation",
        "source": MODEL,
        "sha256": llama.write(root / MODEL),
        "max_tokens": 128,
        "slots": 3,
        "prefill": 5,
    }
    return tiny.models_toml(root / "models.toml", **{MODEL: entry})


@pytest.fixture(scope="session")
def weights(models: Path) -> llama.Weights:
    """What the graph was made of."""
    with np.load(models.with_name(f"{MODEL}.npz")) as found:
        return dict(found)


@pytest.fixture(scope="session")
def decoder(models: Path) -> Decoder:
    """The decoder on that model."""
    return Decoder.of(prepare(MODEL, specs.load(models)[MODEL], store=models.parent))


@pytest.fixture(scope="session")
def served(models: Path) -> Iterator[Server]:
    """A server process with that model alone."""
    with Server(None, MODELS=str(models)) as server:
        server.wait_until_ready()
        yield server
