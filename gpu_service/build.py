"""Makes a model's ONNX graph once, from the safetensors of the BERT family, with numpy and onnx alone."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import onnx

from gpu_service import graph, specs, weights
from gpu_service.engine import Engine
from gpu_service.fit import check_dimensions
from gpu_service.model import GRAPH, MANIFEST, NAME, REMEDY, TOKENIZER, WEIGHTS, File, Manifest, ModelError, described
from gpu_service.reference import Reference
from gpu_service.session import open_session
from gpu_service.sources import check, locate
from gpu_service.tokens import Tokens, tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gpu_service.specs import Spec
    from gpu_service.weights import Tensors

_ARCHITECTURE: Final = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
_NUMBERS: Final = {
    **dict.fromkeys(("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"), (int,)),
    "layer_norm_eps": (int, float),
}
_TEXTS: Final = ("The cat sat on the mat.", "Is Berlin the capital of Germany?", "a", "good " * 40)
_SMALLEST_EXTERNAL: Final = 1024  # bytes; smaller constants stay in the graph, where shape inference can see them


def build(
    out: Path, *, name: str = NAME, spec: Spec | None = None, source: Path | None = None, force: bool = False
) -> bool:
    """Make the model `name` in `out`, unless the very same one is there; returns whether anything was made.

    `spec` is its entry in the packaged models.toml unless given; `source` stands in for the folder that it names.

    Raises:
        ModelError: the weights are missing or not the pinned ones, or `out` cannot be written.
    """
    spec = spec or specs.find(name)
    _weights(spec)
    if not force and is_current(out, spec):
        return False
    if source:
        check(source, spec.sha256, remedy=f"take the files from {spec.source}")
    try:
        source = source or locate(spec, cache=out / "source")
        out.mkdir(parents=True, exist_ok=True)
        with _alone(out):
            if not force and is_current(out, spec):
                return False  # somebody else was building it
            with tempfile.TemporaryDirectory(prefix=".build-", dir=out) as staging:
                _publish(_make(name, spec, source, Path(staging)), Path(staging), out)
    except OSError as error:
        raise ModelError(f"{out} cannot be written: {error.strerror or error}.") from error
    return True


def is_current(out: Path, spec: Spec | None = None) -> bool:
    """Say in milliseconds whether `out` holds this very model.

    The large file's digest is taken again only if the file is younger than the manifest; the server takes it always.
    """
    spec = spec or specs.find(NAME)
    try:
        manifest = Manifest.read(out)
        if (manifest.source, manifest.recipe) != (_weights(spec), recipe(spec)):
            return False
        return all(_is_whole(out, name, file) for name, file in manifest.files.items())
    except (ModelError, OSError):
        return False


def recipe(spec: Spec) -> str:
    """Give the digest of the code that makes the graph and of what it is told: another recipe makes another model.

    Raises:
        ModelError: what it is told is not there.
    """
    told = msgspec.json.encode(specs.portable(spec), order="deterministic")
    try:
        known = Path(spec.reference).read_bytes() if spec.reference else b""
    except OSError as error:
        raise ModelError(f"'reference' in models.toml names {spec.reference}, which cannot be read.") from error
    return hashlib.sha256(Path(graph.__file__).read_bytes() + told + known).hexdigest()


def _weights(spec: Spec) -> str:
    """Give the digest of the weights.

    Raises:
        ModelError: the model is served as it is.
    """
    if spec.weights is None:
        raise ModelError(f"There is nothing to build: {spec.source} holds a graph, which is served as it is.")
    return spec.sha256[spec.weights]


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Let one build at a time into `out`; the lock goes with the process, whatever its end."""
    directory = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _is_whole(out: Path, name: str, file: File) -> bool:
    found = (out / name).stat()
    if name == WEIGHTS and found.st_mtime_ns <= (out / MANIFEST).stat().st_mtime_ns:
        return found.st_size == file.bytes
    return File.of(out / name) == file


def _make(name: str, spec: Spec, source: Path, staging: Path) -> Manifest:
    config = _config(source / "config.json")
    spec = specs.labelled(spec, source)
    tensors = weights.read(source / str(spec.weights))
    tokenizer(source / TOKENIZER)
    _check_fit(name, spec, config, tensors)
    _save(graph.bert(graph.Shape.of(config), tensors, spec), staging)
    shutil.copyfile(source / TOKENIZER, staging / TOKENIZER)
    manifest = Manifest(
        name=name,
        task=spec.task,
        dimensions=config["hidden_size"],
        max_tokens=spec.max_tokens,
        vocabulary=config["vocab_size"],
        source=_weights(spec),
        recipe=recipe(spec),
        files={file: File.of(staging / file) for file in (GRAPH, WEIGHTS, TOKENIZER)},
        precision=spec.precision,
        spec=specs.portable(spec),
    )
    known = _reference(manifest, spec, source, staging)
    known.check(_engine(manifest, spec, staging).run, name, spec.precision)
    return replace(manifest, reference=known.told())


def _reference(manifest: Manifest, spec: Spec, source: Path, staging: Path) -> Reference:
    """Give the rows that the model has to get right: those that come with it, or what its weights give in fp32."""
    if spec.reference:
        return Reference.read(Path(spec.reference))
    exact = spec.at("fp32")
    with tempfile.TemporaryDirectory(dir=staging) as folder:
        shape = graph.Shape.of(_config(source / "config.json"))
        _save(graph.bert(shape, weights.read(source / str(spec.weights)), exact), Path(folder))
        shutil.copyfile(source / TOKENIZER, Path(folder) / TOKENIZER)
        engine = _engine(manifest, exact, Path(folder))
        rows = engine.pairs(_TEXTS[0], _TEXTS) if spec.task == "rerank" else engine.rows(_TEXTS)
        return Reference(rows, engine.run(rows))


def _engine(manifest: Manifest, spec: Spec, directory: Path) -> Engine:
    session = open_session(directory / GRAPH, threads=1, device="cpu")
    tokens = Tokens.open(directory / TOKENIZER, limit=manifest.max_tokens, vocabulary=manifest.vocabulary)
    return Engine(session, tokens, manifest, spec)


def _config(path: Path) -> dict[str, Any]:
    """Read config.json.

    Raises:
        ModelError: it tells of another architecture than the one that is written here.
    """
    found = described(path)
    for field, wanted in _ARCHITECTURE.items():
        if found.get(field, wanted) != wanted:
            raise ModelError(
                f"{path} says {field}={found[field]}, and graphs are made here for {wanted} alone: export the model to "
                "ONNX with another tool, and name its *.onnx in models.toml."
            )
    for field, kinds in _NUMBERS.items():
        if type(found.get(field)) not in kinds or not found[field] > 0:
            raise ModelError(f"{path} says {field}={found.get(field)}, where a BERT has a positive number: {REMEDY}.")
    if found["hidden_size"] % found["num_attention_heads"]:
        raise ModelError(f"{path} has a hidden_size that num_attention_heads does not divide: {REMEDY}.")
    return found


def _check_fit(name: str, spec: Spec, config: Mapping[str, Any], tensors: Tensors) -> None:
    """Hold the entry in models.toml, config.json and weights to each other.

    Raises:
        ModelError: two of them speak of different models.
    """
    table, positions = (tensors[f"embeddings.{kind}_embeddings.weight"].shape for kind in ("word", "position"))
    if table != (config["vocab_size"], config["hidden_size"]):
        raise ModelError(
            f"config.json of the model {name} speaks of {config['vocab_size']} tokens of {config['hidden_size']} "
            f"numbers, and its weights have {' of '.join(map(str, table))}: take both from the same place."
        )
    if spec.max_tokens > positions[0]:
        raise ModelError(f"The model {name} has {positions[0]} positions: lower 'max_tokens' in models.toml.")
    check_dimensions(name, spec, config["hidden_size"])


def _save(model: onnx.ModelProto, folder: Path) -> None:
    onnx.save_model(
        model, str(folder / GRAPH), save_as_external_data=True, location=WEIGHTS, size_threshold=_SMALLEST_EXTERNAL
    )
    (folder / WEIGHTS).chmod(0o644)  # onnx lets its owner alone read it, who is not always the one who serves
    try:
        onnx.checker.check_model(str(folder / GRAPH), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"The weights do not fit together as config.json says ({reason}): take both from the same place."
        ) from error


def _publish(manifest: Manifest, staging: Path, out: Path) -> None:
    """Replace the files while there is no manifest, so that a half is never taken for a whole."""
    (out / MANIFEST).unlink(missing_ok=True)
    for name in manifest.files:
        (staging / name).replace(out / name)
    manifest.write(out)
