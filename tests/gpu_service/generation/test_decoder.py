"""A graph generates in place, or the sentence says how to make one that does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import onnx
import pytest

from gpu_service import specs
from gpu_service.generation.decoder import Decoder
from gpu_service.generation.template import Template
from gpu_service.model import ModelError
from gpu_service.prepare import prepare
from shared.core.errors import BadRequest
from tests.gpu_service import tiny
from tests.gpu_service.generation import llama
from tests.gpu_service.generation.conftest import MODEL

if TYPE_CHECKING:
    from pathlib import Path


def test_chunks_and_neighbours_do_not_matter(decoder: Decoder) -> None:
    """A prompt read by ones, fours or at once, into a slot that held another; alone and beside others: same logits."""
    ids = decoder.tokenizer.encode("hello world").ids
    whole = decoder.read(2, ids, 0)
    for size in (1, 4):
        logits = [decoder.read(1, ids[start : start + size], start) for start in range(0, len(ids), size)]
        assert np.allclose(logits[-1], whole, atol=1e-4)
    decoder.read(0, [9, 8, 7], 0)
    beside = decoder.proceed([5, 6, 6], [3, len(ids), len(ids)])
    decoder.move(2, 0)
    alone = decoder.proceed([6], [len(ids)])

    assert np.allclose(beside[1], alone[0], atol=1e-4)
    assert np.allclose(beside[2], alone[0], atol=1e-4)


def test_another_graph_is_refused(models: Path, tmp_path: Path) -> None:
    """One whose states have other names: how to export a right one stands in the sentence."""
    prepared = prepare(MODEL, specs.load(models)[MODEL], store=tmp_path)
    graph = onnx.load(str(prepared.directory / "model.onnx"))
    tiny_spec = msgspec.structs.replace(prepared.spec, sha256={"other.onnx": "0" * 64})
    for name in ("tokenizer.json", "genai_config.json"):
        (tmp_path / name).write_bytes((prepared.directory / name).read_bytes())
    other = replace(prepared, directory=tmp_path, spec=tiny_spec)
    for one in graph.graph.input:
        one.name = one.name.replace("past_key_values", "cache")
    for node in graph.graph.node:
        node.input[:] = [name.replace("past_key_values", "cache") for name in node.input]
    onnx.save(graph, str(tmp_path / "other.onnx"))

    with pytest.raises(
        ModelError, match=r"and 0 states, where .* are needed: export it with `python -m onnxruntime_genai"
    ):
        Decoder.of(other)


def test_cuda_is_refused_with_a_way_out(models: Path, tmp_path: Path) -> None:
    """Generation has run on the CPU alone: DEVICE=cuda says so."""
    prepared = prepare(MODEL, specs.load(models)[MODEL], store=tmp_path)

    with pytest.raises(
        ModelError, match=r'set DEVICE=cpu, or engine = "genai" .*, or serve it by an OpenAI-compatible'
    ):
        Decoder.of(prepared, device="cuda")


def test_a_template_may_refuse_and_may_not_reach_out() -> None:
    """`raise_exception` is a 400; the sandbox holds; special tokens are known; a broken template stops the start."""
    template = Template("{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}", {"bos_token": "<s>"})
    refusing = Template("{{ raise_exception('only users') }}", {})
    escaping = Template("{{ ''.__class__.__mro__[1].__subclasses__() }}", {})

    assert template.prompt([{"role": "user", "content": "a"}]) == "<s>a"
    for one in (refusing, escaping):
        with pytest.raises(BadRequest, match="chat template refuses the messages"):
            one.prompt([{"role": "user", "content": "a"}])
    with pytest.raises(ModelError, match="is none that Jinja reads"):
        Template("{% for", {})


def test_a_model_without_a_template_completes_only(models: Path, tmp_path: Path) -> None:
    """Its decoder has none, which the chat path tells."""
    prepared = prepare(MODEL, specs.load(models)[MODEL], store=tmp_path)
    for name in ("model.onnx", "tokenizer.json", "genai_config.json"):
        (tmp_path / name).write_bytes((prepared.directory / name).read_bytes())
    sums = tiny.digests(tmp_path)
    bare = replace(prepared, directory=tmp_path, spec=msgspec.structs.replace(prepared.spec, sha256=sums))
    bare = replace(bare, manifest=replace(bare.manifest, files={}))

    assert Decoder.of(bare).template is None


def test_what_the_builder_wrote_is_heeded(decoder: Decoder, models: Path, tmp_path: Path) -> None:
    """The end of an answer and the width of a head come from genai_config.json; more positions are refused."""
    prepared = prepare(MODEL, specs.load(models)[MODEL], store=tmp_path)
    long = replace(prepared, spec=msgspec.structs.replace(prepared.spec, max_tokens=129))

    assert not prepared.spec.eos
    assert decoder.ends == frozenset([llama.END])
    with pytest.raises(ModelError, match=r"has 128 positions: lower 'max_tokens' in models\.toml"):
        Decoder.of(long)
