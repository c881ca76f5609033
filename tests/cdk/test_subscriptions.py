"""What people must hear starts the function that tells them, out of every other log, and nothing else does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cdk.local.log_pattern import matcher
from shared.core import events
from shared.edge.telemetry import Event, Telemetry
from shared.manifest import FOR_PEOPLE, FUNCTIONS
from tests.cdk.test_functions import deployed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def test_every_log_but_its_own_is_heard(template: Mapping[str, Any], of_type: Callable[[str], dict[str, Any]]) -> None:
    """A function that is added later is heard too; one that heard itself would never stop."""
    alerts = FUNCTIONS["alerts"]
    filters = [resource["Properties"] for resource in of_type("Logs::SubscriptionFilter").values()]
    groups = {name: deployed(spec, template)[1]["LoggingConfig"]["LogGroup"]["Ref"] for name, spec in FUNCTIONS.items()}
    heard = {group for name, group in groups.items() if name != "alerts"}  # batches are in the gateway's
    assert sorted(one["LogGroupName"]["Ref"] for one in filters) == sorted(heard)
    assert {one["FilterPattern"] for one in filters} == {alerts.hears}
    assert {one["DestinationArn"]["Fn::GetAtt"][0] for one in filters} == {deployed(alerts, template)[0]}


def test_a_subscription_waits_for_its_permission(of_type: Callable[[str], dict[str, Any]]) -> None:
    """CloudWatch Logs tries the function as soon as it is told of it."""
    permissions = of_type("Lambda::Permission")
    for one in of_type("Logs::SubscriptionFilter").values():
        [name] = one["DependsOn"]
        source = permissions[name]["Properties"]["SourceArn"]["Fn::GetAtt"][0]
        assert source == one["Properties"]["LogGroupName"]["Ref"]


def test_what_fails_is_repeated_after_all_claims_are_over(
    template: Mapping[str, Any], of_type: Callable[[str], dict[str, Any]]
) -> None:
    """Lambda waits a minute: a claim that died with its invocation must not be held by then."""
    from functions.alerts import CLAIM_SECONDS  # noqa: PLC0415 - boto3, for this alone

    name = deployed(FUNCTIONS["alerts"], template)[0]
    [settings] = [
        one["Properties"]
        for one in of_type("Lambda::EventInvokeConfig").values()
        if one["Properties"]["FunctionName"] == {"Ref": name}
    ]
    assert settings["MaximumRetryAttempts"] == 2
    assert FUNCTIONS["alerts"].timeout_s < CLAIM_SECONDS < 60


def test_no_webhook_reaches_into_the_network_of_a_deployment(template: Mapping[str, Any]) -> None:
    """Only a local run says otherwise."""
    for name in ("admin", "alerts"):
        assert deployed(FUNCTIONS[name], template)[1]["Environment"]["Variables"]["WEBHOOKS_TO_LOOPBACK"] == "false"


def test_a_request_is_not_for_people() -> None:
    """Nor is what its books say of it, a breaker that closes, or a catalog: only what is rare passes the filter."""
    written: list[bytes] = []
    telemetry = Telemetry("dev", written.append)
    telemetry.emit(Event("r-1", outcome="ok"))
    telemetry.note({"event": events.USAGE, "org": "acme", "key": events.BUDGET})
    telemetry.note({"event": events.RESERVED, "org": "acme"})
    telemetry.note({"event": events.CATALOG, "state": "open"})
    telemetry.note(events.breaker("acme", "openai:gpt", "closed"))
    passes = matcher(FOR_PEOPLE)
    assert not any(passes(line.decode()) for line in written)
    written.clear()
    telemetry.note(events.breaker("acme", "openai:gpt", "open", failures=5, rest_seconds=60))
    telemetry.note({"event": events.BUDGET, "org": "acme"})
    telemetry.note({"event": events.SECURITY, "org": "acme"})
    telemetry.fault(ValueError(), "r-1")
    assert all(passes(line.decode()) for line in written)
    assert passes(json.dumps({"a": 1, "event": events.FAULT}, indent=1))
