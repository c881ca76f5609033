"""onnxruntime-genai as the engine: what it is told, why it does not start; its answers are tested beside our own."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gpu_service import specs
from gpu_service.generation import genai as module
from gpu_service.generation.genai import Genai
from gpu_service.generation.jobs import Wish
from gpu_service.model import ModelError
from gpu_service.prepare import Prepared, prepare
from tests.gpu_service.generation.conftest import MODEL

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def prepared(by_genai: Path) -> Prepared:
    """The tiny Llama."""
    return prepare(MODEL, specs.load(by_genai)[MODEL], store=by_genai.parent)


def test_without_the_package_it_does_not_start(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the packages, and the way without."""
    monkeypatch.setitem(sys.modules, "onnxruntime_genai", None)

    with pytest.raises(ModelError, match=r"needs onnxruntime-genai .*onnxruntime-genai-cuda for CUDA 13\), or remove"):
        Genai.of(prepared, device="cpu")


def test_the_cpus_package_refuses_cuda(prepared: Prepared) -> None:
    """With its own reason, and what CUDA needs."""
    with pytest.raises(
        ModelError, match=r"DEVICE=cuda \(.+\): it needs onnxruntime-genai-cuda, .* CUDA 13 and driver 580 or newer"
    ):
        Genai.of(prepared, device="cuda")


def test_a_model_that_is_none_is_told(prepared: Prepared, tmp_path: Path) -> None:
    """An empty folder has no configuration."""
    (tmp_path / "tokenizer.json").write_bytes((prepared.directory / "tokenizer.json").read_bytes())
    with pytest.raises(ModelError, match=r"cannot run tiny-llama with DEVICE=cpu \(.+\): export it again"):
        Genai.of(replace(prepared, directory=tmp_path), device="cpu")


def test_models_toml_goes_before_the_builders_file(prepared: Prepared, tmp_path: Path) -> None:
    """Ends, slots and length; a graph with paged attention has another kind of batch."""
    spec = msgspec.structs.replace(prepared.spec, eos=[7, 9], slots=5, max_tokens=99)
    (tmp_path / "genai_config.json").write_text('{"model": {}, "engine": {"dynamic_batching": {"block_size": 16}}}')

    static = module._overlay(replace(prepared, spec=spec), 2)
    dynamic = module._overlay(replace(prepared, directory=tmp_path), 1)
    assert static == {
        "model": {"decoder": {"session_options": {"intra_op_num_threads": 2}}, "eos_token_id": [7, 9]},
        "search": {"max_length": 99},
        "engine": {"static_batching": {"max_batch_size": 5}},
    }
    assert dynamic["engine"] == {"dynamic_batching": {"max_batch_size": 3}}


def test_the_engine_needs_its_file(tmp_path: Path) -> None:
    """Without genai_config.json, or for another task, models.toml is at fault."""
    (tmp_path / "models.toml").write_text(
        f'[models.m]\ntask = "generation"\nsource = "m"\neos = [1]\nengine = "genai"\n'
        f'[models.m.sha256]\n"model.onnx" = "{"0" * 64}"\n"tokenizer.json" = "{"0" * 64}"\n'
    )
    with pytest.raises(ModelError, match=r"'engine' is genai, which needs a genai_config\.json"):
        specs.load(tmp_path / "models.toml")


class Options:
    """Remembers what it is told."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told

    def __getattr__(self, name: str) -> Any:
        return lambda value: self._told.update({name.removeprefix("set_"): value})


def test_an_engine_with_seeds_is_given_them(genai: Genai, prepared: Prepared) -> None:
    """With paged attention each request has its own; the fake engine stands for one, as that needs a GPU."""
    told: dict[str, Any] = {}
    request: Any = SimpleNamespace(begin_turn=lambda ids, _options: list(ids), close=lambda: None)
    library = SimpleNamespace(TurnOptions=lambda _request: Options(told))
    engine: Any = SimpleNamespace(create_request=lambda: request)
    dynamic = Genai(library, None, prepared)
    dynamic._has_seeds = True
    wish = Wish([1, 2], 7, temperature=0.5, top_p=0.9, seed=-3)
    dynamic.check(wish)

    found: Any = dynamic.begin(engine, wish.prompt, limit=7, temperature=0.5, top_p=0.9, seed=-3)
    assert found == (request, [1, 2])
    assert told == {
        "max_generated_tokens": 7,
        "do_sample": True,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 0,
        "seed": 2**63 - 3,
    }
    genai.check(Wish([1], 1, temperature=0, seed=5))
