"""`nexus local` when it cannot start, and when it is told to stop: one clear line, and no process left behind."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.stack import NEXUS, ROOT, environment
from tests.e2e.trace import descendants, still_alive

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("second-stack")
ENTRY = """
[models.broken]
kind = "chat"
targets = ["openai"]
owned_by = "acme"
"""


def refusal(*arguments: str | Path) -> str:
    """Return the one line that `nexus local` ends with, and see that it says no more than that."""
    command = [NEXUS, "local", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment(None))
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("nexus: ")]
    assert said == done.stderr.splitlines()[-1:]
    assert "Traceback" not in done.stdout + done.stderr
    return said[0]


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """The line names the port and says what to do, before anything was started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refusal("--port", str(port), "--state-dir", tmp_path / "state")
    assert f"{port}" in line
    assert "--port" in line
    assert not (tmp_path / "state" / "logs").exists()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (ENTRY.replace('"chat"', '"chatt"'), ["models.broken.kind", "'chat', 'embedding'"]),
        (ENTRY.replace("openai", "nowhere"), ["models.broken.targets", "nowhere"]),
        (ENTRY + "colour = 3\n", ["models.broken.colour"]),
        (ENTRY.replace("broken]", "broken"), ["TOML"]),
    ],
    ids=["wrong value", "unknown provider", "unknown field", "no TOML"],
)
def test_a_broken_catalog(tmp_path: Path, text: str, names: list[str]) -> None:
    """The line names file, line and field, and what would be right."""
    shipped = (ROOT / "shared/data/catalog.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(shipped + text)
    line = refusal("--port", "0", "--state-dir", tmp_path / "state", "--catalog", path)
    place = line.removeprefix(f"nexus: {path}:").partition(":")[0]
    assert len(shipped.splitlines()) < int(place) <= len(path.read_text().splitlines())
    assert [name for name in names if name not in line] == []


def test_a_catalog_that_is_not_there(tmp_path: Path) -> None:
    """A wrong path is said to be one."""
    line = refusal("--port", "0", "--state-dir", tmp_path / "state", "--catalog", tmp_path / "none.toml")
    assert str(tmp_path / "none.toml") in line


@pytest.mark.parametrize("content", ["{", "[]", '{"admin_key": 5}', '{"colour": "red"}', "\x00\x01"])
def test_a_state_file_that_makes_no_sense(tmp_path: Path, content: str) -> None:
    """Keys are not thrown away by a start that cannot read them: the file is named and stays as it is."""
    (tmp_path / "state.json").write_text(content)
    line = refusal("--port", "0", "--state-dir", tmp_path)
    assert str(tmp_path / "state.json") in line
    assert (tmp_path / "state.json").read_text() == content


def test_stored_data_that_makes_no_sense(tmp_path: Path) -> None:
    """Neither does it go on with an empty directory of keys when that is damaged."""
    (tmp_path / "emulator").mkdir()
    (tmp_path / "emulator" / "state.sqlite3").write_bytes(b"this is no database" * 100)
    line = refusal("--port", "0", "--state-dir", tmp_path)
    assert str(tmp_path / "emulator") in line


def test_a_state_folder_that_is_a_file(tmp_path: Path) -> None:
    """So is a folder that cannot be one."""
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in refusal("--port", "0", "--state-dir", tmp_path / "file")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_start_that_is_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM in the middle of a start ends every process that was started, and a second start works."""
    command = [NEXUS, "local", "--port", "0", "--state-dir", str(tmp_path / "state"), "--json"]
    command += ["--ready-file", str(tmp_path / "ready")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(None)) as process:
        family = descendants(process.pid)
        while len(family) < 4 and process.poll() is None:
            time.sleep(0.01)
            family = descendants(process.pid)
        process.send_signal(number)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert b"Traceback" not in said
    assert still_alive(family) == []
    assert not (tmp_path / "ready").exists()


def test_says_what_programs_need_as_one_line(tmp_path: Path) -> None:
    """With --json the ready file's object is the only thing on standard output; both have all five members."""
    ready = tmp_path / "ready.json"
    command = [
        NEXUS,
        "local",
        "--port",
        "0",
        "--state-dir",
        str(tmp_path / "state"),
        "--ready-file",
        str(ready),
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(None)) as process:
        assert process.stdout
        try:
            line = process.stdout.readline()
            told = json.loads(line)
            assert told == json.loads(ready.read_text())
            assert told.keys() == {"base_url", "admin_key", "client_key", "jwt_issuer", "models"}
            assert not told["base_url"].endswith(("/", "/v1"))
            family = descendants(process.pid)
        finally:
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=30)
    assert rest == b""
    assert process.returncode == 0
    assert still_alive(family) == []
    assert not ready.exists()
