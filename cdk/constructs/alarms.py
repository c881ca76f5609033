"""The few things on which somebody has to act, each an alarm; `cdk.runbook` has what it says.

An alarm costs 0.10 USD a month for each metric that it reads. Where nothing is measured, because nobody calls, all is
well; only of what runs each minute is that bad news. Parts of a sum are filled with zeros where nothing was measured,
as a sum is missing where one of its parts is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from constructs import Construct

from cdk.constructs.metrics import of_api, of_cache, of_function, of_table
from cdk.runbook import RUNBOOK
from shared import manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_cdk import aws_logs as logs
    from aws_cdk import aws_sns as sns

    from cdk.config import Config
    from cdk.constructs.function import Function
    from cdk.constructs.signals import Signals
    from cdk.constructs.stores import Stores
    from cdk.constructs.valkey import Valkey

NEAR: Final = 0.8  # of a ceiling
GB: Final = 10**9  # bytes
SHARE: Final = 0.05  # of requests
_MINUTE: Final = Duration.minutes(1)


class Watched(NamedTuple):
    """What there is to watch; functions, and the groups that their logs are in, by their names in the manifest."""

    functions: Mapping[str, Function]
    logs: Mapping[str, logs.LogGroup]
    stores: Stores
    valkey: Valkey


class Rule(NamedTuple):
    """When an alarm rings: so many (`breaching`) of the last `periods` values of `metric` are at least `threshold`."""

    metric: cloudwatch.IMetric
    threshold: float
    breaching: int = 1
    periods: int = 1
    below: bool = False  # they are below it, rather, and what is missing is so, too


class Alarms(Construct):
    """All alarms. They ring at one topic, and say there when it is over."""

    def __init__(
        self, scope: Construct, config: Config, watched: Watched, *, signals: Signals, topic: sns.ITopic
    ) -> None:
        """Watch what is `watched`, and the `signals` of its logs; the alarms' names begin with that of the stack."""
        super().__init__(scope, "Alarms")
        self._prefix = config.name
        self._action = actions.SnsAction(topic)
        rules = {**_serving(config, watched, signals), **_books(watched, signals), **_stores(config, watched, signals)}
        self.all = [self._alarm(name, rule) for name, rule in rules.items()]

    def _alarm(self, name: str, rule: Rule) -> cloudwatch.Alarm:
        operator, missing = cloudwatch.ComparisonOperator, cloudwatch.TreatMissingData
        alarm = cloudwatch.Alarm(
            self,
            name.title().replace("-", ""),
            alarm_name=f"{self._prefix}-{name}",
            alarm_description=RUNBOOK[name],
            metric=rule.metric,
            threshold=rule.threshold,
            datapoints_to_alarm=rule.breaching,
            evaluation_periods=rule.periods,
            comparison_operator=(
                operator.LESS_THAN_THRESHOLD if rule.below else operator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
            ),
            treat_missing_data=missing.BREACHING if rule.below else missing.NOT_BREACHING,
        )
        alarm.add_alarm_action(self._action)
        alarm.add_ok_action(self._action)
        return alarm


def _serving(config: Config, watched: Watched, signals: Signals) -> dict[str, Rule]:
    """Return what hurts callers now."""
    hot = [watched.functions[name].function for name in (manifest.AUTHORIZER, manifest.GATEWAY)]
    faults = signals.metric("Faults", minutes=5)
    return {
        "functions-fail": Rule(_sum([*(of_function(one, "Errors", minutes=5) for one in hot), faults]), 3),
        "functions-throttled": Rule(_sum([of_function(one, "Throttles") for one in hot]), 1, 2, 5),
        "api-errors": Rule(of_api(config.name, config.stage, "5XXError", "Average"), SHARE, 5, 5),
        "models-unserved": Rule(signals.metric("Unserved", minutes=5), 3),
    }


def _books(watched: Watched, signals: Signals) -> dict[str, Rule]:
    """Return what goes wrong with the money."""
    return {
        "minute-missed": Rule(_alive(watched.functions), 1, 5, 5, below=True),
        "books-behind": Rule(signals.metric("BooksBehind"), 1, 5, 5),
        "books-broken": Rule(signals.metric("Unbooked", minutes=5), 1),
        "money-unsettled": Rule(signals.metric("Unsettled", minutes=5), 1),
    }


def _stores(config: Config, watched: Watched, signals: Signals) -> dict[str, Rule]:
    """Return what the stores suffer from."""
    cache, stores = watched.valkey.cache, watched.stores
    throttled = [of_table(stores.directory, "ReadThrottleEvents"), of_table(stores.ledger, "WriteThrottleEvents")]
    busy = cloudwatch.MathExpression(
        expression=f"IF(units >= {round(NEAR * 60 * config.valkey_max_ecpu)} OR FILL(refused, 0) > 0, 1, 0)",
        using_metrics={
            "units": of_cache(cache, "ElastiCacheProcessingUnits"),
            "refused": of_cache(cache, "ThrottledCmds"),
        },
        label="near its ceiling",
        period=_MINUTE,
    )
    return {
        "store-lost": Rule(signals.metric("StoreLost"), 1),
        "store-full": Rule(of_cache(cache, "BytesUsedForCache", "Maximum"), NEAR * GB * config.valkey_max_gb, 3, 5),
        "store-busy": Rule(busy, 1, 3, 5),
        "tables-throttled": Rule(_sum(throttled), 1, 3, 5),  # filled also as no alarm on a table heeds what is missing
    }


def _alive(functions: Mapping[str, Function]) -> cloudwatch.MathExpression:
    """Return 1 for each minute in which all functions that run each minute have succeeded; missing if one is."""
    started = [functions[spec.name].function for spec in manifest.FUNCTIONS.values() if spec.every_minutes == 1]
    runs = {f"runs{number}": of_function(one, "Invocations") for number, one in enumerate(started)}
    fails = {f"fails{number}": of_function(one, "Errors") for number, one in enumerate(started)}
    each = " AND ".join(f"runs{number} > fails{number}" for number in range(len(started)))
    return cloudwatch.MathExpression(
        expression=f"IF({each}, 1, 0)", using_metrics={**runs, **fails}, label="all have succeeded", period=_MINUTE
    )


def _sum(metrics: list[cloudwatch.Metric]) -> cloudwatch.MathExpression:
    """Add metrics up, each of which may be missing."""
    named = {f"m{number}": metric for number, metric in enumerate(metrics)}
    terms = " + ".join(f"FILL({name}, 0)" for name in named)
    return cloudwatch.MathExpression(
        expression=terms, using_metrics={**named}, label="in all", period=metrics[0].period
    )
