"""A cold start pays for every import, so the two hot functions may not grow heavy unseen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BANNED = {"boto3", "botocore", "pydantic", "starlette", "uvicorn", "anyio", "requests", "httpx", "httpx2", "urllib3"}
PROGRAM = """
import json, sys
before = set(sys.modules)
import {module}
print(json.dumps(sorted({{name.split(".")[0] for name in set(sys.modules) - before}})))
"""


def imports_of(module: str) -> set[str]:
    """Top-level packages that a fresh interpreter loads for `module`."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(module=module)], cwd=ROOT, text=True, capture_output=True, check=True
    )
    return set(json.loads(run.stdout))


@pytest.mark.parametrize("module", ["functions.authorizer", "functions.gateway", "functions.runtime"])
def test_the_hot_functions_stay_light(module: str) -> None:
    """No cloud SDK, no validation library, no framework is loaded for a hot function."""
    assert imports_of(module) & BANNED == set()


def test_only_the_gateway_speaks_to_valkey() -> None:
    """The authorizer answers from the Directory: it loads no Valkey client, and so no asyncio."""
    assert imports_of("functions.authorizer") & {"redis", "asyncio"} == set()


def test_a_key_pays_nothing_for_tokens() -> None:
    """What verifies tokens is loaded with the first token, and not with the function."""
    assert (
        imports_of("functions.authorizer") & {"jwt", "cryptography", "httptools", "ssl", "msgspec", "base64"} == set()
    )
    assert {"jwt", "cryptography", "httptools"} <= imports_of("functions.bearer")


def test_a_cold_start_reads_one_language() -> None:
    """The dialects of other clients and providers are loaded with the first request in them."""
    late = {f"shared.{part}" for part in ("dialects.anthropic", "dialects.responses", "providers.anthropic")}
    program = "import sys, functions.gateway; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, text=True, capture_output=True, check=True)
    assert late.isdisjoint(run.stdout.split())
    assert "shared.dialects.openai" in run.stdout.split()


def test_the_scale_tells_heavy_from_light() -> None:
    """A module that does load a banned package is seen."""
    assert "pydantic" in imports_of("pydantic")
