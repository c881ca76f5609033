"""`nexus keys`: a thin client of `/admin/keys`, of the gateway that runs here or of a deployed one."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from cdk.local.child import LocalError
from cdk.local.client import Client
from cdk.local.state import DEFAULT_STATE_DIR, FILE, Remembered

if TYPE_CHECKING:
    import argparse

COLUMNS: Final = ("id", "name", "role", "tier", "state", "expires", "last4")
PAGE: Final = 100  # keys, the most that the gateway gives at once
LIMITS: Final = ("requests_per_minute", "requests_per_hour", "tokens_per_minute", "concurrency")


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the command's own commands."""
    parser.description = "Make, list and revoke keys; without --base-url, of the local run."
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    create = commands.add_parser("create", help="make a key; it is shown this once")
    create.add_argument("--name", required=True, help="what it is for")
    create.add_argument("--role", choices=("admin", "developer", "viewer", "service"))
    create.add_argument("--tier", choices=("free", "pro", "enterprise"))
    create.add_argument("--models", nargs="+", metavar="MODEL", help="the only models it may use")
    create.add_argument("--expires-days", type=int, metavar="DAYS")
    for limit in LIMITS:
        create.add_argument(f"--{limit.replace('_', '-')}", type=int, metavar="N", help=_limit_help(limit))
    create.set_defaults(run=_create)
    listing = commands.add_parser("list", help="show all keys, never the keys themselves")
    listing.set_defaults(run=_list)
    revoke = commands.add_parser("revoke", help="end a key; its very next request is refused")
    revoke.add_argument("id", help="such as default-3kf9x0a1b2c3")
    revoke.set_defaults(run=_revoke)
    for command in (create, listing, revoke):
        command.add_argument("--base-url", help="of the gateway (default: of the local run)")
        command.add_argument("--admin-key", help="of a key with the admin role (default: the local run's)")
        command.add_argument("--state-dir", type=Path, default=DEFAULT_STATE_DIR, metavar="D", help="of the local run")
        command.add_argument("--json", action="store_true", help="print what the gateway answered")


def _limit_help(limit: str) -> str:
    return "kept with the key; not enforced yet" if limit == "tokens_per_minute" else "instead of the tier's"


def _create(asked: argparse.Namespace) -> int:
    plain = {name: getattr(asked, name) for name in ("name", "role", "tier", "models", "expires_days")}
    body: dict[str, Any] = {name: value for name, value in plain.items() if value is not None}
    limits = {name: value for name in LIMITS if (value := getattr(asked, name)) is not None}
    made = _client(asked).done("POST", "/admin/keys", {**body, "limits": limits} if limits else body)
    print(json.dumps(made, indent=2) if asked.json else f"{table([made])}\n\n{made['key']}\n(shown only now)")
    return 0


def _list(asked: argparse.Namespace) -> int:
    found = _all(_client(asked))
    print(json.dumps(found, indent=2) if asked.json else table(found["data"]))
    return 0


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
    answer = _client(asked).done("DELETE", f"/admin/keys/{quote(asked.id, safe='')}")
    print(json.dumps(answer, indent=2) if asked.json else f"{asked.id} is revoked.")
    return 0


def table(items: list[dict[str, Any]]) -> str:
    """Return keys as aligned columns."""
    rows = [COLUMNS, *(tuple(_shown(item, column) for column in COLUMNS) for item in items)]
    widths = [max(len(row[number]) for row in rows) for number in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _shown(item: dict[str, Any], column: str) -> str:
    if column == "state":
        return "revoked" if item.get("revoked") else "active"
    if column == "expires":
        return time.strftime("%Y-%m-%d", time.gmtime(item["expires_at"])) if item.get("expires_at") else "never"
    return str(item.get(column, ""))


def _client(asked: argparse.Namespace) -> Client:
    if asked.base_url and asked.admin_key:
        return Client(asked.base_url, asked.admin_key)
    folder: Path = asked.state_dir
    memory = Remembered.load(folder) if (folder / FILE).exists() else None
    base_url, key = asked.base_url or (memory and memory.base_url), asked.admin_key or (memory and memory.admin_key)
    if not base_url or not key:
        raise LocalError(
            f"{folder} knows no local run: start one with `nexus local`, or give --base-url and --admin-key."
        )
    return Client(base_url, key)
