"""The folder that becomes a function's zip: dependencies, our sources, the start script and the compiled catalog.

A bundle is named after the digest of all that goes into it, so that an unchanged function is not deployed again and
two builds of one commit agree. The same code builds it for Lambda and for this machine: the local run executes it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from cdk.dependencies import (
    BundleError,
    Target,
    TargetName,
    compile_bytecode,
    compiler,
    install,
    into_place,
    target,
)
from cdk.dependencies import digest as dependencies_digest
from cdk.sources import needed
from shared import manifest, parts

__all__ = ["BUILD", "ROOT", "BundleError", "TargetName", "build", "digest"]

ROOT: Final = Path(__file__).resolve().parents[1]
BUILD: Final = ROOT / "build"
RUNTIME: Final = "functions.runtime"  # what the start script runs
BOOTSTRAP: Final = "functions/bootstrap"


def build(bundle: parts.Bundle, where: TargetName, catalog: bytes) -> Path:
    """Return the folder of `bundle` for the target `where`, with `catalog` (compiled) in it; builds it if need be.

    Raises:
        BundleError: A source or lock file is missing, or packages cannot be fetched.
    """
    chosen = target(where)
    files = _contents(bundle, catalog)
    folder = BUILD / "bundles" / _name(bundle, chosen, files)
    if folder.exists():
        return folder
    packages = install(_lock(bundle), chosen, BUILD / "deps")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as scratch:
        tree = Path(scratch) / "tree"
        shutil.copytree(packages, tree, copy_function=_link)
        _write(files, tree)
        for package in sorted({Path(name).parts[0] for name in files if name.endswith(".py")}):
            compile_bytecode(tree / package, chosen.python)
        into_place(tree, folder)
    return folder


def digest(bundle: parts.Bundle, where: TargetName, catalog: bytes) -> str:
    """Return the name that `build` would give, without building; same errors."""
    return _name(bundle, target(where), _contents(bundle, catalog))


def _contents(bundle: parts.Bundle, catalog: bytes) -> dict[str, bytes]:
    """Map each of our own files in the bundle to its bytes."""
    functions = (*manifest.FUNCTIONS.values(), manifest.CLOUD_RUN)
    modules = [f.handler.rpartition(".")[0] for f in functions if f.bundle == bundle]
    try:
        files = {name: file.read_bytes() for name, file in needed([RUNTIME, *modules], ROOT).items()}
        files["bootstrap"] = (ROOT / BOOTSTRAP).read_bytes()
    except FileNotFoundError as error:
        raise BundleError(f"The {bundle} bundle needs {error.filename or error}, which is not there.") from error
    return {**files, "catalog.json": catalog}


def _name(bundle: parts.Bundle, where: Target, files: dict[str, bytes]) -> str:
    total = hashlib.sha256(dependencies_digest(_lock(bundle), where).encode())
    total.update(Path(__file__).read_bytes() + f"{where.python} {compiler(where.python) is None}".encode())
    for name in sorted(files):
        total.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
    return f"{bundle}-{where.name}-{total.hexdigest()[:32]}"


def _lock(bundle: parts.Bundle) -> Path:
    return ROOT / "functions" / f"{bundle}.lock"


def _write(files: dict[str, bytes], tree: Path) -> None:
    for name, content in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if name == "bootstrap" else 0o644)


def _link(source: str, destination: str) -> None:
    """Share the file instead of copying it, where the file system can: a bundle then costs only its own sources."""
    try:
        os.link(source, destination)
    except OSError:
        shutil.copy2(source, destination)
