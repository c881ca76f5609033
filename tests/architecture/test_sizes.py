"""Small files and small functions are a promise to the reader, kept by counting."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for part in ("cdk", "functions", "gpu_service", "shared") for path in (ROOT / part).rglob("*.py"))
MOST_LINES_OF_A_FILE = 300
MOST_LINES_OF_A_FUNCTION = 40


def functions_of(source: str) -> Iterator[tuple[str, int]]:
    """Name and length in lines of every function in `source`, docstrings not counted."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            docstring = node.body[0] if ast.get_docstring(node, clean=False) is not None else None
            told = docstring.end_lineno - docstring.lineno + 1 if docstring and docstring.end_lineno else 0
            yield node.name, node.end_lineno - node.lineno + 1 - told


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_read_in_one_sitting(path: Path) -> None:
    """No source file is longer than 300 lines, no function longer than 40."""
    source = path.read_text()

    assert len(source.splitlines()) <= MOST_LINES_OF_A_FILE
    assert [name for name, lines in functions_of(source) if lines > MOST_LINES_OF_A_FUNCTION] == []


def test_the_count_sees_a_long_function() -> None:
    """A function of 41 lines is found; its docstring does not count."""
    body = "\n".join("    x = 1" for _ in range(MOST_LINES_OF_A_FUNCTION))

    assert list(functions_of(f'def long():\n    """Told\n    in two lines."""\n{body}\n')) == [("long", 41)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_why_it_exists(path: Path) -> None:
    """Every module starts with a sentence, and no name says nothing."""
    assert ast.get_docstring(ast.parse(path.read_text()))
    assert path.stem not in {"utils", "helpers", "manager", "base", "common"}
