"""From an entry of `models.toml` to a folder that can be served, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from gpu_service import specs
from gpu_service.model import MANIFEST, File, Manifest, place
from gpu_service.sources import locate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gpu_service.settings import Settings
    from gpu_service.specs import Spec


@dataclass(frozen=True, slots=True)
class Prepared:
    """A folder with every file of a model, its digests, and how it is served."""

    directory: Path
    manifest: Manifest
    spec: Spec


def planned(settings: Settings) -> Mapping[str, Spec]:
    """Name the models that are to be served: the one in MODEL_DIR, or those of MODELS.

    Raises:
        ModelError: there is no such folder or file, or an entry is wrong.
    """
    if settings.model_dir is not None:
        manifest = Manifest.read(settings.model_dir)
        return {manifest.name: specs.of_manifest(manifest, settings.model_dir)}
    return specs.load(settings.models)


def prepare(name: str, spec: Spec, *, store: Path) -> Prepared:
    """Bring the files of a model together; what is made here or fetched lies under `store`.

    Raises:
        ModelError: it has not been made, or a file is missing or another one.
    """
    if spec.weights is not None:
        directory = place(store, name, spec.precision)
        manifest = Manifest.read(directory, name)
        kept = specs.of_manifest(manifest, directory)  # the labels, which the weights' config.json named
        return Prepared(directory, manifest, msgspec.structs.replace(spec, labels=spec.labels or kept.labels))
    directory = locate(spec, cache=store / name)
    if MANIFEST in spec.sha256 or not spec.sha256:
        manifest = Manifest.read(directory, name)
        return Prepared(directory, manifest, specs.of_manifest(manifest, directory))
    return Prepared(directory, _described(name, spec, directory), specs.labelled(spec, directory))


def _described(name: str, spec: Spec, directory: Path) -> Manifest:
    """Describe a graph that is served as it is; the digests were checked a moment ago."""
    return Manifest(
        name=name,
        task=spec.task,
        dimensions=0,
        max_tokens=spec.max_tokens,
        vocabulary=0,
        source=spec.sha256[str(spec.graph)],
        recipe="",
        files={file: File(digest, (directory / file).stat().st_size) for file, digest in spec.sha256.items()},
    )
