"""Starts a function again and again, by the clock."""

from __future__ import annotations

from aws_cdk import Aws, Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from constructs import Construct


class Schedule(Construct):
    """A rule of EventBridge and its permission.

    A start that fails is not repeated: the next one is at most a few minutes away, and takes up what was left.
    """

    def __init__(self, scope: Construct, function: lambda_.Function, *, minutes: int) -> None:
        """Start `function` every so many minutes."""
        super().__init__(scope, "Schedule")
        unit = "minute" if minutes == 1 else "minutes"
        rule = events.CfnRule(
            self,
            "Rule",
            schedule_expression=f"rate({minutes} {unit})",
            state="ENABLED",
            targets=[events.CfnRule.TargetProperty(id="function", arn=function.function_arn)],
        )
        lambda_.CfnPermission(
            self,
            "Permission",
            action="lambda:InvokeFunction",
            function_name=function.function_arn,
            principal="events.amazonaws.com",
            source_arn=rule.attr_arn,
            source_account=Aws.ACCOUNT_ID,
        )
        lambda_.CfnEventInvokeConfig(
            self,
            "Once",
            function_name=function.function_name,
            qualifier="$LATEST",
            maximum_retry_attempts=0,
            maximum_event_age_in_seconds=Duration.minutes(minutes).to_seconds(),
        )
