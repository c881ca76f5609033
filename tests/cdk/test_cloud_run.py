"""The GPU service at Cloud Run: a function that deploys it, whose role Google can know ahead, and what that is told."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from cdk import bundle, synth
from shared.core.cloud_run import CloudRun, decode
from shared.manifest import CLOUD_RUN
from tests.cdk import gpu_catalogs
from tests.cdk.test_functions import deployed, statements

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def built(clouds: Path) -> dict[str, Any]:
    """The template of a deployment with one."""
    return synth.template(clouds)


def test_cloudformation_is_told_the_service_as_it_is_configured(built: dict[str, Any]) -> None:
    """Read back by the very code that the function reads it with; the caller is the catalog's."""
    [service] = [one["Properties"] for one in built["Resources"].values() if one["Type"] == "Custom::CloudRunService"]
    name, _ = deployed(CLOUD_RUN, built)
    assert service["ServiceToken"] == {"Fn::GetAtt": [name, "Arn"]}
    assert decode(service["Wanted"]) == CloudRun(
        project="our-project",
        region="europe-west4",
        name="ai-nexus-dev-gpu",
        image=str(gpu_catalogs.CLOUD_RUN["image"]),
        pool="projects/123456789/locations/global/workloadIdentityPools/aws/providers/nexus",
        deployer="nexus-deployer@our-project.iam.gserviceaccount.com",
        invoker="nexus-caller@our-project.iam.gserviceaccount.com",
        account="gpu-service@our-project.iam.gserviceaccount.com",
        max=2,
    )


def test_its_role_has_a_name_and_may_nothing_but_write_its_log(built: dict[str, Any]) -> None:
    """Google is told the name before the first deployment, which could not succeed without."""
    _, properties = deployed(CLOUD_RUN, built)
    role = built["Resources"][properties["Role"]["Fn::GetAtt"][0]]["Properties"]
    assert role["RoleName"] == {"Fn::Join": ["", ["ai-nexus-dev-cloud-run-", {"Ref": "AWS::Region"}]]}
    assert statements(CLOUD_RUN, built).keys() == {"Log"}
    assert properties["Timeout"] == 900
    assert built["Outputs"]["CloudRunAddress"]


def test_its_zip_runs_on_nothing_but_itself() -> None:
    """Under the start script's own switches: Google's namespace packages need no site."""
    folder = bundle.build("gcp", "host", b"{}")
    code = (
        "import sys, functions.runtime, functions.cloud_run\n"
        "for m in [*sys.modules.values()]: print(getattr(m, '__file__', '') or '')"
    )
    environment = {"PYTHONPATH": str(folder), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-S", "-B", "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not [file for file in done.stdout.split() if not file.startswith((str(folder), sys.base_prefix))]
