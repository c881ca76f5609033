"""Which gateway a command speaks to, with whose key: flags, a profile, the local run, or the default profile."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from cdk.local.child import LocalError
from cdk.local.client import Client
from cdk.local.state import DEFAULT_STATE_DIR, FILE, Remembered, where

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

PROFILES: Final = Path("~/.config/nexus")
OTHERS: Final = 0o077  # permissions of everybody but the owner


class Profile(NamedTuple):
    """A gateway and a key for it."""

    base_url: str = ""
    admin_key: str = ""


def add(commands: Iterable[argparse.ArgumentParser]) -> None:
    """Let each command say where it leads."""
    for command in commands:
        command.add_argument("--base-url", help="of the gateway (default: of the local run)")
        command.add_argument("--admin-key", help="of a key with the admin role (default: the local run's)")
        command.add_argument(
            "--profile", metavar="P", help=f"a file, or a name in {PROFILES}, written by `nexus login`"
        )
        command.add_argument("--state-dir", type=Path, default=DEFAULT_STATE_DIR, metavar="D", help="of the local run")
        command.add_argument("--json", action="store_true", help="print what the gateway answered")


def client(asked: argparse.Namespace) -> Client:
    """Return the way to the gateway; where nothing leads to one, that is a LocalError that says what to do.

    A key that is remembered goes to the gateway that it was remembered for, and to no other that somebody names.
    """
    for known in _known(asked):
        base_url, key = asked.base_url or known.base_url, asked.admin_key or known.admin_key
        elsewhere = base_url.rstrip("/") != known.base_url.rstrip("/")
        if base_url and key and (asked.admin_key or not elsewhere):
            return Client(base_url, key)
    if asked.base_url:
        raise LocalError(f"No key is known for {asked.base_url}: give --admin-key, or keep one with `nexus login`.")
    raise LocalError(
        f"{asked.state_dir} knows no local run: start one with `nexus local{where(asked.state_dir)}`, or give "
        "--base-url and --admin-key, or keep both with `nexus login`."
    )


def add_login(parser: argparse.ArgumentParser) -> None:
    """Describe `nexus login`."""
    parser.description = "Keep the address of a gateway and a key for it in a file that only you can read."
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--admin-key", required=True)
    parser.add_argument("--profile", metavar="P", default="default", help="a file, or a name (default: %(default)s)")
    parser.set_defaults(run=_login)


def _login(asked: argparse.Namespace) -> int:
    Client(asked.base_url, asked.admin_key).done("GET", "/admin/keys?limit=1")
    path = _path(asked.profile)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # whatever it was, and whoever could read it
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(Profile(asked.base_url, asked.admin_key)._asdict(), file)
    except OSError as error:
        raise LocalError(f"{path} cannot be written: {error.strerror}.") from error
    print(f"{path} is written.")
    return 0


def _known(asked: argparse.Namespace) -> Iterable[Profile]:
    if asked.profile:
        yield _read(_path(asked.profile))
        return
    yield Profile()
    if (asked.state_dir / FILE).exists():
        memory = Remembered.load(asked.state_dir)
        yield Profile(memory.base_url, memory.admin_key)
    if _path("default").exists():
        yield _read(_path("default"))


def _path(name: str) -> Path:
    return Path(name) if "/" in name else (PROFILES / f"{name}.json").expanduser()


def _read(path: Path) -> Profile:
    try:
        if path.stat().st_mode & OTHERS:
            raise LocalError(f"{path} holds a key, and others can read it: chmod 600 {path}")
        told = json.loads(path.read_text())
        return Profile(str(told["base_url"]), str(told["admin_key"]))
    except OSError as error:
        raise LocalError(f"{path} cannot be read: {error.strerror}. Write it with `nexus login`.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise LocalError(f"{path} is no profile. Write it anew with `nexus login`.") from error
