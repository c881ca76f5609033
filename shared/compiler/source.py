"""A file that people wrote: what it says, and what it is called in complaints."""

from __future__ import annotations

from typing import NamedTuple


class Source(NamedTuple):
    """The text of a file and its name."""

    name: str
    text: str


class SourceError(Exception):
    """A file is wrong; the message has one line per mistake: `file:line: field: what is wrong and what to do`."""
