"""fp16 and int8 give the vectors of fp32 within a bound, and a model that is off its reference is never served."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from gpu_service import specs
from gpu_service.build import build
from gpu_service.engine import Engine
from gpu_service.model import MANIFEST, NAME, STORE, Manifest, ModelError, place
from gpu_service.reference import Reference
from gpu_service.sources import package
from gpu_service.specs import Spec
from tests.gpu_service import tiny
from tests.gpu_service.reference import Reference as Published
from tests.gpu_service.test_reference import TEXTS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def halves() -> Engine:
    """The default model in fp16."""
    return _built("fp16")


@pytest.fixture(scope="module")
def bytes_() -> Engine:
    """The default model in int8."""
    return _built("int8")


def _built(precision: specs.Precision) -> Engine:
    directory = place(STORE, NAME, precision)
    build(directory, spec=specs.find(NAME).at(precision))
    return Engine.open(directory, device="cpu")


def test_the_carried_reference_is_the_published_computation() -> None:
    """The rows and vectors that come with the default model are those of the float64 formulae, to seven digits."""
    spec = specs.find(NAME)
    with open(spec.reference, "rb") as stream:  # noqa: PTH123 - a string in the spec
        carried = Reference.of(json.load(stream))
    published = Published(package(spec.source))
    texts = ["hello world", "The weather is lovely today."]

    assert carried.rows[:2] == [published.tokens(text) for text in texts]
    assert np.abs(carried.results[:2] - [published.embed(text) for text in texts]).max() < 1e-6


def test_half_precision_is_as_good(engine: Engine, halves: Engine) -> None:
    """fp16 has a cosine of more than 0.9999 with fp32 for every text, and half the bytes."""
    cosines = (halves.embed(TEXTS).vectors * engine.embed(TEXTS).vectors).sum(axis=1)

    assert cosines.min() > 0.9999
    assert _size(halves) < 0.6 * _size(engine)


def test_bytes_are_nearly_as_good_and_do_not_see_their_neighbours(engine: Engine, bytes_: Engine) -> None:
    """int8: 0.99 at least, 0.996 in the mean; alone and padded in a batch a text has one vector."""
    cosines = (bytes_.embed(TEXTS).vectors * engine.embed(TEXTS).vectors).sum(axis=1)
    rows = bytes_.rows(TEXTS[:18])
    alone = np.concatenate([bytes_.run([row]) for row in rows])

    assert cosines.min() > 0.99
    assert cosines.mean() > 0.996
    assert np.abs(alone - bytes_.run(rows)).max() < 1e-6


def test_precisions_are_models_of_their_own(engine: Engine, halves: Engine, bytes_: Engine) -> None:
    """The manifest tells them apart: precision, recipe, and the digest of the graph."""
    manifests = [one.manifest for one in (engine, halves, bytes_)]

    assert [one.precision for one in manifests] == ["fp32", "fp16", "int8"]
    assert len({one.recipe for one in manifests}) == len({one.files["model.onnx"].sha256 for one in manifests}) == 3


def test_a_build_that_is_off_its_reference_leaves_nothing(tmp_path: Path) -> None:
    """The wrong pooling is found before the model is published."""
    wrong = msgspec.structs.replace(specs.find(NAME), pooling="cls")

    with pytest.raises(ModelError, match=r"off its reference by .* in fp32, .*the weights or 'pooling' are others"):
        build(tmp_path, spec=wrong)
    assert not (tmp_path / MANIFEST).exists()


def test_a_device_that_computes_something_else_is_not_served_on(tmp_path: Path) -> None:
    """The reference is computed again at every start, on the device that will serve."""
    sums = tiny.bert(tmp_path / "weights")
    spec = Spec(task="embedding", source=str(tmp_path / "weights"), sha256=sums, pooling="mean", max_tokens=32)
    build(tmp_path / "out", name="tiny", spec=spec)
    Engine.open(tmp_path / "out", device="cpu")
    manifest = Manifest.read(tmp_path / "out")
    known = json.loads((tmp_path / "out" / MANIFEST).read_bytes())["reference"]
    known["results"][2] = [-number for number in known["results"][2]]
    (tmp_path / "out" / MANIFEST).write_text(
        json.dumps(json.loads((tmp_path / "out" / MANIFEST).read_bytes()) | {"reference": known})
    )

    assert len(manifest.reference["rows"]) == 4
    with pytest.raises(ModelError, match="off its reference by 2 in fp32"):
        Engine.open(tmp_path / "out", device="cpu")


def test_another_architecture_is_told(tmp_path: Path) -> None:
    """Only BERT's graph is written here; others come as ONNX."""
    tiny.bert(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "llama"}))
    spec = Spec(task="embedding", source=str(tmp_path), sha256=tiny.digests(tmp_path), pooling="mean")

    with pytest.raises(
        ModelError, match=r"model_type=llama, and graphs are made here for bert alone: export the model"
    ):
        build(tmp_path / "out", name="tiny", spec=spec)


def test_a_graph_needs_no_building(tmp_path: Path) -> None:
    """An ONNX file is served as it is."""
    spec = Spec(task="embedding", source=str(tmp_path), sha256={"model.onnx": "0" * 64})

    with pytest.raises(ModelError, match="There is nothing to build"):
        build(tmp_path / "out", name="tiny", spec=spec)


def _size(engine: Engine) -> int:
    return sum(file.bytes for name, file in engine.manifest.files.items() if name != "tokenizer.json")
