"""The import contracts of pyproject.toml, each broken on purpose: a contract that cannot fail protects nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")

# (contract, module that breaks it, the forbidden line)
BREAKS = [
    ("functions > edge > providers, dialects > core", "shared/core/broken.py", "import shared.providers"),
    ("functions > edge > providers, dialects > core", "shared/core/broken.py", "import shared.dialects"),
    ("functions > edge > providers, dialects > core", "shared/providers/broken.py", "import shared.edge"),
    ("functions > edge > providers, dialects > core", "shared/dialects/broken.py", "import shared.providers.openai"),
    ("functions > edge > providers, dialects > core", "shared/providers/broken.py", "import shared.dialects.openai"),
    ("functions > edge > providers, dialects > core", "shared/edge/broken.py", "import functions"),
    ("do not know each other", "gpu_service/broken.py", "import functions"),
    ("do not know each other", "cdk/broken.py", "import functions.gateway"),
    ("touch no world", "shared/core/broken.py", "import socket"),
    ("touch no world", "shared/providers/broken.py", "import time"),
    ("touch no world", "shared/dialects/broken.py", "import secrets"),
    ("the hot path is light", "shared/edge/broken.py", "import boto3"),
    ("the GPU service sees only", "gpu_service/broken.py", "import shared.edge.admission"),
    ("infrastructure's libraries", "functions/broken.py", "import aws_cdk"),
]


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources that may be spoiled."""
    copy = tmp_path_factory.mktemp("tree")
    for part in ("cdk", "functions", "gpu_service", "shared"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    """The linter's verdict on `tree`."""
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache", "--no-logo"], cwd=tree, text=True, capture_output=True, check=False
    )


@pytest.mark.parametrize(("contract", "module", "line"), BREAKS, ids=[f"{b[1]}: {b[2]}" for b in BREAKS])
def test_a_forbidden_import_is_seen(tree: Path, contract: str, module: str, line: str) -> None:
    """Each contract fails, by its name, for an import that it forbids."""
    planted = tree / module
    planted.write_text(f"{line}\n")
    try:
        verdict = lint(tree)
    finally:
        planted.unlink()

    assert verdict.returncode == 1
    broken = [row for row in verdict.stdout.splitlines() if row.endswith("BROKEN")]
    assert any(contract in row for row in broken), verdict.stdout


def test_the_sources_keep_the_contracts(tree: Path) -> None:
    """Unspoiled, all contracts are kept."""
    assert lint(tree).returncode == 0
