"""Makes the ONNX model of all-MiniLM-L6-v2 once, from a Python package's weights, with numpy and onnx alone."""

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

import onnx

from gpu_service import graph, weights
from gpu_service.model import GRAPH, MANIFEST, NAME, TOKENIZER, WEIGHTS, File, Manifest, ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_TOKENS: Final = 256  # sentence_bert_config.json: beyond it the model was not trained
_SMALLEST_EXTERNAL: Final = 1024  # bytes; smaller constants stay in the graph, where shape inference can see them


def build(out: Path, *, source: Path | None = None, force: bool = False) -> bool:
    """Make the model in `out`, unless the very same one is there; returns whether anything was made.

    Raises:
        ModelError: the weights are missing or not the pinned ones, or `out` cannot be written.
    """
    if not force and is_current(out):
        return False
    source = source or weights.locate()
    weights.check(source)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _alone(out):
            if not force and is_current(out):
                return False  # somebody else was building it
            with tempfile.TemporaryDirectory(prefix=".build-", dir=out) as staging:
                _publish(_make(source, Path(staging)), Path(staging), out)
    except OSError as error:
        raise ModelError(f"{out} cannot be written: {error.strerror or error}.") from error
    return True


def is_current(out: Path) -> bool:
    """Say in milliseconds whether `out` holds this very model.

    The large file's digest is taken again only if the file is younger than the manifest; the server takes it always.
    """
    try:
        manifest = Manifest.read(out)
        if (manifest.source, manifest.recipe) != (weights.DIGESTS["model.safetensors"], recipe()):
            return False
        return all(_is_whole(out, name, file) for name, file in manifest.files.items())
    except (ModelError, OSError):
        return False


def recipe() -> str:
    """Give the digest of the code that makes the graph: another recipe makes another model."""
    return hashlib.sha256(Path(graph.__file__).read_bytes()).hexdigest()


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


def _make(source: Path, staging: Path) -> Manifest:
    config = json.loads((source / "config.json").read_bytes())
    model = graph.bert(graph.Shape.of(config), weights.read(source / "model.safetensors"))
    onnx.save_model(
        model, str(staging / GRAPH), save_as_external_data=True, location=WEIGHTS, size_threshold=_SMALLEST_EXTERNAL
    )
    (staging / WEIGHTS).chmod(0o644)  # onnx lets its owner alone read it, who is not always the one who serves
    onnx.checker.check_model(str(staging / GRAPH), full_check=True)
    shutil.copyfile(source / TOKENIZER, staging / TOKENIZER)
    return Manifest(
        name=NAME,
        task="embedding",
        dimensions=config["hidden_size"],
        max_tokens=MAX_TOKENS,
        vocabulary=config["vocab_size"],
        source=weights.DIGESTS["model.safetensors"],
        recipe=recipe(),
        files={name: File.of(staging / name) for name in (GRAPH, WEIGHTS, TOKENIZER)},
    )


def _publish(manifest: Manifest, staging: Path, out: Path) -> None:
    """Replace the files while there is no manifest, so that a half is never taken for a whole."""
    (out / MANIFEST).unlink(missing_ok=True)
    for name in manifest.files:
        (staging / name).replace(out / name)
    manifest.write(out)
