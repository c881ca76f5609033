"""A bundle holds a function's own modules and what they import: no more, or an unrelated edit would redeploy it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cdk.sources import needed
from shared.dialects import registry as spoken
from shared.providers import registry

if TYPE_CHECKING:
    from shared.core.catalog import Kind

ROOT = Path(__file__).parents[2]

TREE = {
    "functions/__init__.py": "",
    "functions/a.py": "from shared.edge import store\n",
    "functions/b.py": "import boto3\n",
    "shared/__init__.py": "",
    "shared/edge/__init__.py": "",
    "shared/edge/store.py": "def late():\n    from .deep import thing\n    import shared.edge.later\n",
    "shared/edge/deep.py": "import json\n",
    "shared/edge/later.py": "",
    "shared/edge/unused.py": "",
    "shared/edge/admit.lua": "return 1",
    "shared/edge/notes.txt": "not for the zip",
    "shared/core/__init__.py": "",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small repository."""
    for name, content in TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def test_follows_imports_wherever_they_stand(root: Path) -> None:
    """Also those inside functions, the relative ones, and the data that lies beside a module."""
    assert set(needed(["functions.a"], root)) == {
        "functions/__init__.py",
        "functions/a.py",
        "shared/__init__.py",
        "shared/edge/__init__.py",
        "shared/edge/admit.lua",
        "shared/edge/deep.py",
        "shared/edge/later.py",
        "shared/edge/store.py",
    }


def test_leaves_other_peoples_packages_to_the_lock_file(root: Path) -> None:
    """Only our own two packages are copied."""
    assert set(needed(["functions.b"], root)) == {"functions/__init__.py", "functions/b.py"}


def test_a_missing_module_is_an_error(root: Path) -> None:
    """A handler that does not exist is found when the zip is built, not at its first request."""
    with pytest.raises(FileNotFoundError, match=r"functions\.c"):
        needed(["functions.a", "functions.c"], root)


@pytest.mark.parametrize(("dialect", "kind"), registry._ADAPTERS)
def test_the_gateways_zip_has_every_adapter(dialect: str, kind: Kind) -> None:
    """Also those that are loaded by name with the first request: without them that would be a 500 in the cloud only."""
    module = registry.adapter_for(dialect, kind).__module__
    assert f"{module.replace('.', '/')}.py" in needed(["functions.gateway"], ROOT)


@pytest.mark.parametrize("name", [spoken.MESSAGES, spoken.COUNT_TOKENS, spoken.RESPONSES, spoken.GENERATE])
def test_the_gateways_zip_has_every_dialect(name: str) -> None:
    """For the same reason."""
    assert callable(getattr(spoken.loaded(name), "parse", spoken.loaded(name)))
    assert f"shared/dialects/{name.partition('.')[0]}.py" in needed(["functions.gateway"], ROOT)
