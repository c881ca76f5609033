"""`nexus organizations`, `users`, `teams`, `limits`, `budgets`, `blocks`, `usage`, `audit`: thin clients of routes."""

from __future__ import annotations

import signal
import sys
from getpass import getpass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from cdk.cli import access, usage
from cdk.cli.tables import show
from cdk.local.child import LocalError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

LIMITS: Final = ("requests_per_minute", "requests_per_hour", "tokens_per_minute", "concurrency")
BUDGET: Final = ("daily_usd", "monthly_usd", "total_usd")
SCOPE: Final = "org, key:ID, user:ID, team:ID, model:NAME"
OPTIONAL: Final = ("email", "team")
PEOPLE: Final = {
    "users": ("id", "name", "email", "role", "tier", "team", "disabled"),
    "teams": ("id", "name", "limits", "budget"),
}


def add(commands: Any) -> None:  # noqa: ANN401 - argparse does not name its type
    """Add all of them to the command's own commands."""
    for kind in PEOPLE:
        _add_people(commands.add_parser(kind, help=f"make, edit, list and delete {kind}"), kind)
    scopes = "limits", "budgets"
    for topic, fields, what in zip(scopes, (LIMITS, BUDGET), ("limits", "budget"), strict=True):
        _add_scope(commands.add_parser(topic, help=f"look at and set the {what} of a scope"), topic, fields)
    _add_organizations(commands.add_parser("organizations", help="make, list, rename and set up tenants"))
    _add_blocks(commands.add_parser("blocks", help="shut keys, users and networks out for a time"))
    usage.add(commands.add_parser("usage", help="who spent what, and how models compare"))
    _add_audit(commands.add_parser("audit", help="who changed what"))


def _commands(parser: argparse.ArgumentParser) -> Any:  # noqa: ANN401 - argparse does not name its type
    return parser.add_subparsers(title="commands", metavar="COMMAND", required=True)


def _paged(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=100, metavar="N")
    parser.add_argument("--after", metavar="ID", help="the last id of the page before")


def _add_people(parser: argparse.ArgumentParser, kind: str) -> None:
    columns = PEOPLE[kind]
    one, commands = kind[:-1], _commands(parser)
    create = commands.add_parser("create", help=f"make a {one}")
    edit = commands.add_parser("edit", help="change what is given")
    listing = commands.add_parser("list", help="show all")
    delete = commands.add_parser("delete", help=f"delete a {one}")
    for command in (create, edit, delete):
        command.add_argument("id", help=f"of the {one}, chosen when it is made")
    for command in (create, edit):
        for field in ("name", *OPTIONAL, "role", "tier") if kind == "users" else ("name",):
            takes_away = '"" takes it away' if command is edit and field in OPTIONAL else None
            command.add_argument(f"--{field}", required=field == "name" and command is create, help=takes_away)
    _paged(listing)
    more: list[argparse.ArgumentParser] = []
    if kind == "users":
        edit.add_argument("--disabled", choices=("yes", "no"), help="whether the user may call no more, for now")
        for command in (create, edit):
            command.add_argument("--models", nargs="*", metavar="MODEL", help="the only models; none given is all")
            command.add_argument(
                "--password", action="store_true", help="ask for one to log in with, or read a line of standard input"
            )
        for name, method in (("export", "GET"), ("erase", "POST")):
            command = commands.add_parser(name, help=f"{name} all that is held of a user")
            command.add_argument("id")
            command.set_defaults(run=_personal, method=method, topic=name)
            more.append(command)
    create.set_defaults(run=_create)
    edit.set_defaults(run=_edit_person)
    listing.set_defaults(run=_list)
    delete.set_defaults(run=_delete)
    for command in (create, edit, listing, delete):
        command.set_defaults(columns=columns, topic=kind)
    access.add((create, edit, listing, delete, *more))


def _add_organizations(parser: argparse.ArgumentParser) -> None:
    commands = _commands(parser)
    create = commands.add_parser("create", help="make one; its first administrator's key is shown this once")
    listing = commands.add_parser("list", help="show all")
    rename = commands.add_parser("rename", help="give one another name")
    change = commands.add_parser("set", help="choose what happens to one while the store is lost")
    ceiling = commands.add_parser("ceiling", help="show the most that one may spend, whatever its own budget")
    cap = commands.add_parser("cap", help="replace that; none given is none")
    for command in (create, rename, change, ceiling, cap):
        command.add_argument("id", help="of the organization, chosen when it is made")
    for command in (create, rename):
        command.add_argument("--name", required=True)
    change.add_argument(
        "--on-store-loss",
        choices=("refuse", "serve"),
        required=True,
        help="while the store of limits and budgets is away: answer 503, or serve unlimited and book it afterwards",
    )
    for field in BUDGET:
        cap.add_argument(f"--{field.replace('_', '-')}", metavar="N")
    ceiling.set_defaults(run=_ceiling, method="GET")
    cap.set_defaults(run=_ceiling, method="PUT")
    _paged(listing)
    create.set_defaults(run=_found)
    listing.set_defaults(run=_list)
    rename.set_defaults(run=lambda asked: _edit_organization(asked, {"name": asked.name}))
    change.set_defaults(run=lambda asked: _edit_organization(asked, {"on_store_loss": asked.on_store_loss}))
    for command in (create, listing, rename, change):
        command.set_defaults(columns=("id", "name", "on_store_loss", "created_at"), topic="organizations")
    access.add((create, listing, rename, change, ceiling, cap))


def _add_scope(parser: argparse.ArgumentParser, topic: str, fields: tuple[str, ...]) -> None:
    commands = _commands(parser)
    get = commands.add_parser("get", help="show those of one scope")
    put = commands.add_parser("set", help="replace all of a scope; none given is none")
    for command in (get, put):
        command.add_argument("scope", help=SCOPE + (", tier:NAME or class:NAME" if topic == "limits" else ""))
        command.set_defaults(topic=topic, fields=fields)
    for field in fields:
        put.add_argument(f"--{field.replace('_', '-')}", type=int if topic == "limits" else str, metavar="N")
    get.set_defaults(run=_get_scope)
    put.set_defaults(run=_set_scope)
    access.add((get, put))


def _add_blocks(parser: argparse.ArgumentParser) -> None:
    commands = _commands(parser)
    create = commands.add_parser("create", help="shut somebody out, from the next request on")
    listing = commands.add_parser("list", help="show who is shut out")
    delete = commands.add_parser("delete", help="let somebody in again")
    create.add_argument("kind", choices=("key", "user", "ip"))
    create.add_argument("id", help="of a key or user, or a network such as 203.0.113.0/24")
    create.add_argument("--seconds", type=int, required=True)
    create.add_argument("--reason")
    _paged(listing)
    delete.add_argument("id", help="such as user:ada")
    create.set_defaults(run=_create)
    listing.set_defaults(run=_list)
    delete.set_defaults(run=_delete)
    for command in (create, listing, delete):
        command.set_defaults(columns=("id", "until", "over", "reason"), topic="blocks")
    access.add((create, listing, delete))


def _add_audit(parser: argparse.ArgumentParser) -> None:
    _paged(parser)
    parser.set_defaults(run=_list, topic="audit", columns=("at", "who", "action", "target"))
    access.add((parser,))


def _create(asked: argparse.Namespace) -> int:
    body = _given(asked, ("id", "name", "email", "role", "tier", "team", "models", "kind", "seconds", "reason"))
    made = access.client(asked).done("POST", f"/admin/{asked.topic}", body)
    return show(made, asked.columns, as_json=asked.json)


def _edit_person(asked: argparse.Namespace) -> int:
    body = _given(asked, ("name", "email", "role", "tier", "team", "models"))
    body |= {name: None for name in OPTIONAL if body.get(name) == ""}
    if getattr(asked, "disabled", None):
        body["disabled"] = asked.disabled == "yes"
    path = f"/admin/{asked.topic}/{quote(asked.id, safe='')}"
    return show(access.client(asked).done("PATCH", path, body), asked.columns, as_json=asked.json)


def _given(asked: argparse.Namespace, fields: Iterable[str]) -> dict[str, Any]:
    """Return what was given of `fields`, and a password if there shall be one: never as an argument, which all see."""
    body = {name: value for name in fields if (value := getattr(asked, name, None)) is not None}
    if getattr(asked, "password", False):
        body["password"] = _password()
    return body


def _password() -> str:
    """Ask for one; Ctrl-C ends the command with the terminal as it was."""
    if sys.stdin is None or not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n") if sys.stdin else ""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return getpass()
    except (KeyboardInterrupt, EOFError) as error:
        raise LocalError("No password was given, so nothing was done.") from error
    finally:
        signal.signal(signal.SIGINT, before)


def _found(asked: argparse.Namespace) -> int:
    made = access.client(asked).done("POST", "/admin/organizations", {"id": asked.id, "name": asked.name})
    show(made, asked.columns, as_json=asked.json)
    if not asked.json:
        print(f"\n{made['admin_key']['key']}\n(its first administrator's key, shown only now)")
    return 0


def _edit_organization(asked: argparse.Namespace, changes: dict[str, str]) -> int:
    path = f"/admin/organizations/{quote(asked.id, safe='')}"
    return show(access.client(asked).done("PATCH", path, changes), asked.columns, as_json=asked.json)


def _ceiling(asked: argparse.Namespace) -> int:
    body = _given(asked, BUDGET) if asked.method == "PUT" else None
    path = f"/admin/organizations/{quote(asked.id, safe='')}/ceiling"
    answer = access.client(asked).done(asked.method, path, body)
    return show(answer, ("id", "ceiling"), as_json=asked.json)


def _list(asked: argparse.Namespace) -> int:
    query = {name: value for name in ("limit", "after") if (value := getattr(asked, name)) is not None}
    return show(_get(asked, f"/admin/{asked.topic}?{urlencode(query)}"), asked.columns, as_json=asked.json)


def _delete(asked: argparse.Namespace) -> int:
    answer = access.client(asked).done("DELETE", f"/admin/{asked.topic}/{quote(asked.id, safe=':')}")
    return show(answer, ("id", "deleted"), as_json=asked.json)


def _personal(asked: argparse.Namespace) -> int:
    path = f"/admin/users/{quote(asked.id, safe='')}/{asked.topic}"
    answer = access.client(asked).done(asked.method, path)
    return show(answer, ("id", "erased", "keys_revoked"), as_json=asked.json or asked.topic == "export")


def _get_scope(asked: argparse.Namespace) -> int:
    return _show_scope(asked, _get(asked, f"/admin/{asked.topic}/{quote(asked.scope, safe=':')}"))


def _set_scope(asked: argparse.Namespace) -> int:
    body = {name: value for name in asked.fields if (value := getattr(asked, name)) is not None}
    path = f"/admin/{asked.topic}/{quote(asked.scope, safe=':')}"
    return _show_scope(asked, access.client(asked).done("PUT", path, body))


def _show_scope(asked: argparse.Namespace, answer: dict[str, Any]) -> int:
    columns = ("limits", "effective") if asked.topic == "limits" else ("budget", "ceiling", "spent")
    return show(answer, ("scope", *(name for name in columns if name in answer)), as_json=asked.json)


def _get(asked: argparse.Namespace, path: str) -> dict[str, Any]:
    answer: dict[str, Any] = access.client(asked).done("GET", path)
    return answer
