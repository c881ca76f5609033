"""The libraries that people build on, each unmodified, in an environment of their own: `clients/suite.py`."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.client_packages import SUITE, installed
from tests.e2e.stack import CHAT, EMBEDDING, Stack

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECKS = re.findall(r"^def ([a-z]\w+)\(\)", SUITE.read_text(), re.MULTILINE)

pytestmark = pytest.mark.xdist_group("client libraries")


@pytest.fixture(scope="session")
def verdicts(stack: Stack) -> Mapping[str, str | None]:
    """Return what went wrong with each library, None where nothing did."""
    command = [str(installed() / "python"), str(SUITE), stack.base_url, stack.client_key, CHAT, EMBEDDING]
    done = subprocess.run(command, text=True, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"name"')]
    return {line["name"]: line["failure"] for line in lines}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("check", CHECKS)
def test_library(verdicts: Mapping[str, str | None], check: str) -> None:
    """It says what the model said, whole and streamed, and structured or with tools where it can."""
    assert verdicts[check] is None, verdicts[check]


def test_all_checks_are_read() -> None:
    """The names come out of the script itself; a change of its form must not lose them."""
    assert len(CHECKS) >= 6
