"""The little of CloudWatch's filter patterns for JSON that we use: members that are a text, true, or false.

All of them are asked for, or all of one of several parentheses with `||` between them.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MEMBER: Final = r'\$\.(\w+)\s*(?:=\s*"([^"]*)"|\bIS\s+(TRUE|FALSE))'
_ALL: Final = rf"{_MEMBER}(?:\s*&&\s*{_MEMBER})*"
_PATTERN: Final = re.compile(rf"\{{\s*(?:{_ALL}|\({_ALL}\)(?:\s*\|\|\s*\({_ALL}\))*)\s*\}}")
_PLAIN: Final = re.compile(r"[\w.]+", re.ASCII)  # stands in JSON as it is


class PatternError(ValueError):
    """The local run does not understand a filter pattern."""


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return what tells whether a line matches; every line matches an empty pattern.

    Raises:
        PatternError: it is one that is not done here.
    """
    if not pattern:
        return lambda _line: True
    if not _PATTERN.fullmatch(pattern.strip()):
        raise PatternError(f"The local run knows no filter pattern like {pattern!r}.")
    choices = [_wanted(part) for part in pattern.split("||")]
    return lambda line: any(_may_match(wanted, line) and wanted.items() <= _members(line).items() for wanted in choices)


def _wanted(pattern: str) -> dict[str, str | bool]:
    found = re.findall(_MEMBER, pattern)
    return {name: truth == "TRUE" if truth else text for name, text, truth in found}


def _may_match(wanted: Mapping[str, str | bool], line: str) -> bool:
    """Tell whether a line is worth being parsed."""
    return all(value in line for value in wanted.values() if isinstance(value, str) and _PLAIN.fullmatch(value))


def _members(line: str) -> dict[str, str | bool]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return (
        {name: value for name, value in found.items() if isinstance(value, str | bool)}
        if isinstance(found, dict)
        else {}
    )
