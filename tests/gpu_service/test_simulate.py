"""The command that says what a load would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gpu_service.cli import main

if TYPE_CHECKING:
    from pathlib import Path


def test_a_load_is_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for the tuned policy, and the same again for the same seed."""
    told = []
    for _ in range(2):
        assert main(["simulate", "--seconds", "2", "--rate", "50"]) == 0
        told.append(capsys.readouterr().out)

    assert told[0] == told[1]
    assert [line.split()[0] for line in told[0].splitlines()[1:]] == ["setting", "auto-tuned"]


def test_fixed_settings_are_compared(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Every size with every wait, on the arrivals of a file."""
    trace = tmp_path / "trace.csv"
    trace.write_text("\n".join(f"{number / 100},16" for number in range(100)))

    assert main(["simulate", "--trace", str(trace), "--compare"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 + 1 + 6 * 4


@pytest.mark.parametrize("content", [None, b"nonsense", b"\xff\xfe1,2", b""])
def test_what_is_no_trace_is_refused(content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing or a wrong file is a sentence, not a traceback."""
    trace = tmp_path / "trace.csv"
    if content is not None:
        trace.write_bytes(content)

    assert main(["simulate", "--trace", str(trace)]) == 1
    assert capsys.readouterr().err.startswith("gpu_service: ")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--rate", "1e9"], "More than 5000000 requests would come: lower --rate or --seconds"),
        (["--rate", "0.001", "--seconds", "0.1"], "No request comes in so short a time: raise --rate or --seconds"),
        (["--trace", "/"], "--trace: / cannot be read (Is a directory)"),
    ],
)
def test_a_load_that_cannot_be_simulated_is_told(
    options: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, at once."""
    assert main(["simulate", *options]) == 1
    assert capsys.readouterr().err == f"gpu_service: {told}.\n"


@pytest.mark.parametrize(
    "options",
    [
        ["--rate", "0"],
        ["--tokens", "9-3"],
        ["--seconds", "inf"],
        ["--workers", "0"],
        ["--noise", "1"],
        ["--noise", "nan"],
    ],
)
def test_a_wrong_option_is_named(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """By the parser."""
    with pytest.raises(SystemExit):
        main(["simulate", *options])
    assert options[0] in capsys.readouterr().err
