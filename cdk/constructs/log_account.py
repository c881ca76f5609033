"""The account's API Gateway logging role, without which no stage of the region may write an access log.

There is one setting for an account and region. It survives this stack, because other APIs may have come to rely on it.
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Aws, RemovalPolicy
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk.constructs.excuses import excuse

# What API Gateway checks for before it accepts a role.
ACTIONS: Final = (
    "logs:CreateLogGroup",
    "logs:CreateLogStream",
    "logs:DescribeLogGroups",
    "logs:DescribeLogStreams",
    "logs:FilterLogEvents",
    "logs:GetLogEvents",
    "logs:PutLogEvents",
)
LOGS: Final = f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:*"
EXCUSED: Final = {
    "AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:logs:<AWS::Region>:<AWS::AccountId>:*]": (
        "The setting is the account's, not this API's: the role serves the logs of every API of the region, whose "
        "names are not known here. It reaches no other account or region, unlike the managed policy made for it."
    ),
}


class LogAccount(Construct):
    """The setting and its role, both kept when the stack goes."""

    def __init__(self, scope: Construct) -> None:
        """Build them for this account and region."""
        super().__init__(scope, "LogAccount")
        statement = iam.PolicyStatement(sid="Logs", actions=list(ACTIONS), resources=[LOGS])
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("apigateway.amazonaws.com"),
            inline_policies={"Logs": iam.PolicyDocument(statements=[statement])},
        )
        role.apply_removal_policy(RemovalPolicy.RETAIN)
        setting = apigateway.CfnAccount(self, "Setting", cloud_watch_role_arn=role.role_arn)
        setting.apply_removal_policy(RemovalPolicy.RETAIN)
        excuse(self, EXCUSED)
