"""The hot store: ElastiCache Serverless for Valkey, reached over its public TLS endpoint with IAM, without a VPC."""

from __future__ import annotations

from typing import Final

from aws_cdk import aws_elasticache as elasticache
from aws_cdk import aws_kms as kms
from constructs import Construct

from cdk.constructs.excuses import excuse

EXCUSED: Final = {
    "CloudFormation-Validate::F3002": (
        "ConnectionType is newer than the schema bundled with this version of CDK; the service's own API model has it."
    ),
}
# Everything a script or a cluster client needs; nothing that could empty, reconfigure or spy on the store.
COMMANDS: Final = "on ~* &* +@all -@dangerous +info +cluster|slots +cluster|shards +cluster|nodes"


class Valkey(Construct):
    """The cache, its only user, and the ceilings of its bill."""

    def __init__(self, scope: Construct, *, name: str, key: kms.IKey, max_gb: int, max_ecpu: int) -> None:
        """Build it; `name` is unique in the account and region, `max_ecpu` is a second's."""
        super().__init__(scope, "Valkey")
        self.user = elasticache.CfnUser(
            self,
            "User",
            engine="valkey",
            user_id=name,
            user_name=name,  # IAM asks that both be the same
            access_string=COMMANDS,
            authentication_mode={"Type": "iam"},
        )
        group = elasticache.CfnUserGroup(self, "Users", engine="valkey", user_group_id=name, user_ids=[self.user.ref])
        limits = elasticache.CfnServerlessCache.CacheUsageLimitsProperty(
            data_storage=elasticache.CfnServerlessCache.DataStorageProperty(unit="GB", maximum=max_gb),
            ecpu_per_second=elasticache.CfnServerlessCache.ECPUPerSecondProperty(maximum=max_ecpu),
        )
        self.cache = elasticache.CfnServerlessCache(
            self,
            "Cache",
            engine="valkey",
            major_engine_version="9",  # the first with public endpoints
            connection_type="public",
            serverless_cache_name=name,
            user_group_id=group.ref,
            kms_key_id=key.key_arn,
            cache_usage_limits=limits,
        )
        excuse(self, EXCUSED)

    @property
    def arns(self) -> list[str]:
        """Both are asked for by `elasticache:Connect`."""
        return [self.cache.attr_arn, self.user.attr_arn]
