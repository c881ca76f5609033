"""`nexus models`: which models and aliases a key may use, and somebody serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdk.cli import access
from cdk.cli.tables import show

if TYPE_CHECKING:
    import argparse

COLUMNS: Final = ("id", "owned_by")


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.description = "List the models and aliases that a key may use and somebody serves, as GET /v1/models does."
    parser.set_defaults(run=_list)
    access.add((parser,))


def _list(asked: argparse.Namespace) -> int:
    return show(access.client(asked).done("GET", "/v1/models"), COLUMNS, as_json=asked.json)
