"""Synthesize the app in a process of its own, once for each state of its sources: the tests and the local run share it.

The caller so pays neither for jsii nor for Node.js, and whoever asks second (another test worker, the next start) gets
the finished folder. Zips are not copied into it: its asset manifest points at `build/bundles`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from cdk.app import bundle_all
from cdk.bundle import BUILD, ROOT
from cdk.config import Config, defaults
from cdk.node import node

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STACK: Final = "AiNexus"
SOURCES: Final = ("cdk/*.py", "cdk/constructs/*.py", "shared/manifest.py", "cdk.json", "requirements.lock")
KEPT: Final = 8  # folders of earlier states
IDLE_SECONDS: Final = 3600.0  # who asked for a folder may read it for as long


class SynthesisError(Exception):
    """The app does not synthesize; the message holds what CDK said."""


def synthesize(config: Config, *, validate: bool = False) -> Path:
    """Return the cloud assembly for `config`; made now, unless nothing has changed since it was made.

    `validate` also runs CDK's own CloudFormation validator, about 6 s of CPU. cdk-nag always runs.

    Raises:
        SynthesisError: The app or a rule refused.
        BundleError, ConfigError, NodeMissingError, SourceError: As their docstrings say.
    """
    bundles = bundle_all(config)
    folder = BUILD / "synth" / _key(config, sorted(path.name for path in bundles.values()), validate=validate)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(BUILD / "synth.lock"):
        if not folder.exists():
            _run(config, folder, validate=validate)
        folder.touch()
        _forget_oldest(folder.parent)
    return folder


def template(assembly: Path) -> dict[str, Any]:
    """Read the CloudFormation template of an assembly."""
    content: dict[str, Any] = json.loads((assembly / f"{STACK}.template.json").read_text())
    return content


def assets(assembly: Path) -> dict[str, Path]:
    """Map the S3 key that the template gives to a function's code to the folder that would be zipped under it."""
    files = json.loads((assembly / f"{STACK}.assets.json").read_text())["files"].values()
    return {
        destination["objectKey"]: assembly / file["source"]["path"]  # an absolute path stays one
        for file in files
        if file["source"]["packaging"] == "zip"
        for destination in file["destinations"].values()
    }


def _key(config: Config, bundles: list[str], *, validate: bool) -> str:
    total = hashlib.sha256(json.dumps([config.context(), bundles, validate], sort_keys=True).encode())
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            total.update(str(path.relative_to(ROOT)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:32]


def _run(config: Config, folder: Path, *, validate: bool) -> None:
    unfinished = folder.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)  # left by a run that was killed; the lock is ours
    context = {**defaults(), **config.context(), "aws:cdk:disable-asset-staging": True}
    environment = {
        **os.environ,
        "CDK_OUTDIR": str(unfinished),
        "CDK_CONTEXT_JSON": json.dumps(context),
        "CDK_VALIDATION": str(validate).lower(),
        "JSII_NODE": node(),
    }
    command = [sys.executable, "-m", "cdk.app"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SynthesisError(f"The CDK app does not synthesize:\n{(done.stderr + done.stdout)[-4_000:]}")
    unfinished.rename(folder)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _forget_oldest(parent: Path) -> None:
    used = {folder: folder.stat().st_mtime for folder in parent.iterdir()}
    for folder in sorted(used, key=used.__getitem__)[:-KEPT]:
        if used[folder] < time.time() - IDLE_SECONDS:
            shutil.rmtree(folder)
