"""`nexus alerts`: what one's organization is told of budgets and safeguards, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cdk.cli import access
from cdk.cli.tables import show

if TYPE_CHECKING:
    import argparse

PATH: Final = "/admin/alerts"
COLUMNS: Final = ("webhook", "events", "threshold")
EVENTS: Final = ("budget", "security", "breaker", "fault", "organizations")
THRESHOLDS: Final = (50, 80, 100)


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the commands."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    looking = commands.add_parser("show", help="show which alerts there are, and where they go")
    choice = commands.add_parser("set", help="replace that; a new webhook's signing secret is shown this once")
    removal = commands.add_parser("remove", help="take the webhook and all choices away")
    choice.add_argument("--webhook", metavar="URL", help="https; operators need none, for they have their topic")
    choice.add_argument(
        "--events", nargs="+", choices=EVENTS, help="default: budget security, and for operators breaker fault"
    )
    choice.add_argument(
        "--threshold",
        type=int,
        choices=THRESHOLDS,
        help="percent of a budget, from which on it is told of (default: 80)",
    )
    looking.set_defaults(run=lambda asked: show(_call(asked, "GET"), COLUMNS, as_json=asked.json))
    choice.set_defaults(run=_set)
    removal.set_defaults(run=lambda asked: show(_call(asked, "DELETE"), ("id", "deleted"), as_json=asked.json))
    access.add((looking, choice, removal))


def _set(asked: argparse.Namespace) -> int:
    given = {name: value for name in COLUMNS if (value := getattr(asked, name)) is not None}
    answer = _call(asked, "PUT", given)
    show(answer, COLUMNS, as_json=asked.json)
    if "signing_secret" in answer and not asked.json:
        print(f"\n{answer['signing_secret']}\n(signs what is sent there, shown only now)")
    return 0


def _call(asked: argparse.Namespace, method: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = access.client(asked).done(method, PATH, body)
    return answer
