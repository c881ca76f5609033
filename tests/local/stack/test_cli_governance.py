"""The command's way to a gateway through a profile, and what it asks there for governance."""

from __future__ import annotations

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from cdk.cli.main import main
from cdk.local.state import Remembered

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWERS: dict[str, Any] = {
    "GET /admin/users": {"data": [{"id": "ada", "name": "Ada", "team": None}], "has_more": True, "last_id": "ada"},
    "GET /admin/usage": {"data": [{"id": "ada", "cost_usd": "1.50", "requests": 3}]},
    "GET /admin/audit": {"data": [{"at": 86_400.5, "who": "k", "action": "key.edit", "target": "t"}]},
    "GET /v1/models": {"object": "list", "data": [{"id": "m-1", "object": "model", "created": 1, "owned_by": "acme"}]},
    "PUT /admin/alerts": {
        "webhook": "https://h.example/...",
        "events": ["budget", "security"],
        "threshold": 80,
        "signing_secret": "nxa_1",
    },
    "GET /admin/catalog": {"data": [{"number": 1, "live": True}]},
    "GET /admin/catalog/2": {"number": 2, "catalog": "# pushed\n"},
    "PUT /admin/budgets/user:ada": {"scope": "user:ada", "budget": {"daily_usd": "2.00"}},
    "POST /admin/keys/default-abc/rotate": {"id": "default-abc", "key": "nexus_default-abc_new"},
}


class Gateway(BaseHTTPRequestHandler):
    """Answers what the table says, and keeps what it was asked."""

    asked: ClassVar[list[tuple[str, Any]]] = []

    def do_GET(self) -> None:
        """Answer."""
        length = int(self.headers.get("content-length") or 0)
        sent = json.loads(self.rfile.read(length)) if length else None
        self.asked.append((f"{self.command} {self.path}", sent))
        content = json.dumps(ANSWERS.get(f"{self.command} {self.path.partition('?')[0]}", {"id": "x"})).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - http.server's names

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def profile(tmp_path: Path) -> Iterator[str]:
    """A profile that leads to a gateway, written by the command itself."""
    path = str(tmp_path / "mine" / "profile.json")
    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            assert main(["login", "--base-url", url, "--admin-key", "nexus_secret", "--profile", path]) == 0
            Gateway.asked.clear()
            yield path
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("arguments", "request_line", "body"),
    [
        (
            "users create ada --name Ada --role viewer",
            "POST /admin/users",
            {"id": "ada", "name": "Ada", "role": "viewer"},
        ),
        (
            "users edit ada --role admin --team= --models --disabled yes",
            "PATCH /admin/users/ada",
            {"role": "admin", "models": [], "team": None, "disabled": True},
        ),
        (
            "users edit ada --disabled no --email a@b.example",
            "PATCH /admin/users/ada",
            {"email": "a@b.example", "disabled": False},
        ),
        ("teams edit blue --name Blau", "PATCH /admin/teams/blue", {"name": "Blau"}),
        ("users list --limit 5 --after a", "GET /admin/users?limit=5&after=a", None),
        ("users delete ada", "DELETE /admin/users/ada", None),
        ("users export ada", "GET /admin/users/ada/export", None),
        ("users erase ada", "POST /admin/users/ada/erase", None),
        ("teams create blue --name Blue", "POST /admin/teams", {"id": "blue", "name": "Blue"}),
        ("limits set model:a/b --concurrency 3", "PUT /admin/limits/model:a%2Fb", {"concurrency": 3}),
        ("limits get tier:free", "GET /admin/limits/tier:free", None),
        ("budgets set user:ada --daily-usd 2.000000001", "PUT /admin/budgets/user:ada", {"daily_usd": "2.000000001"}),
        ("budgets set org", "PUT /admin/budgets/org", {}),
        (
            "blocks create user ada --seconds 60",
            "POST /admin/blocks",
            {"kind": "user", "id": "ada", "seconds": 60},
        ),
        ("blocks delete user:ada", "DELETE /admin/blocks/user:ada", None),
        (
            "usage --by user --from 2026-11-01 --to 2026-11-02 --top 3",
            "GET /admin/usage?by=user&from=2026-11-01&to=2026-11-02&top=3",
            None,
        ),
        ("usage --top 3", "GET /admin/usage?by=day&top=3", None),
        ("usage summary --json", "GET /api/ai/analytics/summary", None),
        ("usage models --from 2026-11-01 --json", "GET /api/ai/analytics/model-comparison?from=2026-11-01", None),
        ("audit", "GET /admin/audit?limit=100", None),
        ("alerts show", "GET /admin/alerts", None),
        ("alerts remove", "DELETE /admin/alerts", None),
        ("alerts set", "PUT /admin/alerts", {}),
        (
            "alerts set --webhook https://h.example/x --events budget security --threshold 50",
            "PUT /admin/alerts",
            {"webhook": "https://h.example/x", "events": ["budget", "security"], "threshold": 50},
        ),
        ("organizations list --limit 5", "GET /admin/organizations?limit=5", None),
        ("organizations rename acme --name Acme", "PATCH /admin/organizations/acme", {"name": "Acme"}),
        (
            "organizations set acme --on-store-loss serve",
            "PATCH /admin/organizations/acme",
            {"on_store_loss": "serve"},
        ),
        ("organizations ceiling acme", "GET /admin/organizations/acme/ceiling", None),
        ("organizations cap acme", "PUT /admin/organizations/acme/ceiling", {}),
        (
            "organizations cap acme --monthly-usd 100",
            "PUT /admin/organizations/acme/ceiling",
            {"monthly_usd": "100"},
        ),
        (
            "blocks create ip 10.0.0.0/8 --seconds 9",
            "POST /admin/blocks",
            {"kind": "ip", "id": "10.0.0.0/8", "seconds": 9},
        ),
        ("blocks delete ip:10.0.0.0/8", "DELETE /admin/blocks/ip:10.0.0.0%2F8", None),
        (
            "keys edit default-abc --role viewer --team= --models a b --expires-days 9",
            "PATCH /admin/keys/default-abc",
            {"role": "viewer", "models": ["a", "b"], "expires_days": 9, "team": None},
        ),
        ("catalog show a?b/c --json", "GET /admin/catalog/a%3Fb%2Fc", None),
        ("keys edit default-abc --models", "PATCH /admin/keys/default-abc", {"models": []}),
        ("keys list --limit 2", "GET /admin/keys?limit=2", None),
        (
            "keys rotate default-abc --overlap-seconds 0",
            "POST /admin/keys/default-abc/rotate",
            {"overlap_seconds": 0},
        ),
    ],
)
def test_each_command_is_one_request(profile: str, arguments: str, request_line: str, body: Any) -> None:
    """Only what was given is sent, so that the gateway's own defaults hold; the exit status says that it went well."""
    assert main([*arguments.split(), "--profile", profile]) == 0
    assert Gateway.asked == [(request_line, body)]


@pytest.mark.parametrize("command", ["create ada --name Ada", "edit ada"])
def test_a_password_is_no_argument(profile: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody on a machine sees those."""
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\nbattery\n"))
    assert main(["users", *command.split(), "--password", "--profile", profile]) == 0
    assert Gateway.asked[0][1]["password"] == "correct horse"


def test_a_key_goes_to_no_other_gateway(profile: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither that of a profile nor that of the local run, whose administrator it would hand over."""
    url = json.loads(Path(profile).read_text())["base_url"]
    Remembered.load(tmp_path).save(tmp_path, base_url="http://127.0.0.1:9", admin_key="nexus_local")
    for remembered in (["--state-dir", str(tmp_path)], ["--profile", profile]):
        other = url if "--state-dir" in remembered else "http://127.0.0.1:9"
        assert main(["audit", "--base-url", other, *remembered]) == 1
        assert f"No key is known for {other}" in capsys.readouterr().err
    assert Gateway.asked == []
    assert main(["audit", "--base-url", f"{url}/", "--profile", profile]) == 0
    assert len(Gateway.asked) == 1


def test_people_read_columns_and_programs_json(profile: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A page that goes on says how; times are UTC; no cell is empty."""
    main(["users", "list", "--profile", profile])
    shown = capsys.readouterr().out.splitlines()
    assert shown[1].split() == ["ada", "Ada", "-", "-", "-", "-", "-"]
    assert shown[2] == "(there are more: --after ada)"
    main(["usage", "--by", "user", "--profile", profile])
    assert capsys.readouterr().out.splitlines()[1].split() == ["ada", "1.50", "3", "-", "-", "-"]
    main(["audit", "--profile", profile])
    assert "1970-01-02 00:00:00" in capsys.readouterr().out
    main(["budgets", "set", "user:ada", "--daily-usd", "2", "--profile", profile])
    assert "daily_usd=2.00" in capsys.readouterr().out
    main(["models", "--profile", profile])
    assert capsys.readouterr().out.splitlines()[1].split() == ["m-1", "acme"]
    main(["users", "list", "--json", "--profile", profile])
    assert json.loads(capsys.readouterr().out) == ANSWERS["GET /admin/users"]


def test_a_signing_secret_is_shown_where_it_is_new(profile: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Below the columns, as nothing will show it again."""
    main(["alerts", "set", "--profile", profile])
    shown = capsys.readouterr().out
    assert shown.splitlines()[1].split() == ["https://h.example/...", "budget", "security", "80"]
    assert "nxa_1" in shown
    main(["alerts", "set", "--json", "--profile", profile])
    assert json.loads(capsys.readouterr().out) == ANSWERS["PUT /admin/alerts"]


def test_a_profile_is_for_its_owner_alone(profile: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is written so; one that others can read is refused, and so is one that is none."""
    path = tmp_path / "mine" / "profile.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert "nexus_secret" not in capsys.readouterr().out
    path.chmod(0o640)
    assert main(["audit", "--profile", profile]) == 1
    assert f"chmod 600 {path}" in capsys.readouterr().err
    path.chmod(0o600)
    for content in ("{", "[]", "{}"):
        path.write_text(content)
        assert main(["audit", "--profile", profile]) == 1
        assert "nexus login" in capsys.readouterr().err
    path.unlink()
    assert main(["audit", "--profile", profile]) == 1
    assert str(path) in capsys.readouterr().err
    assert Gateway.asked == []


def test_catalogs_are_pushed_as_they_are_written(
    profile: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The gateway checks them, so that its complaints name the file; shown is the very text."""
    path = tmp_path / "catalog.toml"
    path.write_text("[tiers]\n")
    assert main(["catalog", "push", str(path), "--prices", str(path), "--profile", profile]) == 0
    assert main(["catalog", "rollback", "--profile", profile]) == 0
    assert main(["catalog", "list", "--profile", profile]) == 0
    pushed = {"name": str(path), "catalog": "[tiers]\n", "prices": "[tiers]\n"}
    assert Gateway.asked == [
        ("PUT /admin/catalog", pushed),
        ("POST /admin/catalog/rollback", {"to": None}),
        ("GET /admin/catalog?limit=100", None),
    ]
    capsys.readouterr()
    assert main(["catalog", "show", "2", "--profile", profile]) == 0
    assert capsys.readouterr().out == "# pushed\n"
    assert main(["catalog", "push", str(tmp_path / "none.toml"), "--profile", profile]) == 1
    assert "none.toml: cannot be read" in capsys.readouterr().err
