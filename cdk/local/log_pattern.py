"""The little of CloudWatch's filter patterns for JSON that our functions use: members that equal a text, and all do."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_MEMBER: Final = r'\$\.(\w+)\s*=\s*"([^"]*)"'
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
    wanted = dict(re.findall(_MEMBER, pattern))
    return lambda line: wanted.items() <= _members(line).items()


def _members(line: str) -> dict[str, str]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return {name: value for name, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}
