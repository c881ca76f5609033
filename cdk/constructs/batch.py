"""Where the files of batches lie: one private bucket, whose content goes by itself after a month."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk.constructs.excuses import excuse

if TYPE_CHECKING:
    from aws_cdk import aws_kms as kms

KEPT_DAYS: Final = 30
UNLOGGED: Final = {
    "AwsSolutions-S1": (
        "Only the stack's functions read and write here, and their own lines tell of each request. A second bucket of "
        "access logs would name the files of every tenant once more."
    ),
}
ANY_FILE: Final = "A file gets its name when it is made, so a function may touch whatever lies in this one bucket."


class Batch(Construct):
    """The bucket, encrypted under the stack's own key."""

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
        excuse(self, UNLOGGED)
        stack = Stack.of(self)
        (logical_id, _) = stack.resolve(self.bucket.bucket_arn)["Fn::GetAtt"]
        excuse(stack, {f"AwsSolutions-IAM5[Resource::<{logical_id}.Arn>/*]": ANY_FILE})
