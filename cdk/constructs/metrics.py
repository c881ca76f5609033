"""The metrics that AWS keeps of our parts: alarms and dashboard take them from here, so that each is named once.

Names and dimensions are AWS's own. Those of a serverless cache are under `clusterId`, not under `CacheClusterId`, which
is that of caches made of nodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

if TYPE_CHECKING:
    from aws_cdk import aws_dynamodb as dynamodb
    from aws_cdk import aws_elasticache as elasticache
    from aws_cdk import aws_lambda as lambda_


def of_function(
    function: lambda_.IFunction, name: str, statistic: str = "Sum", *, minutes: int = 1
) -> cloudwatch.Metric:
    """Return a metric of Lambda's: Invocations, Errors, Throttles, Duration (ms), ConcurrentExecutions."""
    return _metric("AWS/Lambda", name, statistic, minutes, FunctionName=function.function_name)


def of_api(api: str, stage: str, name: str, statistic: str = "Sum") -> cloudwatch.Metric:
    """Return a metric of API Gateway's for a stage: Count, 4XXError and 5XXError (whose average is their share)."""
    return _metric("AWS/ApiGateway", name, statistic, 1, ApiName=api, Stage=stage)


def of_cache(cache: elasticache.CfnServerlessCache, name: str, statistic: str = "Sum") -> cloudwatch.Metric:
    """Return a metric of the store: ElastiCacheProcessingUnits, ThrottledCmds, BytesUsedForCache, latencies in µs."""
    return _metric("AWS/ElastiCache", name, statistic, 1, clusterId=cache.serverless_cache_name)


def of_table(table: dynamodb.ITable, name: str) -> cloudwatch.Metric:
    """Return a metric of a table: consumed units, ReadThrottleEvents, WriteThrottleEvents."""
    return _metric("AWS/DynamoDB", name, "Sum", 1, TableName=table.table_name)


def _metric(namespace: str, name: str, statistic: str, minutes: int, **dimensions: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        statistic=statistic,
        period=Duration.minutes(minutes),
        dimensions_map=dimensions,
    )
