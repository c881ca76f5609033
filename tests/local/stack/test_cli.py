"""The `nexus` command says what it can do, and its thin client says what went wrong."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from cdk.cli.main import main
from cdk.local.coverage import lines
from cdk.local.state import Remembered

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
KEY = {
    "id": "default-abc",
    "name": "ci",
    "role": "developer",
    "tier": "free",
    "revoked": False,
    "expires_at": 86_400 * 365,
    "last4": "wxyz",
}


class Gateway(BaseHTTPRequestHandler):
    """Answers like `/admin/keys` and keeps what it was asked."""

    asked: ClassVar[list[tuple[str, str, str, Any]]] = []

    def do_GET(self) -> None:
        """List two keys, a page each."""
        first = "after=" not in self.path
        key = KEY if first else {**KEY, "id": "default-abd"}
        ends = {"first_id": key["id"], "last_id": key["id"]}
        self._answer(200, {"object": "list", "data": [key], **ends, "has_more": first})

    def do_POST(self) -> None:
        """Make a key."""
        self._answer(201, {**KEY, "key": "nexus_default-abc_secret"})

    def do_DELETE(self) -> None:
        """Know no key."""
        error = {"type": "not_found_error", "message": "No such key.", "code": "not_found", "param": None}
        self._answer(404, {"type": "error", "error": error})

    def _answer(self, status: int, body: object) -> None:
        length = int(self.headers.get("content-length") or 0)
        sent = json.loads(self.rfile.read(length)) if length else None
        self.asked.append((self.command, self.path, self.headers["authorization"], sent))
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.send_header("x-request-id", "req-1")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def access() -> Iterator[tuple[str, ...]]:
    """Arguments that lead to a gateway."""
    Gateway.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield ("--base-url", f"http://127.0.0.1:{server.server_port}/dev", "--admin-key", "nexus_admin")
        finally:
            server.shutdown()
            thread.join()


def test_help_leads_to_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command, the command says which there are, with an example of each."""
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(words in shown for words in ("nexus local", "nexus keys create", "nexus keys revoke", "OPENAI_API_KEY"))


def test_it_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    """As whoever reports a mistake is asked first."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"nexus {version('ai-nexus')}\n"


def listed(capsys: pytest.CaptureFixture[str], *command: str) -> dict[str, str]:
    """Return the commands that the help of one shows, with what it says of each."""
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    shown = capsys.readouterr().out.partition("commands:\n  COMMAND\n")[2].splitlines()
    lines = itertools.takewhile(lambda line: line.startswith("    "), shown)
    return dict(line.split(maxsplit=1) for line in lines if line[4] != " ")


def test_help_says_what_each_command_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Of every group, all of them."""
    groups = {
        "keys": 5,
        "users": 6,
        "teams": 4,
        "limits": 2,
        "budgets": 2,
        "organizations": 6,
        "blocks": 3,
        "catalog": 4,
    }
    assert {group: len(listed(capsys, group)) for group in groups} == groups


def test_ctrl_c_is_quiet_from_the_first_moment() -> None:
    """Also while half of the command is imported: no traceback."""
    code = """
import os, signal, sys
from cdk.cli import command
class Typed:
    def find_spec(self, name, *_):
        if name == "cdk.cli.main":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Typed())
command.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


def test_who_has_read_enough_hears_no_more() -> None:
    """As in `nexus local --coverage | head -1`: no traceback."""
    command = [sys.executable, "-c", "from cdk.cli import command; raise SystemExit(command.main())"]
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as closed:  # noqa: PTH123 - a descriptor
        told = [*command, "local", "--coverage"]
        done = subprocess.run(told, stdout=closed, stderr=subprocess.PIPE, check=False, timeout=60, cwd=ROOT)
    assert (done.returncode, done.stderr) == (1, b"")


def test_coverage_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Every line of the table is there, indented under its type."""
    assert main(["local", "--coverage"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("  ") for line in shown) == len(list(lines()))


def test_a_new_key_is_shown_once_with_what_was_asked_for(
    access: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Only what was given is sent, so that the gateway's own defaults hold."""
    asked = ("--name", "ci", "--tier", "free", "--requests-per-minute", "7", "--models", "a", "b/c")
    assert main(["keys", "create", *asked, *access]) == 0
    body = {"name": "ci", "tier": "free", "models": ["a", "b/c"], "limits": {"requests_per_minute": 7}}
    assert Gateway.asked == [("POST", "/dev/admin/keys", "Bearer nexus_admin", body)]
    assert "nexus_default-abc_secret" in capsys.readouterr().out


def test_keys_are_listed_in_columns_or_as_json(access: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """People read columns, programs read the gateway's own answer; both get all pages of it."""
    assert main(["keys", "list", *access]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[1].split() == ["default-abc", "ci", "developer", "free", "expired", "1971-01-01", "wxyz"]
    assert shown[0].index("role") == shown[1].index("developer")
    assert shown[2].startswith("default-abd")
    assert [path for _, path, _, _ in Gateway.asked] == [
        "/dev/admin/keys?limit=100",
        "/dev/admin/keys?limit=100&after=default-abc",
    ]
    assert main(["keys", "list", "--json", *access]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "object": "list",
        "data": [KEY, {**KEY, "id": "default-abd"}],
        "first_id": "default-abc",
        "last_id": "default-abd",
        "has_more": False,
    }


def test_a_refusal_is_one_line_with_its_request(access: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """What the gateway says is passed on, with the id under which it was logged."""
    assert main(["keys", "revoke", "a/b", *access]) == 1
    assert capsys.readouterr().err == "nexus: DELETE /admin/keys/a%2Fb: No such key. (status 404, request req-1)\n"
    assert Gateway.asked[0][1] == "/dev/admin/keys/a%2Fb"


def test_the_local_run_is_found_through_its_state(
    access: tuple[str, ...], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Nobody has to copy an address or a key from one terminal to the next."""
    Remembered.load(tmp_path).save(tmp_path, base_url=access[1], admin_key="nexus_remembered")
    assert main(["keys", "list", "--state-dir", str(tmp_path)]) == 0
    assert Gateway.asked[0][2] == "Bearer nexus_remembered"
    assert "default-abc" in capsys.readouterr().out


@pytest.mark.parametrize(
    "base_url",
    [
        *(
            "127.0.0.1:8787",
            "ftp://host",
            "http://",
            "http://127.0.0.1:1",
            "http://h:port",
            "http://[::1",
            "http://h:0",
        ),
        *("http://h:99999", "http://127.0.0.1:1?stage=dev", "http://a b", "http://bücher.example"),
    ],
)
def test_an_address_that_leads_nowhere_is_named(base_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong, or nobody there: one line, no trace."""
    assert main(["keys", "list", "--base-url", base_url, "--admin-key", "k"]) == 1
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert base_url in complaint


def test_no_local_run_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The way out is in the sentence."""
    assert main(["keys", "list", "--state-dir", str(tmp_path)]) == 1
    assert "nexus local" in capsys.readouterr().err
