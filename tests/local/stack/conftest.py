"""The synthesized template, for all tests here."""

from __future__ import annotations

from typing import Any

import pytest

from cdk import synth
from cdk.config import Config


@pytest.fixture(scope="session")
def template() -> dict[str, Any]:
    """The template as it deploys."""
    return synth.template(synth.synthesize(Config()))
