"""`nexus catalog`: look at the catalogs of a gateway, push one into service, take it back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from cdk.catalog import read
from cdk.cli import access
from cdk.cli.tables import show
from cdk.local.child import LocalError
from shared.compiler.source import SourceError

if TYPE_CHECKING:
    import argparse

COLUMNS: Final = ("number", "live", "digest", "name", "created_at")


def add(parser: argparse.ArgumentParser) -> None:
    """Add the commands below `nexus catalog`."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    push = commands.add_parser("push", help="check a catalog.toml and have it be live within a minute")
    push.add_argument("file", type=Path)
    push.add_argument("--prices", type=Path, metavar="FILE", help="a prices.toml (default: the prices that are live)")
    push.set_defaults(run=_push)
    listing = commands.add_parser("list", help="list what was pushed")
    listing.set_defaults(run=_list)
    look = commands.add_parser("show", help="print a catalog as it was pushed")
    look.add_argument("number", nargs="?", default="live", help="default: the live one")
    look.set_defaults(run=_show)
    back = commands.add_parser("rollback", help="have an earlier catalog be live again")
    back.add_argument("number", nargs="?", type=int, help="0 is the deployed one (default: what was live before)")
    back.set_defaults(run=_roll_back)
    access.add((push, listing, look, back))


def _push(asked: argparse.Namespace) -> int:
    try:
        sources = {"catalog": read(asked.file)} | ({"prices": read(asked.prices)} if asked.prices else {})
    except SourceError as error:
        raise LocalError(str(error)) from error
    body = {"name": sources["catalog"].name, **{what: source.text for what, source in sources.items()}}
    return show(access.client(asked).done("PUT", "/admin/catalog", body), COLUMNS, as_json=asked.json)


def _list(asked: argparse.Namespace) -> int:
    return show(_get(asked, "/admin/catalog?limit=100"), COLUMNS, as_json=asked.json)


def _show(asked: argparse.Namespace) -> int:
    found = _get(asked, f"/admin/catalog/{quote(asked.number, safe='')}")
    if asked.json or found["catalog"] is None:
        return show(found, COLUMNS, as_json=asked.json)
    print(found["catalog"], end="")
    return 0


def _roll_back(asked: argparse.Namespace) -> int:
    body = {"to": asked.number}
    return show(access.client(asked).done("POST", "/admin/catalog/rollback", body), COLUMNS, as_json=asked.json)


def _get(asked: argparse.Namespace, path: str) -> dict[str, Any]:
    answer: dict[str, Any] = access.client(asked).done("GET", path)
    return answer
