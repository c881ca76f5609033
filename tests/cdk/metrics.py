"""What metrics there are: AWS's own for what is in the template, our telemetry's, and those that filters make."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from shared.core.usage import Usage
from shared.edge.telemetry import NAMESPACE, Event, Telemetry

if TYPE_CHECKING:
    from collections.abc import Mapping

# AWS's documentation of each service, as of November 2026. A metric that is not here is nobody's.
AWS: Mapping[str, frozenset[str]] = {
    "AWS/Lambda": frozenset({"Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions"}),
    "AWS/ApiGateway": frozenset({"4XXError", "5XXError", "Count", "IntegrationLatency", "Latency"}),
    "AWS/ElastiCache": frozenset(
        {
            *("ElastiCacheProcessingUnits", "ThrottledCmds", "BytesUsedForCache", "CurrConnections", "TotalCmdsCount"),
            *("SuccessfulReadRequestLatency", "SuccessfulWriteRequestLatency"),
        }
    ),
    "AWS/DynamoDB": frozenset(
        {"ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits", "ReadThrottleEvents", "WriteThrottleEvents"}
    ),
}


def emitted() -> dict[frozenset[str], set[str]]:
    """Return the metrics of our telemetry by their dimensions, as a request that has everything writes them."""
    lines: list[bytes] = []
    event = Event("r-1", model="m", provider="p", outcome="ok", settled=True, usage=Usage(prompt=1, completion=1))
    event.mark_first_chunk()
    Telemetry("dev", lines.append).emit(event)
    return {
        frozenset(dimensions): {metric["Name"] for metric in directive["Metrics"]}
        for directive in json.loads(lines[0])["_aws"]["CloudWatchMetrics"]
        for dimensions in directive["Dimensions"]
    }


def filtered(template: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return namespace and name of the metrics that the template's filters make."""
    return {
        (made["MetricNamespace"], made["MetricName"])
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::Logs::MetricFilter"
        for made in resource["Properties"]["MetricTransformations"]
    }


def complaint(template: Mapping[str, Any], namespace: str, name: str, dimensions: Mapping[str, Any]) -> str | None:
    """Say why there never is such a metric; None if there is."""
    if namespace.startswith(f"{NAMESPACE}/"):
        known = (namespace, name) in filtered(template) and not dimensions
    elif namespace == NAMESPACE:
        known = name in emitted().get(frozenset(dimensions), set()) and dimensions.get("stage") == "dev"
    else:
        known = name in AWS.get(namespace, ()) and _exists(template["Resources"], namespace, dimensions)
    return None if known else f"{namespace} {name} {dict(dimensions)}"


def _exists(resources: Mapping[str, Any], namespace: str, dimensions: Mapping[str, Any]) -> bool:
    def properties(kind: str, name: str) -> list[Any]:
        return [r["Properties"][name] for r in resources.values() if r["Type"] == f"AWS::{kind}"]

    def ref(kind: str, value: Any) -> bool:
        return isinstance(value, dict) and resources.get(str(value.get("Ref")), {}).get("Type") == f"AWS::{kind}"

    match namespace, dimensions:
        case "AWS/Lambda", {"FunctionName": function, **more}:
            return ref("Lambda::Function", function) and not more
        case "AWS/DynamoDB", {"TableName": table, **more}:
            return ref("DynamoDB::Table", table) and not more
        case "AWS/ElastiCache", {"clusterId": cache, **more}:  # of a cache without nodes it is this, in this spelling
            return [cache] == properties("ElastiCache::ServerlessCache", "ServerlessCacheName") and not more
        case "AWS/ApiGateway", {"ApiName": api, "Stage": stage, **more}:
            names = properties("ApiGateway::RestApi", "Name"), properties("ApiGateway::Stage", "StageName")
            return ([api], [stage]) == names and not more
        case _:
            return False
