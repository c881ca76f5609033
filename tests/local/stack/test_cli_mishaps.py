"""What may go wrong around the `nexus` command is one sentence: keys, arguments, terminals, disks, answers."""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
import sys
import termios
from typing import Any

import pytest

from cdk.cli.main import main
from cdk.cli.tables import table
from tests.local.stack.test_cli import KEY, ROOT, Gateway, access

__all__ = ("access",)  # the fixture
ENTRY = "from cdk.cli import command; raise SystemExit(command.main())"


@pytest.mark.parametrize("key", ["nexus_a\nb", "nexus_ключ"])
def test_a_key_that_can_be_none_is_not_sent(
    key: str, access: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told to be copied again, and not shown."""
    assert main(["keys", "list", *access[:2], "--admin-key", key]) == 1
    said = capsys.readouterr().err
    assert "copied whole" in said
    assert "nexus_" not in said
    assert Gateway.asked == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("keys frob", "nexus keys: argument COMMAND: invalid choice: 'frob'"),
        (
            "keys create",
            "nexus keys create: the following arguments are required: --name; see nexus keys",
        ),
        ("keys list --limit many", "nexus keys list: argument --limit: invalid int value: 'many'"),
        ("keys revoke ''", "nexus: the id is empty; see nexus --help"),
        ("limits set ''", "nexus: the scope is empty"),
        ("catalog show ''", "nexus: the number is empty"),
        ("keys create --name a --models b \udcff", "nexus: the argument models is not UTF-8"),
    ],
)
def test_a_wrong_command_line_is_one_line(command: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what is wrong and where help is, before anybody is asked."""
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(command))
    complaint = capsys.readouterr().err
    assert ended.value.code == 2
    assert complaint.count("\n") == 1
    assert complaint.startswith(said)
    assert complaint.endswith(" --help\n")


def test_wide_letters_take_two_places() -> None:
    """And marks none, so that columns stay straight in a terminal."""
    items = [{"name": "日本", "x": 1}, {"name": "e\u0301e\u0301", "x": 2}, {"name": "abcd", "x": 3}]
    assert table(("name", "x"), items).splitlines() == ["name  x", "日本  1", "e\u0301e\u0301    2", "abcd  3"]


def entered(access: tuple[str, ...], redirected: str = "", **environment: str) -> Any:
    """List keys in a process of its own, with its output `redirected` as a shell does."""
    told = shlex.join([sys.executable, "-c", ENTRY, "keys", "list", *access]) + f" {redirected}"
    more = {**os.environ, **environment}
    return subprocess.run(
        ["/bin/sh", "-c", told], capture_output=True, text=True, check=False, timeout=60, cwd=ROOT, env=more
    )


def test_a_full_disk_is_one_line(access: tuple[str, ...]) -> None:
    """As is whatever else the system refuses."""
    done = entered(access, "> /dev/full")
    assert (done.returncode, done.stderr) == (1, "nexus: [Errno 28] No space left on device\n")


def test_nothing_is_done_where_nobody_could_read_it(access: tuple[str, ...]) -> None:
    """A new key is shown once."""
    done = entered(access, ">&-")
    assert (done.returncode, done.stderr) == (1, "nexus: standard output is closed, so nothing was done.\n")
    assert Gateway.asked == []


def test_a_terminal_that_cannot_show_a_name_gets_its_escapes(
    access: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not a trace."""
    monkeypatch.setitem(KEY, "name", "日本")
    done = entered(access, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u65e5\\u672c" in done.stdout


@pytest.mark.parametrize("answer", [None, [], "x"])
def test_what_is_no_object_is_no_answer(
    answer: object, access: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a server that sends everybody elsewhere."""
    monkeypatch.setattr(Gateway, "do_GET", lambda self: self._answer(301, answer))
    assert main(["models", *access]) == 1
    assert capsys.readouterr().err.endswith(
        " answered GET /v1/models with status 301 and no JSON object: is it the gateway?\n"
    )


@pytest.mark.parametrize("typed", [b"\x03", b"\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_a_password_that_is_not_given_leaves_the_terminal_as_it_was(typed: bytes, access: tuple[str, ...]) -> None:
    """What is typed next can be seen; nobody is asked anything."""
    theirs_alone = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"  # Ctrl-C goes to this command
    command = [
        sys.executable,
        "-c",
        f"{theirs_alone}; {ENTRY}",
        *["users", "create", "ada", "--name", "Ada", "--password"],
        *access,
    ]
    ours, theirs = pty.openpty()
    own: Any = {"cwd": ROOT, "start_new_session": True}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, **own) as process:
        said = b""
        while b"Password:" not in said:
            said += os.read(ours, 1000)
        assert not termios.tcgetattr(theirs)[3] & termios.ECHO
        os.write(ours, typed)
        assert process.wait(30) == 1
        said += os.read(ours, 1000)
    assert b"No password was given" in said
    assert b"Traceback" not in said
    assert termios.tcgetattr(theirs)[3] & termios.ECHO
    assert Gateway.asked == []
    os.close(ours)
    os.close(theirs)


def test_a_very_long_name_leaves_the_sentence_readable(
    access: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """What the gateway says of it stands at the end of a line, and not behind screens of the name."""
    assert main(["keys", "revoke", "x" * 5000, *access]) == 1
    said = capsys.readouterr().err
    assert len(said) < 300
    assert said.endswith("x...: No such key. (status 404, request req-1)\n")
