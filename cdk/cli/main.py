"""The `nexus` command: everything a person does with the gateway from a terminal begins here."""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from cdk.cli import access, alerts, catalogs, governance, keys, models
from cdk.local.child import LocalError
from cdk.local.state import DEFAULT_STATE_DIR

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_PORT: Final = 8787
LARGEST_PORT: Final = 65_535
EPILOG: Final = """examples:
  nexus local                          the whole gateway on http://127.0.0.1:8787, without any cloud account
  nexus local --demo                   the same, with one real embedding request to begin with
  nexus local --coverage               what a local run shows of the deployed system, and what it does not
  nexus keys create --name ci          a key for the gateway that runs here
  nexus keys list --json
  nexus keys revoke default-3kf9x0a1b2c3
  nexus budgets set team:blue --monthly-usd 250
  nexus limits set tier:free --requests-per-minute 20
  nexus usage --by user --top 10
  nexus alerts set --webhook https://hooks.example.com/nexus --threshold 50
  nexus catalog push catalog.toml      live within a minute; `nexus catalog rollback` takes it back

variables that `nexus local` understands:
  OPENAI_API_KEY OPENAI_BASE_URL       where chat goes; models of a provider with neither are answered by one
  ANTHROPIC_API_KEY ANTHROPIC_BASE_URL called `simulated`
  GEMINI_API_KEY GEMINI_BASE_URL
  MODELS                               a models.toml of your own for the GPU service, instead of the embedder alone
  NEXUS_STREAM_SECONDS                 how long an answer may take (900, as deployed), and so how long budgets stay
                                       closed after the store has lost its data

to deploy: npx aws-cdk@2.1148.1 deploy
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status: 0 well, 1 a reason is on stderr, 2 the command line is wrong."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    for name, value in vars(asked).items():
        if name in {"id", "scope", "number"} and value == "":
            parser.error(f"the {name} is empty")
        if any(not _is_text(one) for one in (value if isinstance(value, list) else [value])):
            parser.error(f"the argument {name} is not UTF-8")
    if asked.version:
        print(f"nexus {version('ai-nexus')}")
        return 0
    if not hasattr(asked, "run"):
        parser.print_help()
        return 0
    try:
        status: int = asked.run(asked)
    except LocalError as error:
        print(f"nexus: {error}", file=sys.stderr)
        return 1
    return status


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with a command line, and where help is."""

    def error(self, message: str) -> NoReturn:
        """End with the status of a wrong command line."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _is_text(value: object) -> bool:
    """Tell whether it is no argument that was typed in another encoding."""
    return not isinstance(value, str | Path) or not any("\ud800" <= letter <= "\udfff" for letter in str(value))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="nexus",
        description="AI-Nexus: a serverless AI inference gateway.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="say which version this is, and end")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_local(commands.add_parser("local", help="run the deployed system's template on this machine"))
    keys.add(commands.add_parser("keys", help="make, list, edit, rotate and revoke keys"))
    governance.add(commands)
    alerts.add(commands.add_parser("alerts", help="choose what your organization is told of, and by which webhook"))
    catalogs.add(commands.add_parser("catalog", help="change models, targets and fallbacks without a deployment"))
    models.add(commands.add_parser("models", help="list the models and aliases that a key may use"))
    access.add_login(commands.add_parser("login", help="keep the address of a gateway and a key for it"))
    return parser


def _add_local(parser: argparse.ArgumentParser) -> None:
    parser.description = "Run the synthesized CDK template on this machine until Ctrl-C."
    add = parser.add_argument
    add("--port", type=_port, default=DEFAULT_PORT, help="port on 127.0.0.1; 0 takes a free one (default: %(default)s)")
    add(
        "--state-dir",
        type=Path,
        default=DEFAULT_STATE_DIR,
        metavar="D",
        help="keeps keys and usage (default: %(default)s)",
    )
    add("--ready-file", type=Path, metavar="F", help="receives a JSON object with address, keys and models when ready")
    add("--catalog", type=Path, metavar="C", help="a catalog.toml to use instead of the one that is deployed")
    add("--json", action="store_true", help="print that JSON object as one line instead of the snippets")
    add("--demo", action="store_true", help="send one real embedding request first and show its answer")
    add("--coverage", action="store_true", help="print what is emulated, substituted and never run here, and end")
    parser.set_defaults(run=_local)


def _local(asked: argparse.Namespace) -> int:
    if asked.coverage:
        from cdk.local.coverage import render  # noqa: PLC0415 - each command imports what it needs

        print(render())
        return 0
    from cdk.local.run import Options, run  # noqa: PLC0415 - each command imports what it needs

    return run(Options(asked.port, asked.state_dir, asked.ready_file, asked.catalog, asked.json, asked.demo))


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > LARGEST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
