"""The template's functions as they run here: as deployed, but for what the local run says it changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cdk.local.child import LocalError
from cdk.local.deploy import Deployment, wanted
from cdk.local.functions import STREAM_SECONDS, Surroundings, name_of, specs, stream_seconds
from cdk.local.template import Resolver
from shared.manifest import FUNCTIONS, LONGEST_LEASE

if TYPE_CHECKING:
    from cdk.local.workers import FunctionSpec


class Everything(dict[str, str]):
    """Knows what each reference means: its own name."""

    def __contains__(self, _name: object) -> bool:
        """Always."""
        return True

    def __missing__(self, name: str) -> str:
        """Return something with its name in it, of the shape of a stack's id."""
        return f"arn:aws/{name}/id"


def functions(template: dict[str, Any], **environment: str) -> dict[str, FunctionSpec]:
    """Describe the functions where the local run has this environment."""
    resources = wanted(template)
    deployment = Deployment(resources, Resolver(template, Everything()), {})
    codes = [r["Properties"]["Code"]["S3Key"] for r in resources.values() if r["Type"] == "AWS::Lambda::Function"]
    found = specs(deployment, dict.fromkeys(codes, Path()), Surroundings("http://emulator", {}, environment))
    return {name_of(spec): spec for spec in found}


def test_every_function_has_its_own_time(template: dict[str, Any]) -> None:
    """As the manifest says, and the books wait as long as a request may hold money."""
    found = functions(template)
    assert {name: spec.timeout_s for name, spec in found.items()} == {
        name: function.timeout_s for name, function in FUNCTIONS.items()
    }
    assert found["budgets"].environment["LONGEST_LEASE"] == str(LONGEST_LEASE)


def test_streams_can_be_made_shorter_for_a_test_of_a_lost_store(template: dict[str, Any]) -> None:
    """The books then wait no longer than that; no other function is cut short."""
    found = functions(template, NEXUS_STREAM_SECONDS="20")
    assert found["gateway"].timeout_s == 20
    assert found["budgets"].environment["LONGEST_LEASE"] == "25"
    assert found["budgets"].timeout_s == FUNCTIONS["budgets"].timeout_s
    assert "LONGEST_LEASE" not in found["gateway"].environment


@pytest.mark.parametrize("text", ["0", "901", "x", "1.5", "-3"])
def test_what_is_no_length_of_a_stream_is_one_sentence(text: str) -> None:
    """It names the variable."""
    with pytest.raises(LocalError, match=STREAM_SECONDS):
        stream_seconds({STREAM_SECONDS: text})
