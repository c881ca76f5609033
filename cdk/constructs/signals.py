"""Counts log lines as metrics: the filters that `cdk.signals` describes, on the functions' log groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from constructs import Construct

from cdk.signals import SIGNALS, namespace

if TYPE_CHECKING:
    from collections.abc import Mapping


class Signals(Construct):
    """A metric filter for each kind of line. No line, no metric: nothing is counted as zero, which would cost money."""

    def __init__(self, scope: Construct, *, stage: str, groups: Mapping[str, logs.LogGroup]) -> None:
        """Watch the log `groups`, by the names of their functions."""
        super().__init__(scope, "Signals")
        self._namespace = namespace(stage)
        for number, signal in enumerate(SIGNALS):
            logs.CfnMetricFilter(
                self,
                f"{signal.metric}{number}",
                log_group_name=groups[signal.function].log_group_name,
                filter_pattern=signal.pattern,
                metric_transformations=[
                    logs.CfnMetricFilter.MetricTransformationProperty(
                        metric_namespace=self._namespace, metric_name=signal.metric, metric_value="1", unit="Count"
                    )
                ],
            )

    def metric(self, name: str, *, minutes: int = 1) -> cloudwatch.Metric:
        """Return how many lines counted for the metric called `name`, in so many minutes."""
        return cloudwatch.Metric(
            namespace=self._namespace, metric_name=name, statistic="Sum", period=Duration.minutes(minutes)
        )
