"""One Lambda function of the manifest: arm64, our own runtime loop, a role of its own, and its own log group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from cdk.constructs.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from shared import parts


class Function(Construct):
    """A function that may write its own log, and nothing else until it is told so."""

    def __init__(
        self,
        scope: Construct,
        spec: parts.Function,
        *,
        bundle: Path,
        environment: Mapping[str, str],
        log: logs.LogGroup,
        reserved: int | None,
        role_name: str | None = None,
    ) -> None:
        """Build `spec` from the folder `bundle`, whose name is the digest of its content.

        `role_name` is for a role that somebody else must know before it is made; it is CloudFormation's otherwise.
        """
        super().__init__(scope, spec.name.capitalize())
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"), role_name=role_name)
        self.allow("Log", ("logs:CreateLogStream", "logs:PutLogEvents"), [log.log_group_arn])
        self.function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            handler=spec.handler,
            code=lambda_.Code.from_asset(str(bundle), asset_hash=bundle.name),
            memory_size=spec.memory_mb,
            timeout=Duration.seconds(spec.timeout_s),
            environment=dict(environment),
            reserved_concurrent_executions=reserved,
            recursive_loop=lambda_.RecursiveLoop.ALLOW
            if spec.queued
            else None,  # else Lambda ends it after 16 messages
            role=self.role,
            log_group=log,
            logging_format=lambda_.LoggingFormat.JSON,
        )
        if spec.every_minutes:
            Schedule(self, self.function, minutes=spec.every_minutes)

    def allow(
        self,
        name: str,
        actions: Sequence[str],
        arns: Sequence[str],
        conditions: Mapping[str, object] | None = None,
    ) -> None:
        """Add one statement, called `name`, to the role."""
        statement = iam.PolicyStatement(
            sid=name, actions=list(actions), resources=list(arns), conditions=dict(conditions or {})
        )
        self.role.add_to_principal_policy(statement)
