"""An entry of models.toml is understood, or the sentence says which field is wrong and what to write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gpu_service import specs
from gpu_service.model import NAME, ModelError
from gpu_service.settings import Settings, _models
from tests.gpu_service.tiny import models_toml

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "0" * 64
GRAPH = {"model.onnx": DIGEST, "tokenizer.json": DIGEST}
WEIGHTS = {"model.safetensors": DIGEST, "tokenizer.json": DIGEST, "config.json": DIGEST}


def test_the_packaged_file_serves_the_model_that_set_up_builds() -> None:
    """The default model is there, made from pinned weights, mean-pooled, 256 tokens."""
    spec = specs.find(NAME)

    assert (spec.task, spec.pooling, spec.max_tokens, spec.precision) == ("embedding", "mean", 256, "fp32")
    assert spec.weights == "model.safetensors"


def test_folders_stand_beside_the_file(tmp_path: Path) -> None:
    """A relative source is made absolute; a URI stays what it is."""
    given = models_toml(
        tmp_path / "models.toml",
        near={"task": "embedding", "source": "near", "sha256": GRAPH},
        far={"task": "embedding", "source": "s3://bucket/far", "sha256": GRAPH},
    )

    assert [spec.source for spec in specs.load(given).values()] == [str(tmp_path / "near"), "s3://bucket/far"]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"task": "translation"},
            "'task': Invalid enum value 'translation'; it is one of embedding, rerank, classification, generation",
        ),
        ({"pooling": "max"}, "'pooling': Invalid enum value 'max'; it is one of mean, cls, last"),
        ({"source": "https://host/m"}, r"'source' is https://host/m: name a folder, package:.*, s3://.* or gs://"),
        ({"reads": "magika"}, r"'reads' is magika, which goes with a \*.onnx and task = \"classification\" alone"),
        ({"source": 1}, "'source': Expected str, got int"),
        ({"sha256": {"model.onnx": "abc"}}, r"'sha256.*': Expected str matching regex"),
        ({"tokens": 3}, r"'tokens' is not a field here \(is max_tokens meant\?\); the fields are task, source, sha256"),
        ({"zzz": 3}, r"'zzz' is not a field here; the fields are task, source, sha256"),
        ({"source": "gs://b/m", "sha256": {}}, r"'sha256' names no \*.onnx.*`sha256sum FILE`"),
        ({"sha256": {"model.onnx": DIGEST}}, r"'sha256' names neither .*: a model that reads text needs its tokenizer"),
        ({"sha256": WEIGHTS}, "'pooling' is missing: mean, cls or last"),
        ({"sha256": {**WEIGHTS, "config.json": None}}, "'sha256' does not name config.json"),
        ({"precision": "int8"}, "'precision' is int8, but only graphs that are made here have one"),
        ({"task": "classification"}, "'labels' is missing"),
        ({"task": "generation"}, r"'eos' is missing: the ids of the tokens that end an answer"),
        ({"task": "generation", "eos": [1], "sha256": WEIGHTS}, "'task' is generation, whose graphs are not made here"),
        ({"labels": ["a"], "categories": {"a": "rude"}}, r"'categories' holds \['rude'\], none of harassment"),
    ],
)
def test_what_cannot_be_meant_is_told(fields: dict[str, Any], told: str, tmp_path: Path) -> None:
    """The file, the model and the field are named, and what to write instead."""
    entry: dict[str, Any] = {"task": "embedding", "source": "x", "sha256": GRAPH} | fields
    entry["sha256"] = {name: digest for name, digest in entry["sha256"].items() if digest}
    path = models_toml(tmp_path / "models.toml", mine=entry)

    with pytest.raises(ModelError, match=rf"{path}: \[models.mine\] {told}"):
        specs.load(path)


def test_labels_come_from_the_config_that_the_makers_wrote(tmp_path: Path) -> None:
    """`id2label` in the order of its numbers; categories of other labels, and a config without labels, are told."""
    (tmp_path / "config.json").write_text('{"id2label": {"10": "k", "2": "c", "0": "a", "1": "b"}}')
    spec = specs.Spec(task="classification", source=str(tmp_path), sha256=WEIGHTS)

    assert specs.labelled(spec, tmp_path).labels == ["a", "b", "c", "k"]
    with pytest.raises(ModelError, match=r"'categories' maps \['rude'\], which are none of its labels"):
        specs.labelled(msgspec.structs.replace(spec, categories={"rude": "hate"}), tmp_path)
    for written, told in (
        ("{}", "no labels are named: correct 'labels'"),
        ('{"id2label": {"a": "b"}}', "numbers its labels otherwise than id2label does: name 'labels'"),
        ("[]", "config.json holds no JSON object: take the file"),
        ("{", "config.json cannot be read as JSON"),
    ):
        (tmp_path / "config.json").write_text(written)
        with pytest.raises(ModelError, match=told):
            specs.labelled(spec, tmp_path)


def test_a_file_without_models_is_told(tmp_path: Path) -> None:
    """Missing, no TOML, no table: each in a sentence; so is a name that is not in it."""
    path = tmp_path / "models.toml"
    with pytest.raises(ModelError, match=r"cannot be read .* set MODELS to a models.toml"):
        specs.load(path)
    path.write_text("[models")
    with pytest.raises(ModelError, match="is not valid TOML"):
        specs.load(path)
    path.write_text("")
    with pytest.raises(ModelError, match=r"names no model: give it a table \[models.NAME\]"):
        specs.load(path)
    path.write_text('[models.mine]\ntask = "rerank"\nsource = "mine"\n[modles.other]\n')
    with pytest.raises(
        ModelError, match=r"'modles' is nothing that it may hold: each model is a table \[models.NAME\]"
    ):
        specs.load(path)
    with pytest.raises(ModelError, match="has no model 'other'; it has all-MiniLM-L6-v2"):
        specs.find("other")


def test_what_sagemaker_mounted_is_served_unless_something_is_named(tmp_path: Path) -> None:
    """A built model, else a models.toml, in /opt/ml/model; MODEL_DIR and MODELS go before it."""
    assert _models({}, tmp_path) == ("", "")
    (tmp_path / "models.toml").touch()
    assert _models({}, tmp_path) == ("", str(tmp_path / "models.toml"))
    (tmp_path / "manifest.json").touch()
    assert _models({}, tmp_path) == (str(tmp_path), "")
    assert _models({"MODELS": "mine.toml"}, tmp_path) == ("", "mine.toml")
    assert Settings.from_env({}).models == specs.PACKAGED
