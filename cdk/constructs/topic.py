"""Where operators hear of what needs them: one SNS topic, for the alarms and for whatever else writes to people.

It is encrypted with the stack's own key, because CloudWatch cannot publish otherwise: the key that AWS manages for SNS
(`alias/aws/sns`) lets only principals of the account in, not services, and nobody can change its policy. A key of its
own would cost another dollar a month. A topic without messages costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Mapping


class Topic(Construct):
    """The topic, who may publish to it, and who hears of it by e-mail."""

    def __init__(self, scope: Construct, *, name: str, key: kms.Key, email: str | None) -> None:
        """Build it for alarms whose names begin with `name` and a hyphen; `email` has to confirm its subscription."""
        super().__init__(scope, "Operators")
        self.topic = sns.Topic(self, "Topic", display_name=name, master_key=key, enforce_ssl=True)
        alarms = iam.ServicePrincipal("cloudwatch.amazonaws.com", conditions=_only(self, name))
        publish = iam.PolicyStatement(
            sid="Alarms", actions=["sns:Publish"], resources=[self.topic.topic_arn], principals=[alarms]
        )
        encrypt = iam.PolicyStatement(
            sid="Alarms", actions=["kms:Decrypt", "kms:GenerateDataKey*"], resources=["*"], principals=[alarms]
        )
        self.topic.add_to_resource_policy(publish)
        key.add_to_resource_policy(encrypt)
        if email:
            sns.Subscription(self, "Email", topic=self.topic, protocol=sns.SubscriptionProtocol.EMAIL, endpoint=email)


def _only(scope: Construct, name: str) -> Mapping[str, object]:
    """Ask that CloudWatch acts for an alarm of this stack; not by its whole ARN, for the alarms refer to the topic."""
    ours = Stack.of(scope).format_arn(service="cloudwatch", resource=f"alarm:{name}-*")
    return {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}, "ArnLike": {"aws:SourceArn": ours}}
