"""`nexus keys`: a thin client of `/admin/keys`, of the gateway that runs here or of a deployed one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from cdk.cli import access
from cdk.cli.governance import BUDGET, LIMITS
from cdk.cli.tables import show, table
from shared.core.principals import ROLES, TIERS

if TYPE_CHECKING:
    import argparse

    from cdk.local.client import Client

COLUMNS: Final = ("id", "name", "role", "tier", "state", "expires", "last4")
OWNERS: Final = ("team", "user")
PAGE: Final = 100  # keys, the most that the gateway gives at once


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the command's own commands."""
    parser.description = "Make, list, edit, rotate and revoke keys; without --base-url, of the local run."
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    create = commands.add_parser("create", help="make a key; it is shown this once")
    create.add_argument("--name", required=True, help="what it is for")
    create.add_argument("--role", choices=ROLES)
    create.add_argument("--tier", choices=TIERS)
    create.add_argument("--models", nargs="+", metavar="MODEL", help="the only models it may use")
    create.add_argument("--expires-days", type=int, metavar="DAYS")
    for limit in LIMITS:
        create.add_argument(f"--{limit.replace('_', '-')}", type=int, metavar="N", help="instead of the tier's")
    for amount in BUDGET:
        create.add_argument(f"--{amount.replace('_', '-')}", metavar="USD")
    for owner in OWNERS:
        create.add_argument(f"--{owner}", metavar="ID")
    create.set_defaults(run=_create)
    listing = commands.add_parser("list", help="show all keys, never the keys themselves")
    listing.add_argument("--limit", type=int, metavar="N", help="one page of so many, instead of all")
    listing.add_argument("--after", metavar="ID", help="the last id of the page before")
    listing.set_defaults(run=_list)
    revoke = commands.add_parser("revoke", help="end a key; its very next request is refused")
    revoke.add_argument("id", help="such as default-3kf9x0a1b2c3")
    revoke.set_defaults(run=_revoke)
    rotate = commands.add_parser("rotate", help="give a key a new secret; the old one lasts for the overlap")
    rotate.add_argument("id")
    rotate.add_argument("--overlap-seconds", type=int, metavar="N", help="0 ends the old secret at once")
    rotate.set_defaults(run=_rotate)
    edit = commands.add_parser("edit", help="change what is given; it acts on the key's next request")
    edit.add_argument("id")
    for field in ("name", *OWNERS):
        edit.add_argument(f"--{field}", help='"" takes it away' if field in OWNERS else None)
    edit.add_argument("--role", choices=ROLES)
    edit.add_argument("--tier", choices=TIERS)
    edit.add_argument("--models", nargs="*", metavar="MODEL", help="the only models it may use; none given is all")
    edit.add_argument("--expires-days", type=int, metavar="DAYS", help="from now")
    edit.set_defaults(run=_edit)
    access.add((create, listing, revoke, rotate, edit))


def _create(asked: argparse.Namespace) -> int:
    plain = {name: getattr(asked, name) for name in ("name", "role", "tier", "team", "user", "models", "expires_days")}
    body: dict[str, Any] = {name: value for name, value in plain.items() if value is not None}
    limits = {name: value for name in LIMITS if (value := getattr(asked, name)) is not None}
    budget = {name: value for name in BUDGET if (value := getattr(asked, name)) is not None}
    for name, part in (("limits", limits), ("budget", budget)):
        body |= {name: part} if part else {}
    return _show_made(asked, access.client(asked).done("POST", "/admin/keys", body))


def _list(asked: argparse.Namespace) -> int:
    client = access.client(asked)
    query = {name: value for name in ("limit", "after") if (value := getattr(asked, name)) is not None}
    found = client.done("GET", f"/admin/keys?{urlencode(query)}") if query else _all(client)
    return show(found, COLUMNS, as_json=asked.json)


def _all(client: Client) -> dict[str, Any]:
    """Return the answer that the gateway would give if a page had no end."""
    data: list[Any] = []
    after = ""
    while True:
        page = client.done("GET", f"/admin/keys?limit={PAGE}{after}")
        data += page["data"]
        if not page["has_more"]:
            return {**page, "data": data, "first_id": data[0]["id"] if data else None}
        after = f"&after={quote(page['last_id'], safe='')}"


def _revoke(asked: argparse.Namespace) -> int:
    answer = access.client(asked).done("DELETE", f"/admin/keys/{quote(asked.id, safe='')}")
    print(json.dumps(answer, indent=2) if asked.json else f"{asked.id} is revoked.")
    return 0


def _rotate(asked: argparse.Namespace) -> int:
    overlap = {} if asked.overlap_seconds is None else {"overlap_seconds": asked.overlap_seconds}
    rotated = access.client(asked).done("POST", f"/admin/keys/{quote(asked.id, safe='')}/rotate", overlap)
    return _show_made(asked, rotated)


def _edit(asked: argparse.Namespace) -> int:
    names = ("name", "role", "tier", "models", "expires_days", *OWNERS)
    given = {name: value for name in names if (value := getattr(asked, name)) is not None}
    body = {name: None if name in OWNERS and not value else value for name, value in given.items()}
    edited = access.client(asked).done("PATCH", f"/admin/keys/{quote(asked.id, safe='')}", body)
    return show(edited, COLUMNS, as_json=asked.json)


def _show_made(asked: argparse.Namespace, made: dict[str, Any]) -> int:
    print(json.dumps(made, indent=2) if asked.json else f"{table(COLUMNS, [made])}\n\n{made['key']}\n(shown only now)")
    return 0
