"""What `cdk deploy` would send: packages for Lambda's machine, and a template that CDK's own validator accepts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cdk import synth
from cdk.bundle import BundleError
from cdk.config import Config

if TYPE_CHECKING:
    from pathlib import Path

ELF, ARM64 = b"\x7fELF", 183  # the machine's number in an ELF header


@pytest.fixture(scope="module")
def deployable() -> Path:
    """The assembly for Lambda. Its packages come over the network once; without any, there is nothing to judge."""
    try:
        return synth.synthesize(Config(), validate=True)
    except BundleError as error:
        if "error sending request" not in str(error):
            raise
        pytest.skip("the package index is out of reach, and the packages for Lambda were never fetched")


def test_every_native_module_is_for_arm64_and_python_3_14(deployable: Path) -> None:
    """None is for the machine that built it, or for another Python."""
    modules = [module for folder in synth.assets(deployable).values() for module in folder.rglob("*.so")]
    assert modules
    for module in modules:
        header = module.read_bytes()[:20]
        assert header.startswith(ELF)
        assert int.from_bytes(header[18:20], "little") == ARM64
        assert "cpython-314-" in module.name or ".abi3." in module.name


def test_the_template_is_valid_cloudformation(deployable: Path) -> None:
    """CDK's validator finds nothing but what is excused with a reason."""
    report = json.loads((deployable / "validation-report.json").read_text())
    [plugin] = report["pluginReports"]
    assert plugin["violations"] == []
    excused = {finding["acknowledgedId"]: finding["reason"] for finding in plugin["suppressedViolations"]}
    assert list(excused) == ["CloudFormation-Validate::F3002"]
    assert "ConnectionType" in excused["CloudFormation-Validate::F3002"]


def test_it_differs_from_the_local_runs_template_in_nothing_but_the_zips(deployable: Path) -> None:
    """What runs here is what deploys: only the keys of the functions' code are not the same."""
    here, there = synth.template(synth.synthesize(Config(target="host"))), synth.template(deployable)
    for template in (here, there):
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::Lambda::Function":
                resource["Properties"]["Code"].pop("S3Key")
    assert here == there
