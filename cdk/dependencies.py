"""A bundle's third-party packages: installed once for each lock file and target, stripped to what a Lambda needs."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

from shared import manifest

TargetName = Literal["lambda", "host"]

# Nothing reads these at run time. METADATA stays (packages ask for their own version), and so does every licence.
JUNK_FILES: Final = ("RECORD", "INSTALLER", "REQUESTED", "WHEEL", "direct_url.json", "top_level.txt")
JUNK_SUFFIXES: Final = (".pyi", ".pyx", ".pxd", ".c", ".h")
JUNK_FOLDERS: Final = ("bin", "tests", "__pycache__")


class BundleError(Exception):
    """A bundle cannot be built; the message says what to do, in one sentence."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a bundle will run.

    Attributes:
        python: Its minor version, as in `3.14`.
        platform: The words by which uv picks wheels for it.
    """

    name: TargetName
    python: str
    platform: tuple[str, ...]


# The managed runtime stands on Amazon Linux 2023, whose glibc is 2.34.
LAMBDA: Final = Target("lambda", "3.14", ("--python-platform", "aarch64-manylinux_2_28", "--python-version", "3.14"))


def target(name: TargetName) -> Target:
    """Return the deployed target, or this machine under this Python."""
    if name == "lambda":
        return LAMBDA
    return Target("host", f"{sys.version_info.major}.{sys.version_info.minor}", ("--python", sys.executable))


def uv() -> str:
    """Find the uv that came with this environment, or the one on the path.

    Raises:
        BundleError: There is neither.
    """
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise BundleError("uv is not installed beside this Python: run `make setup`.")
    return found


@cache
def compiler(python: str) -> str | None:
    """Find an interpreter of the minor version `python`; with `None`, a cold start must compile."""
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    command = [uv(), "python", "find", "--offline", "--no-project", "--no-python-downloads", python]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


def compile_bytecode(tree: Path, python: str) -> None:
    """Compile `tree` to bytecode that is never checked against its source: same bytes every time, nothing to stat.

    Raises:
        BundleError: A file is not valid for that version of Python.
    """
    interpreter = compiler(python)
    if interpreter is None:
        return
    unchecked = ["--invalidation-mode", "unchecked-hash", "-s", str(tree), "-p", "/var/task"]
    command = [interpreter, "-I", "-m", "compileall", "-q", *unchecked, str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BundleError(f"Python {python} cannot compile the bundle: {done.stdout.strip().splitlines()[0]}")


def install(lock: Path, where: Target, cache_folder: Path) -> Path:
    """Return a folder with the packages of `lock` for the target; installs them unless it did so before.

    Raises:
        BundleError: The lock file is missing, or its packages can neither be fetched nor found in uv's cache.
    """
    folder = cache_folder / digest(lock, where)
    if folder.exists():
        return folder
    cache_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_folder, prefix=".new-") as scratch:
        tree = Path(scratch) / "tree"
        _fetch(lock, where, tree)
        _strip(tree)
        compile_bytecode(tree, where.python)
        into_place(tree, folder)
    return folder


def digest(lock: Path, where: Target) -> str:
    """Name what `install` would produce: the lock, the target, the interpreter at hand and this very file."""
    if not lock.exists():
        raise BundleError(f"The lock file {lock} is missing: run `make lock`.")
    parts = [lock.read_bytes(), Path(__file__).read_bytes(), " ".join(_services()).encode(), where.python.encode()]
    machine = sysconfig.get_platform() if where.name == "host" else where.platform[1]
    parts += [machine.encode(), b"compiled" if compiler(where.python) else b"source"]
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:32]


def into_place(tree: Path, folder: Path) -> None:
    """Move a finished tree to its final name in one step; another process that was faster has made the same one."""
    try:
        tree.rename(folder)
    except OSError:
        if not folder.exists():
            raise


def _fetch(lock: Path, where: Target, tree: Path) -> None:
    """Take the packages from uv's cache, and only what is not there from the network."""
    rules = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--no-config", "--quiet", "--color", "never"]
    command = [uv(), "pip", "install", *rules, *where.platform, "--target", str(tree), "-r", str(lock)]
    done = subprocess.run([*command, "--offline"], capture_output=True, text=True, check=False)
    if done.returncode:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = " ".join(done.stderr.split())[:300]
        message = (
            f"The packages of {lock.name} for {where.name} ({where.python}) are neither in uv's cache nor reachable: "
            f"connect to the package index once and try again ({reason})"
        )
        raise BundleError(message)


def _strip(tree: Path) -> None:
    for path in sorted(tree.rglob("*")):
        if path.is_dir() and path.name in JUNK_FOLDERS:
            shutil.rmtree(path)
        elif path.is_file() and _junk(path):
            path.unlink()
    for model in (tree / "botocore" / "data").glob("*/"):
        if model.is_dir() and model.name not in _services():
            shutil.rmtree(model)


def _junk(path: Path) -> bool:
    in_metadata = path.parent.name.endswith(".dist-info")
    return path.suffix in JUNK_SUFFIXES or (in_metadata and path.name in JUNK_FILES)


def _services() -> tuple[str, ...]:
    """Name the AWS services that some function may call; boto3's descriptions of the other 400 weigh 26 MB."""
    actions = (action for f in manifest.FUNCTIONS.values() for grant in f.grants for action in grant.actions)
    return tuple(sorted({"sts", *(action.partition(":")[0] for action in actions)}))
