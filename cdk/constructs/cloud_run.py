"""Our GPU service at Cloud Run: a function that deploys it there, and CloudFormation's word to that function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import CustomResource
from constructs import Construct

from cdk.constructs.function import Function
from cdk.constructs.log import log_group
from shared import manifest
from shared.core.cloud_run import encode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from shared.core import cloud_run


class CloudRun(Construct):
    """The service, made, changed and deleted with the stack."""

    def __init__(
        self,
        scope: Construct,
        *,
        wanted: cloud_run.CloudRun,
        bundle: Path,
        environment: Mapping[str, str],
        role_name: str,
    ) -> None:
        """Build it as `wanted` says; `role_name` is what Google's workload identity pool knows the deployer by."""
        super().__init__(scope, "CloudRun")
        deployer = Function(
            self,
            manifest.CLOUD_RUN,
            bundle=bundle,
            environment=environment,
            log=log_group(self, manifest.CLOUD_RUN.name),
            reserved=None,
            role_name=role_name,
        )
        service = CustomResource(
            self,
            "Service",
            resource_type="Custom::CloudRunService",
            service_token=deployer.function.function_arn,
            properties={"Wanted": encode(wanted)},
        )
        self.address = service.get_att_string("Address")
