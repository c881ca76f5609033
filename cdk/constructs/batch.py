"""Where the files of batches lie, and the queue that says which of them somebody has to work on.

Neither costs anything while it holds nothing, but for the looks that Lambda takes at the queue: by what others have
counted, one or two million of them a month, of which SQS gives the first million away and takes $0.40 for the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk.constructs.excuses import excuse
from shared.core.batches import INBOX, INBOX_SUFFIX
from shared.manifest import STREAM_SECONDS

if TYPE_CHECKING:
    from aws_cdk import aws_kms as kms

    from cdk.constructs.function import Function

KEPT_DAYS: Final = 30
TRIES: Final = 5  # of a message, then it is put aside
AT_ONCE: Final = 10  # batches that are worked on
UNSEEN: Final = Duration.seconds(STREAM_SECONDS + 60)  # of a message that a worker has, which may have died
UNLOGGED: Final = {
    "AwsSolutions-S1": (
        "Only the stack's functions read and write here, and their own lines tell of each request. A second bucket of "
        "access logs would name the files of every tenant once more."
    ),
}
ANY_FILE: Final = "A file gets its name when it is made, so a function may touch whatever lies in this one bucket."


class Batch(Construct):
    """The bucket, encrypted under the stack's own key, and the queue with the place for what fails again and again."""

    def __init__(self, scope: Construct, *, key: kms.IKey, retain: bool) -> None:
        """Build it; `retain` keeps it when the stack is deleted."""
        super().__init__(scope, "Batch")
        kept = Duration.days(KEPT_DAYS)
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            encryption=s3.BucketEncryption.KMS,
            encryption_key=key,
            bucket_key_enabled=True,  # one call of KMS for many objects
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            lifecycle_rules=[
                s3.LifecycleRule(expiration=kept, abort_incomplete_multipart_upload_after=Duration.days(1))
            ],
            removal_policy=RemovalPolicy.RETAIN if retain else RemovalPolicy.DESTROY,
        )
        failed = self._queue("Failed", retention_period=Duration.days(14))
        dead = sqs.DeadLetterQueue(max_receive_count=TRIES, queue=failed)
        self.queue = self._queue("Queue", visibility_timeout=UNSEEN, dead_letter_queue=dead)
        self._watch_inbox()
        excuse(self, UNLOGGED)
        stack = Stack.of(self)
        (logical_id, _) = stack.resolve(self.bucket.bucket_arn)["Fn::GetAtt"]
        excuse(stack, {f"AwsSolutions-IAM5[Resource::<{logical_id}.Arn>/*]": ANY_FILE})

    def _watch_inbox(self) -> None:
        """Have S3 send a message for each file that is laid into the inbox.

        The queue's policy cannot name the bucket, which needs that policy to be there before: it names the account, and
        whoever gets a message looks which bucket it is about.
        """
        from_s3 = iam.PolicyStatement(
            actions=["sqs:SendMessage"],
            principals=[iam.ServicePrincipal("s3.amazonaws.com")],
            resources=[self.queue.queue_arn],
            conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
        )
        allowed = self.queue.add_to_resource_policy(from_s3).policy_dependable
        bucket = self.bucket.node.default_child
        if not isinstance(bucket, s3.CfnBucket) or allowed is None:
            raise TypeError("The bucket and the queue's policy are resources of this stack.")
        rules = [("prefix", INBOX), ("suffix", INBOX_SUFFIX)]
        names = [s3.CfnBucket.FilterRuleProperty(name=name, value=value) for name, value in rules]
        bucket.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            queue_configurations=[
                s3.CfnBucket.QueueConfigurationProperty(
                    event="s3:ObjectCreated:*",
                    queue=self.queue.queue_arn,
                    filter=s3.CfnBucket.NotificationFilterProperty(
                        s3_key=s3.CfnBucket.S3KeyFilterProperty(rules=names)
                    ),
                )
            ]
        )
        bucket.node.add_dependency(allowed)

    def _queue(
        self,
        name: str,
        *,
        visibility_timeout: Duration | None = None,
        retention_period: Duration | None = None,
        dead_letter_queue: sqs.DeadLetterQueue | None = None,
    ) -> sqs.Queue:
        """Build a queue of messages that hold nothing but ids, under SQS's own key."""
        return sqs.Queue(
            self,
            name,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            visibility_timeout=visibility_timeout,
            retention_period=retention_period,
            dead_letter_queue=dead_letter_queue,
        )


class Feed(Construct):
    """Has each message of the queue start a function, on its own."""

    def __init__(self, scope: Function, *, queue_arn: str) -> None:
        """Feed the function `scope`."""
        super().__init__(scope, "Feed")
        mapping = lambda_.CfnEventSourceMapping(
            self,
            "Mapping",
            function_name=scope.function.function_arn,
            event_source_arn=queue_arn,
            batch_size=1,
            scaling_config=lambda_.CfnEventSourceMapping.ScalingConfigProperty(maximum_concurrency=AT_ONCE),
        )
        mapping.node.add_dependency(scope.role)  # which must be allowed to read the queue before
