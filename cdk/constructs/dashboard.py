"""What an operator asks at three in the morning, on one page: is it serving, who is at fault, what does it cost.

Providers, models and outcomes are not known here: queries find them (Metrics Insights for sums, SEARCH for percentiles,
which no sum gives). What is in no metric, money above all, is read from the log: a look at it costs 0.005 USD for each
GB of log that it goes through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import Aws, Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from cdk.constructs.metrics import of_api, of_cache, of_function, of_table
from shared import manifest
from shared.core import events
from shared.edge.telemetry import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdk.config import Config
    from cdk.constructs.alarms import Watched
    from cdk.constructs.signals import Signals

WIDTH: Final = 24  # of the page
HEIGHT: Final = 6
BOOKS: Final = "budgets"  # the function that keeps them
_DIMENSIONS: Final = "stage,provider,model,outcome"
_MINUTE, _FIVE = Duration.minutes(1), Duration.minutes(5)

Metrics = list[cloudwatch.IMetric]


class Dashboard(Construct):
    """One page for one stack."""

    def __init__(
        self,
        scope: Construct,
        config: Config,
        watched: Watched,
        *,
        signals: Signals,
        alarms: Sequence[cloudwatch.IAlarm],
    ) -> None:
        """Show what is `watched`, the `signals` of its logs, and the `alarms`, if there are any."""
        super().__init__(scope, "Dashboard")
        self._config, self._watched, self._signals = config, watched, signals
        self._page = cloudwatch.Dashboard(self, "Page", dashboard_name=config.name, default_interval=Duration.hours(3))
        if alarms:
            self._page.add_widgets(cloudwatch.AlarmStatusWidget(alarms=list(alarms), width=WIDTH, height=3))
        self._add("Is it serving?", self._serving())
        self._add("Who is at fault?", self._at_fault())
        self._add("What does it cost?", self._cost())
        self._add("Books", self._books())
        self._add("Store", self._store())
        self._add("Functions", self._functions())
        self._add("Tables", self._tables())

    @property
    def url(self) -> str:
        """Address of the page in AWS's console."""
        return (
            f"https://{Aws.REGION}.console.aws.amazon.com/cloudwatch/home?region={Aws.REGION}"
            f"#dashboards/dashboard/{self._config.name}"
        )

    def _add(self, title: str, widgets: Sequence[cloudwatch.ConcreteWidget]) -> None:
        self._page.add_widgets(cloudwatch.TextWidget(markdown=f"## {title}", width=WIDTH, height=1))
        self._page.add_widgets(*widgets)

    def _serving(self) -> list[cloudwatch.ConcreteWidget]:
        name, stage = self._config.name, self._config.stage
        answers = {"Count": "all", "4XXError": "4xx", "5XXError": "5xx"}
        return [
            _graph("Requests a minute, by outcome", [self._sums("Requests", "outcome")], stacked=True),
            _graph(
                "Answers of API Gateway a minute",
                [of_api(name, stage, metric).with_(label=label) for metric, label in answers.items()],
            ),
            _graph("From the request to the last byte, ms", self._percentiles("Latency")),
            _graph(
                "To the first chunk, and our own part of it, ms",
                [*self._percentiles("TimeToFirstChunk"), *self._percentiles("Overhead")],
            ),
        ]

    def _at_fault(self) -> list[cloudwatch.ConcreteWidget]:
        rested = (
            f'filter event = "{events.BREAKER}"',
            "stats count(*) as times, latest(@timestamp) as last by target, state",
            "sort last desc",
        )
        return [
            _graph("Not ok, a minute, by provider and outcome", [self._sums("Requests", "provider, outcome", "ok")]),
            _graph("First chunk by provider, mean, ms", [self._means("TimeToFirstChunk", "provider")]),
            _graph("First chunk by model, p95, ms", [self._search("TimeToFirstChunk", "p95", "model")]),
            self._table("Targets and models that failed or recovered", manifest.GATEWAY, rested),
        ]

    def _cost(self) -> list[cloudwatch.ConcreteWidget]:
        requests = ('filter event = "request" and cost_nano > 0',)
        usd = "sum(cost_nano) / 1000000000 as usd"
        tokens = "count(*) as requests, sum(PromptTokens) as prompt, sum(CompletionTokens) as completion"
        by_model = (*requests, f"stats {usd}, {tokens} by served, provider", "sort usd desc", "limit 20")
        by_hour = (*requests, f"stats {usd} by bin(1h)")
        return [
            self._table("USD by model that answered", manifest.GATEWAY, by_model),
            self._table("USD an hour", manifest.GATEWAY, by_hour, view=cloudwatch.LogQueryVisualizationType.LINE),
            _graph("Tokens of prompts a minute, by model", [self._sums("PromptTokens", "model")], stacked=True),
            _graph("Tokens of answers a minute, by model", [self._sums("CompletionTokens", "model")], stacked=True),
        ]

    def _books(self) -> list[cloudwatch.ConcreteWidget]:
        keeper, signal = self._watched.functions[BOOKS].function, self._signals.metric
        limit = manifest.FUNCTIONS[BOOKS].timeout_s * 1000
        done = (
            f'filter event = "{events.BOOKS}"',
            "stats sum(booked), sum(reaped), sum(known), sum(broken) by bin(5m)",
        )
        troubles: Metrics = [signal(name) for name in ("BooksBehind", "Unbooked", "Unsettled", "StoreLost")]
        return [
            _graph("Runs of the books, failed ones", [of_function(keeper, name) for name in ("Invocations", "Errors")]),
            _graph("Longest run, and its timeout, ms", [of_function(keeper, "Duration", "Maximum")], limit=limit),
            _graph("Troubles with money, log lines a minute", troubles),
            self._table("What was booked", BOOKS, done),
        ]

    def _store(self) -> list[cloudwatch.ConcreteWidget]:
        cache, config = self._watched.valkey.cache, self._config
        units = of_cache(cache, "ElastiCacheProcessingUnits")
        per_second = cloudwatch.MathExpression(
            expression="units / PERIOD(units)", using_metrics={"units": units}, label="ECPU a second", period=_MINUTE
        )
        stored = of_cache(cache, "BytesUsedForCache", "Maximum")
        times = {"SuccessfulReadRequestLatency": "reads", "SuccessfulWriteRequestLatency": "writes"}
        return [
            _graph("ECPU a second, and its ceiling", [per_second], limit=config.valkey_max_ecpu),
            _graph("Bytes stored, and their ceiling", [stored], limit=config.valkey_max_gb * 10**9),
            _graph(
                "Throttled commands a minute, connections",
                [of_cache(cache, "ThrottledCmds"), of_cache(cache, "CurrConnections", "Maximum")],
            ),
            _graph(
                "Time in the store, mean, µs",
                [of_cache(cache, name, "Average").with_(label=label) for name, label in times.items()],
            ),
        ]

    def _functions(self) -> list[cloudwatch.ConcreteWidget]:
        hot = (manifest.AUTHORIZER, manifest.GATEWAY)

        def each(metric: str, statistic: str, names: Sequence[str]) -> Metrics:
            functions = {name: self._watched.functions[name].function for name in names}
            return [of_function(one, metric, statistic).with_(label=name) for name, one in functions.items()]

        everyone = tuple(self._watched.functions)
        return [
            _graph("Errors a minute", each("Errors", "Sum", everyone)),
            _graph("Throttled a minute", each("Throttles", "Sum", hot)),
            _graph("At once", each("ConcurrentExecutions", "Maximum", hot)),
            _graph("Duration, p95, ms", each("Duration", "p95", hot)),
        ]

    def _tables(self) -> list[cloudwatch.ConcreteWidget]:
        stores = self._watched.stores
        tables = {"directory": stores.directory, "ledger": stores.ledger, "audit": stores.audit}
        titles = {
            "ConsumedReadCapacityUnits": "Units read a minute",
            "ConsumedWriteCapacityUnits": "Units written a minute",
            "ReadThrottleEvents": "Throttled reads a minute",
            "WriteThrottleEvents": "Throttled writes a minute",
        }
        return [
            _graph(title, [of_table(table, metric).with_(label=name) for name, table in tables.items()])
            for metric, title in titles.items()
        ]

    def _sums(self, metric: str, by: str, but: str = "") -> cloudwatch.MathExpression:
        """Add a metric of the telemetry up by dimensions, for the outcomes that are not `but`."""
        return self._query("SUM", metric, by, f" AND outcome != '{but}'" if but else "")

    def _means(self, metric: str, by: str) -> cloudwatch.MathExpression:
        return self._query("AVG", metric, by, "")

    def _query(self, function: str, metric: str, by: str, where: str) -> cloudwatch.MathExpression:
        source = f"{function}({metric}) FROM SCHEMA({NAMESPACE}, {_DIMENSIONS})"
        chosen = f"stage = '{self._config.stage}'{where} GROUP BY {by} ORDER BY {function}() DESC LIMIT 20"
        return _expression(f"SELECT {source} WHERE {chosen}", _MINUTE)

    def _search(self, metric: str, statistic: str, by: str) -> cloudwatch.MathExpression:
        """Find a metric of the telemetry for all that went well, each by itself."""
        wanted = f'MetricName="{metric}" stage="{self._config.stage}" outcome="ok"'
        return _expression(
            f"SEARCH('{{{NAMESPACE},{_DIMENSIONS}}} {wanted}', '{statistic}', {_FIVE.to_seconds()})",
            _FIVE,
            label=f"${{PROP('Dim.{by}')}}",
        )

    def _percentiles(self, metric: str) -> Metrics:
        """Return the median of a metric of all models together, and what one in twenty exceeds."""
        dimensions = {"stage": self._config.stage}
        return [
            cloudwatch.Metric(
                namespace=NAMESPACE,
                metric_name=metric,
                dimensions_map=dimensions,
                statistic=statistic,
                period=_MINUTE,
                label=f"{metric} {statistic}",
            )
            for statistic in ("p50", "p95")
        ]

    def _table(
        self,
        title: str,
        function: str,
        query: Sequence[str],
        *,
        view: cloudwatch.LogQueryVisualizationType = cloudwatch.LogQueryVisualizationType.TABLE,
    ) -> cloudwatch.ConcreteWidget:
        """Query the log of a function, by lines of Logs Insights' language."""
        return cloudwatch.LogQueryWidget(
            title=title,
            log_group_names=[self._watched.logs[function].log_group_name],
            query_lines=list(query),
            view=view,
            width=WIDTH // 4,
            height=HEIGHT,
        )


def _graph(
    title: str, metrics: Metrics, *, stacked: bool = False, limit: float | None = None
) -> cloudwatch.ConcreteWidget:
    """Draw metrics from zero on, a quarter of the page wide, with a line where the `limit` is."""
    lines = [] if limit is None else [cloudwatch.HorizontalAnnotation(value=limit, label="limit")]
    return cloudwatch.GraphWidget(
        title=title,
        left=metrics,
        stacked=stacked,
        left_annotations=lines,
        left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
        width=WIDTH // 4,
        height=HEIGHT,
    )


def _expression(text: str, period: Duration, *, label: str = "") -> cloudwatch.MathExpression:
    """Ask for series that are not known here; without a `label` each has the values by which it was found."""
    return cloudwatch.MathExpression(expression=text, using_metrics={}, period=period, label=label)
