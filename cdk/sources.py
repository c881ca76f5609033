"""Which of our own files a function needs: its module and whatever that imports, so that nothing else redeploys it."""

from __future__ import annotations

import ast
from importlib.util import resolve_name
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

OURS: Final = ("functions", "shared")
DATA: Final = ("*.lua",)  # read by the modules beside them


def needed(modules: Iterable[str], root: Path) -> dict[str, Path]:
    """Map the path inside the bundle to the file, for `modules` and everything of ours that they import.

    Raises:
        FileNotFoundError: One of `modules` does not exist.
    """
    found: dict[str, Path] = {}
    waiting = list(modules)
    for module in waiting:
        if _file(module, root) is None:
            raise FileNotFoundError(module)
    while waiting:
        module = waiting.pop()
        file = _file(module, root)
        if file is None or module in found:
            continue
        found[module] = file
        parent = module.rpartition(".")[0]
        package = module if file.name == "__init__.py" else parent
        waiting += [*([parent] if parent else []), *_imports(file, package)]
    files = {*found.values(), *(data for file in found.values() for kind in DATA for data in file.parent.glob(kind))}
    return {str(file.relative_to(root)): file for file in sorted(files)}


def _imports(file: Path, package: str) -> Iterator[str]:
    """Yield every module of ours that `file` may import, wherever in it the import stands."""
    for node in ast.walk(ast.parse(file.read_bytes(), filename=str(file))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith(OURS))
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package)
            if origin.startswith(OURS):
                yield origin
                yield from (f"{origin}.{name.name}" for name in node.names)


def _file(module: str, root: Path) -> Path | None:
    """Find the source of `module`; a name that is no module (a class in one) has none."""
    place = root.joinpath(*module.split("."))
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.exists():
            return file
    return None
