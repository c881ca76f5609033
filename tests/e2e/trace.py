"""Which processes a command started, with what they were told, and which are left when it has ended. Reads /proc."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class Process(NamedTuple):
    """One process; the start time tells it from a later one with the same number."""

    number: int
    started: str
    command: str


def descendants(root: int) -> list[Process]:
    """Return all processes below `root`, itself included."""
    parents = {number: fields[1] for number, fields in _all().items()}
    family, more = {root}, True
    while more:
        found = {number for number, parent in parents.items() if int(parent) in family} - family
        family |= found
        more = bool(found)
    return [process for process in map(_process, sorted(family)) if process]


def environments(root: int) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of every process below `root`, and its environment."""
    for process in descendants(root):
        try:
            told = Path(f"/proc/{process.number}/environ").read_bytes().decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended meanwhile
        yield process.number, dict(pair.partition("=")[::2] for pair in told.split("\0") if "=" in pair)


def still_alive(family: list[Process]) -> list[Process]:
    """Return those of `family` that still run; an ended one that nobody has collected does not."""
    return [process for process in family if _process(process.number) == process]


def _all() -> dict[int, list[str]]:
    numbers = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return {number: fields for number in numbers if (fields := _fields(number))}


def _fields(number: int) -> list[str]:
    """Return the fields of /proc/N/stat after the name: state, parent, ...; none if it is gone or ended."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return fields if fields[0] != "Z" else []


def _process(number: int) -> Process | None:
    fields = _fields(number)
    if not fields:
        return None
    try:
        command = Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Process(number, fields[19], command)
