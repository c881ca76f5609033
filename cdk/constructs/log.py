"""A function's log group. They are made ahead of all functions, because one of these reads the log of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import ArnFormat, RemovalPolicy, Stack
from aws_cdk import aws_logs as logs

if TYPE_CHECKING:
    from constructs import Construct

RETENTION: Final = logs.RetentionDays.ONE_WEEK


def log_group(scope: Construct, function: str) -> logs.LogGroup:
    """Build the group that `function` writes to."""
    return logs.LogGroup(
        scope, f"{function.capitalize()}Log", retention=RETENTION, removal_policy=RemovalPolicy.DESTROY
    )


def log_arns(log: logs.LogGroup) -> list[str]:
    """Return what a reader of the group must be granted: IAM asks for the group with and without its streams."""
    group = Stack.of(log).format_arn(
        service="logs",
        resource="log-group",
        resource_name=log.log_group_name,
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )
    return [group, log.log_group_arn]
