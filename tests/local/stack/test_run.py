"""`nexus local` from the outside: a program that starts it, uses it, ends it at any moment, and hands it bad input."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from cdk.cli.main import main
from cdk.local.client import Client
from cdk.local.emulator import JOURNAL
from cdk.local.state import owned

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
    pytest.mark.xdist_group("local run"),
]

SECONDS = 90.0
PR_SET_CHILD_SUBREAPER = 36


class Run(NamedTuple):
    """A local run as a program starts it."""

    process: subprocess.Popen[str]
    state: Path
    ready_file: Path

    def ready(self) -> dict[str, Any]:
        """Wait for the ready file."""
        deadline = time.monotonic() + SECONDS
        while not self.ready_file.exists():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        content: dict[str, Any] = json.loads(self.ready_file.read_text())
        return content

    def progress(self, words: str) -> None:
        """Wait until a line of progress says `words`."""
        assert self.process.stderr
        for line in self.process.stderr:
            if words in line:
                return
        raise AssertionError(f"it never said {words!r}")

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal; return the exit status and what stderr still had to say."""
        self.process.send_signal(number)
        errors = self.process.communicate(timeout=SECONDS)[1]
        return self.process.returncode, errors

    def children(self) -> dict[str, int]:
        """Return the run's own children by what their command line says."""
        found = {}
        for pid in children_of(self.process.pid):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().replace("\0", " ")
            found[command] = pid
        return found

    def child(self, words: str) -> int:
        """Return the one child whose command line has `words`."""
        (pid,) = (pid for command, pid in self.children().items() if words in command)
        return pid


@contextmanager
def local(state: Path, *arguments: str, running: bool = False, **environment: str) -> Iterator[Run]:
    """Start `nexus local` on a free port; afterwards no process of it may be left, however it ended."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans become children of this process, and are seen
    before = set(children_of(os.getpid()))
    ready_file = state.parent / f"{state.name}-ready.json"
    if not running:
        ready_file.unlink(missing_ok=True)  # left by a run that was killed
    command = [sys.executable, "-m", "cdk.cli.main", "local", "--port", "0", "--state-dir", str(state)]
    process = subprocess.Popen(
        [*command, "--ready-file", str(ready_file), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        cwd=Path(__file__).parents[3],
    )
    try:
        with process:
            try:
                yield Run(process, state, ready_file)
            finally:
                process.kill()
        assert left_after(before) == []
    finally:
        for pid in set(children_of(os.getpid())) - before:
            os.kill(pid, signal.SIGKILL)


def children_of(parent: int) -> list[int]:
    """Return the living children of a process."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = status.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue  # it ended while we looked
        if int(ppid) == parent and state != "Z":
            found.append(int(status.parent.name))
    return found


def left_after(before: set[int]) -> list[int]:
    """Return the orphans; those that were told to die with their parent are given a moment for it."""
    deadline = time.monotonic() + 5
    while (left := sorted(set(children_of(os.getpid())) - before)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def failed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command here and return its one line of complaint."""
    assert main(arguments) == 1
    complaint = capsys.readouterr().err
    lines = [line for line in complaint.splitlines() if line.startswith("nexus: ")]
    assert len(lines) == 1, complaint
    assert "Traceback" not in complaint
    return lines[0]


def test_keys_survive_the_sudden_end_of_everything(tmp_path: Path) -> None:
    """A key made an instant before SIGKILL works after the next start, and so do the keys of the ready file."""
    state = tmp_path / "state"
    with local(state, "--json") as first:
        ready = first.ready()
        made = Client(ready["base_url"], ready["admin_key"]).done("POST", "/admin/keys", {"name": "made late"})
        first.process.kill()
    with local(state, "--json") as second:
        again = second.ready()
        assert again["client_key"] == ready["client_key"]
        assert again["admin_key"] == ready["admin_key"]
        assert Client(again["base_url"], made["key"]).call("GET", "/v1/models").status == 200
        status, _ = second.end(signal.SIGTERM)
        assert status == 0
    assert not second.ready_file.exists()


def test_a_program_can_use_it_and_end_it(tmp_path: Path) -> None:
    """The ready file says all that is needed, for its owner's eyes; chat and embeddings answer; SIGINT ends it well."""
    with local(tmp_path / "state", "--json", "--demo", OPENAI_API_KEY="", OPENAI_BASE_URL="") as run:
        ready = run.ready()
        assert set(ready) == {"base_url", "admin_key", "client_key", "jwt_issuer", "models"}
        for private in (run.ready_file, run.state / "state.json", run.state / "emulator" / JOURNAL):
            assert stat.S_IMODE(private.stat().st_mode) == 0o600
        assert stat.S_IMODE(run.state.stat().st_mode) == 0o700
        client = Client(ready["base_url"], ready["client_key"])
        chat = {"model": "simulated", "messages": [{"role": "user", "content": "Hello"}]}
        assert "Hello" in client.done("POST", "/v1/chat/completions", chat)["choices"][0]["message"]["content"]
        embedded = client.done("POST", "/v1/embeddings", {"model": "all-MiniLM-L6-v2", "input": "Hello"})
        assert len(embedded["data"][0]["embedding"]) == 384
        assert Client(ready["base_url"], "nexus_nobody").call("GET", "/v1/models").status == 401
        refused_second_run(run)
        status, errors = run.end(signal.SIGINT)
    assert status == 0
    assert "384 numbers" in errors
    assert not run.ready_file.exists()


def refused_second_run(run: Run) -> None:
    """The same state folder serves one run at a time."""
    with local(run.state, running=True) as second:
        errors = second.process.communicate(timeout=SECONDS)[1]
        assert second.process.returncode == 1
    assert f"process {run.process.pid}" in errors
    assert "--state-dir" in errors


@pytest.mark.parametrize("moment", ["simulated provider", "GPU service", "template deployed", "functions loaded"])
@pytest.mark.parametrize("number", [signal.SIGINT])
def test_an_interrupted_start_leaves_nothing(tmp_path: Path, moment: str, number: signal.Signals) -> None:
    """Whatever is under way is ended with the rest, without a trace on the screen."""
    with local(tmp_path / "state") as run:
        run.progress(moment)
        status, errors = run.end(number)
    assert status in {0, 130}
    assert "Traceback" not in errors


@pytest.mark.parametrize(("words", "name"), [("valkey-server", "Valkey"), ("cdk.local.emulated", "The AWS emulator")])
def test_the_end_of_a_vital_part_ends_the_run(tmp_path: Path, words: str, name: str) -> None:
    """It is reported by name, and the exit status says that something was wrong."""
    with local(tmp_path / "state") as run:
        run.ready()
        os.kill(run.child(words), signal.SIGKILL)
        errors = run.process.communicate(timeout=SECONDS)[1]
        assert run.process.returncode == 1
    assert f"nexus: {name} ended by itself" in errors
    assert "Traceback" not in errors


def test_a_taken_port_is_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is started, nor are keys made, for a port that cannot be had; both commands' remedies are told."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        complaint = failed(capsys, "local", "--port", port, "--state-dir", str(tmp_path / "state"))
    assert port in complaint
    assert "--port (`make run PORT=...`)" in complaint
    assert [file.name for file in (tmp_path / "state").iterdir()] == ["lock"]


def test_a_second_run_names_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is the folder that both want; another port, which is what the port's own refusal proposes, would not help."""
    with owned(tmp_path), socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        complaint = failed(capsys, "local", "--port", port, "--state-dir", str(tmp_path))
    assert f"Another local run (process {os.getpid()}) is using {tmp_path}" in complaint
    assert "port" not in complaint


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"gpu_token": 1}', b'{"gpu_token": "x", "unheard": "y"}', b"\xff"]
)
def test_a_damaged_state_file_is_named_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    """It may hold the only copy of a key: it is never overwritten."""
    damaged = tmp_path / "state.json"
    damaged.write_bytes(content)
    complaint = failed(capsys, "local", "--port", "0", "--state-dir", str(tmp_path))
    assert str(damaged) in complaint
    assert "move it away" in complaint
    assert damaged.read_bytes() == content


def test_a_damaged_journal_ends_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The other parts that were starting are ended."""
    damaged = tmp_path / "emulator" / JOURNAL
    damaged.parent.mkdir()
    damaged.write_bytes(b"no database" * 1000)
    complaint = failed(capsys, "local", "--port", "0", "--state-dir", str(tmp_path))
    assert str(damaged) in complaint
    assert damaged.read_bytes() == b"no database" * 1000


def test_a_broken_catalog_is_named_by_line_and_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever wrote it reads where and what."""
    catalog = tmp_path / "mine.toml"
    catalog.write_text('[providers.own]\ndialect = "openai"\nbase_url = 7\n')
    state = str(tmp_path / "state")
    complaint = failed(capsys, "local", "--port", "0", "--state-dir", state, "--catalog", str(catalog))
    assert "mine.toml" in complaint
    assert "3" in complaint
    assert "base_url" in complaint


def test_a_catalog_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong path is the commonest mistake of all."""
    missing = tmp_path / "nowhere.toml"
    state = str(tmp_path / "state")
    assert str(missing) in failed(capsys, "local", "--port", "0", "--state-dir", state, "--catalog", str(missing))


def test_a_state_folder_that_is_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence names it."""
    file = tmp_path / "file"
    file.write_text("mine")
    assert str(file) in failed(capsys, "local", "--port", "0", "--state-dir", str(file))
    assert file.read_text() == "mine"


def test_a_ready_file_that_cannot_be_replaced_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder in its place is named before anything is started."""
    folder = tmp_path / "ready"
    folder.mkdir()
    state = str(tmp_path / "state")
    assert str(folder) in failed(capsys, "local", "--port", "0", "--state-dir", state, "--ready-file", str(folder))


@pytest.mark.parametrize("port", ["-1", "65536", "http", "8_0", "\u0661"])
def test_what_is_no_port_is_a_wrong_command_line(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told as any other mistake on the command line."""
    with pytest.raises(SystemExit, match="2"):
        main(["local", "--port", port])
    assert "port" in capsys.readouterr().err
