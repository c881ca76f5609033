"""Starts a function with lines of other functions' logs: the few that match a filter, in batches, seconds later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import Aws, Duration
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Mapping

RETRIES: Final = 2
LONGEST: Final = Duration.hours(1)  # that a batch waits for its turn: later nobody needs to be told


class Subscriptions(Construct):
    """A subscription filter for each log group, and its permission to start the function.

    A start that fails is repeated twice by Lambda, after one and two minutes.
    """

    def __init__(
        self, scope: Construct, function: lambda_.Function, *, pattern: str, heard: Mapping[str, logs.LogGroup]
    ) -> None:
        """Start `function` with what matches `pattern` (CloudWatch's) in the logs `heard`, by their writers' names."""
        super().__init__(scope, "Subscriptions")
        for name, log in heard.items():
            self._subscribe(name, function, pattern, log)
        lambda_.CfnEventInvokeConfig(
            self,
            "Repeat",
            function_name=function.function_name,
            qualifier="$LATEST",
            maximum_retry_attempts=RETRIES,
            maximum_event_age_in_seconds=LONGEST.to_seconds(),
        )

    def _subscribe(self, name: str, function: lambda_.Function, pattern: str, log: logs.LogGroup) -> None:
        permission = lambda_.CfnPermission(
            self,
            f"{name.capitalize()}Permission",
            action="lambda:InvokeFunction",
            function_name=function.function_arn,
            principal="logs.amazonaws.com",
            source_arn=log.log_group_arn,
            source_account=Aws.ACCOUNT_ID,
        )
        subscription = logs.CfnSubscriptionFilter(
            self,
            f"{name.capitalize()}Filter",
            destination_arn=function.function_arn,
            filter_pattern=pattern,
            log_group_name=log.log_group_name,
        )
        subscription.add_resource_dependency(permission)  # CloudWatch Logs tries the function at once
