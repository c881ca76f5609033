"""Makes a model's ONNX graph once, from the safetensors of the BERT family, with numpy and onnx alone."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import onnx

from gpu_service import graph, specs, weights
from gpu_service.model import GRAPH, MANIFEST, NAME, TOKENIZER, WEIGHTS, File, Manifest, ModelError
from gpu_service.sources import check, locate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_service.specs import Spec

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
    """Give the digest of the code that makes the graph and of what it is told: another recipe makes another model."""
    told = msgspec.json.encode([spec.task, spec.precision, spec.pooling, spec.normalize, spec.max_tokens, spec.labels])
    return hashlib.sha256(Path(graph.__file__).read_bytes() + told).hexdigest()


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
    digest = _weights(spec)
    config = json.loads((source / "config.json").read_bytes())
    model = graph.bert(graph.Shape.of(config), weights.read(source / str(spec.weights)))
    onnx.save_model(
        model, str(staging / GRAPH), save_as_external_data=True, location=WEIGHTS, size_threshold=_SMALLEST_EXTERNAL
    )
    (staging / WEIGHTS).chmod(0o644)  # onnx lets its owner alone read it, who is not always the one who serves
    onnx.checker.check_model(str(staging / GRAPH), full_check=True)
    shutil.copyfile(source / TOKENIZER, staging / TOKENIZER)
    return Manifest(
        name=name,
        task=spec.task,
        dimensions=config["hidden_size"],
        max_tokens=spec.max_tokens,
        vocabulary=config["vocab_size"],
        source=digest,
        recipe=recipe(spec),
        files={file: File.of(staging / file) for file in (GRAPH, WEIGHTS, TOKENIZER)},
        precision=spec.precision,
        spec=specs.portable(spec),
    )


def _publish(manifest: Manifest, staging: Path, out: Path) -> None:
    """Replace the files while there is no manifest, so that a half is never taken for a whole."""
    (out / MANIFEST).unlink(missing_ok=True)
    for name in manifest.files:
        (staging / name).replace(out / name)
    manifest.write(out)
