"""What a local run shows of the deployed system and what not: a table, so that nobody believes more than was seen."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TABLE: Final = Path(__file__).with_name("coverage.toml")
Status = Literal["emulated", "substituted", "never"]
WORDS: Final[Mapping[Status, str]] = {
    "emulated": "emulated",
    "substituted": "substituted",
    "never": "never run here",
}


class Line(NamedTuple):
    """What happens to one property of one type."""

    type_name: str
    property_name: str
    status: Status
    note: str


def lines(path: Path = TABLE) -> Iterator[Line]:
    """Read the table.

    Raises:
        ValueError: A line has a status that does not exist.
    """
    for type_name, properties in tomllib.loads(path.read_text()).items():
        for name, (status, note) in properties.items():
            if status not in get_args(Status):
                raise ValueError(f"{path}: {type_name}.{name} has the status {status!r}.")
            yield Line(type_name, name, status, note)


def missing(resources: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the properties of a template that the table does not know, as `Type.Property`."""
    known = {(line.type_name, line.property_name) for line in lines()}
    used = {(resource["Type"], name) for resource in resources.values() for name in resource.get("Properties", {})}
    return {f"{type_name}.{name}" for type_name, name in used - known}


def render() -> str:
    """Return the table as text, grouped by type."""
    text: list[str] = []
    for type_name, group in itertools.groupby(lines(), key=lambda line: line.type_name):
        text += ["", type_name]
        text += [f"  {name:34}{WORDS[status]:16}{note}".rstrip() for _, name, status, note in group]
    return "\n".join(text[1:])
