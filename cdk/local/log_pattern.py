"""The little of CloudWatch's filter patterns for JSON that we use: members that are a text, true, or false."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_MEMBER: Final = r'\$\.(\w+)\s*(?:=\s*"([^"]*)"|\bIS\s+(TRUE|FALSE))'
_PATTERN: Final = re.compile(rf"\{{\s*{_MEMBER}(?:\s*&&\s*{_MEMBER})*\s*\}}")


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
    found = re.findall(_MEMBER, pattern)
    wanted = {name: truth == "TRUE" if truth else text for name, text, truth in found}
    return lambda line: wanted.items() <= _members(line).items()


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
