"""The state folder: one run at a time, readable by its owner only, never overwritten when it cannot be read."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shlex
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

from cdk.local.child import LocalError

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_STATE_DIR: Final = Path(".nexus")
FILE: Final = "state.json"
LOCK: Final = "lock"
LOG_BYTES: Final = 10_000_000
_TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Remembered:
    """What every start of one state folder has in common; keys are "" until they have been made."""

    gpu_token: str
    admin_key: str = ""
    client_key: str = ""
    base_url: str = ""  # of the last run: where the thin client looks

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the folder's memory, or begin one; a file that makes no sense is a LocalError and stays as it is."""
        path = folder / FILE
        if not path.exists():
            return cls(gpu_token=secrets.token_urlsafe(_TOKEN_BYTES))
        try:
            values = json.loads(path.read_bytes())
            if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
                raise LocalError(_damaged(path, "it is no object of strings"))
            return cls(**values)
        except OSError as error:
            raise LocalError(f"The state file {path} cannot be read: {error.strerror}.") from error
        except (ValueError, TypeError) as error:
            raise LocalError(_damaged(path, error)) from error

    def save(self, folder: Path, **changes: str) -> Self:
        """Write the memory with `changes`, whole or not at all, and return it."""
        changed = replace(self, **changes)
        write_private(folder / FILE, asdict(changed))
        return changed


def write_private(path: Path, content: Any) -> None:  # noqa: ANN401 - any JSON
    """Put JSON in place in one step, readable by its owner only; where that cannot be done is a LocalError."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.unlink(missing_ok=True)
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(content, file, indent=1)
            file.write("\n")
        scratch.replace(path)
    except OSError as error:
        raise LocalError(f"{path} cannot be written: {error.strerror}.") from error


def forget(path: Path) -> None:
    """Remove a file, if it is there."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise LocalError(f"{path} cannot be replaced: {error.strerror}.") from error


@contextmanager
def owned(folder: Path) -> Iterator[Path]:
    """Have the folder, made if need be, to oneself for the length of the `with` block."""
    try:
        folder = folder.resolve()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+")
    except OSError as error:
        raise LocalError(f"The state folder {folder} cannot be used: {error.strerror}.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise LocalError(
                f"Another local run (process {owner}) is using {folder}; stop it, or choose another --state-dir."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield folder


def where(folder: Path) -> str:
    """Return what a command has to add to find the run of this state folder: nothing for the usual one."""
    return "" if folder.resolve() == DEFAULT_STATE_DIR.resolve() else f" --state-dir {shlex.quote(str(folder))}"


class Logs:
    """One file for each function, in the state folder; a long one is put aside at the start."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def path(self, name: str) -> Path:
        """Return where `name` logs, with an overlong older log out of the way."""
        path = self.folder / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path

    @contextmanager
    def functions(self, names: dict[str, str]) -> Iterator[FunctionLogs]:
        """Open a log for each function; `names` maps what it is invoked by to what it is called."""
        files = FunctionLogs(
            {key: self.path(name).open("a", buffering=1, errors="replace") for key, name in names.items()}
        )
        try:
            yield files
        finally:
            files.close()


class FunctionLogs:
    """Takes the lines that functions write; those that cannot be kept are dropped, which is said once."""

    def __init__(self, files: dict[str, TextIO]) -> None:
        self._files = files
        self._told = False

    def __call__(self, function: str, line: str) -> None:
        """Write one line; a line that comes after the end is dropped with its process."""
        if not (file := self._files[function]).closed:
            with self._telling():
                file.write(f"{line}\n")

    def close(self) -> None:
        """Close all of them."""
        for file in self._files.values():
            with self._telling():
                file.close()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._told:
                print(f"nexus: logs cannot be written ({error.strerror}); their lines are dropped.", file=sys.stderr)
            self._told = True


def _damaged(path: Path, reason: object) -> str:
    return f"The state file {path} is damaged ({reason}); move it away to make new keys, or choose another --state-dir."
