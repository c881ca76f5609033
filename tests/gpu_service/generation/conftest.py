"""A tiny Llama, by itself and behind a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from gpu_service import specs
from gpu_service.generation.decoder import Decoder
from gpu_service.generation.genai import Genai
from gpu_service.prepare import prepare
from tests.gpu_service import tiny
from tests.gpu_service.generation import llama
from tests.gpu_service.process import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gpu_service.generation.jobs import Model

MODEL = "tiny-llama"
ENGINES = ["onnxruntime", "genai"]


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
def by_genai(models: Path) -> Path:
    """A models.toml with the same model for onnxruntime-genai to run."""
    entry = models.read_text() + 'engine = "genai"\n'
    found = models.with_name("genai.toml")
    found.write_text(entry)
    return found


@pytest.fixture(scope="session")
def model(engine: str, decoder: Decoder, genai: Genai) -> Model:
    """The model as each engine runs it."""
    return decoder if engine == "onnxruntime" else genai


@pytest.fixture(scope="session")
def genai(by_genai: Path) -> Genai:
    """The model in onnxruntime-genai's engine."""
    return Genai.of(prepare(MODEL, specs.load(by_genai)[MODEL], store=by_genai.parent), device="cpu")


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine."""
    return str(request.param)


@pytest.fixture(scope="session")
def served(engine: str, models: Path, by_genai: Path) -> Iterator[Server]:
    """A server process with that model alone, run by each engine."""
    with Server(None, MODELS=str(models if engine == "onnxruntime" else by_genai)) as server:
        server.wait_until_ready()
        yield server
