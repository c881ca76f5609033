"""Alarms can really reach the operators' topic: it is encrypted, and still CloudWatch may publish, for us alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cdk import config, synth
from cdk.config import ConfigError
from cdk.local import coverage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Select = Callable[[str], dict[str, Any]]


def cloudwatch(policy: Mapping[str, Any]) -> dict[str, Any]:
    """The one statement of a policy that is about CloudWatch."""
    service = {"Service": "cloudwatch.amazonaws.com"}
    [statement] = [one for one in policy["Statement"] if one["Principal"] == service]
    return dict(statement)


def test_cloudwatch_may_use_the_topics_key(of_type: Select) -> None:
    """The topic names our own key, whose policy lets CloudWatch in: it could not publish with the one of AWS."""
    [topic] = of_type("SNS::Topic").values()
    [(key, properties)] = of_type("KMS::Key").items()
    assert topic["Properties"]["KmsMasterKeyId"] == {"Fn::GetAtt": [key, "Arn"]}
    allowed = cloudwatch(properties["Properties"]["KeyPolicy"])
    assert (allowed["Effect"], allowed["Action"]) == ("Allow", ["kms:Decrypt", "kms:GenerateDataKey*"])


def test_cloudwatch_publishes_for_our_alarms_only(of_type: Select) -> None:
    """Both statements ask for this account and for an alarm of this stack; nobody publishes without TLS."""
    [(topic, _)], [policy] = of_type("SNS::Topic").items(), of_type("SNS::TopicPolicy").values()
    [key] = of_type("KMS::Key").values()
    document = policy["Properties"]["PolicyDocument"]
    publishing = cloudwatch(document)
    assert (publishing["Action"], publishing["Resource"]) == ("sns:Publish", {"Ref": topic})
    assert publishing["Condition"] == cloudwatch(key["Properties"]["KeyPolicy"])["Condition"]
    condition = publishing["Condition"]
    assert condition["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert condition["ArnLike"]["aws:SourceArn"]["Fn::Join"][1][-1] == ":alarm:ai-nexus-dev-*"
    assert [one["Effect"] for one in document["Statement"] if "Bool" in one["Condition"]] == ["Deny"]


def test_nobody_is_written_to_unless_configured(template: Mapping[str, Any]) -> None:
    """The topic's ARN is an output, so that whoever wants can subscribe."""
    kinds = {resource["Type"] for resource in template["Resources"].values()}
    assert "AWS::SNS::Subscription" not in kinds
    assert "OperatorsTopic" in template["Outputs"]


@pytest.mark.parametrize("email", ["ops", "a@b", "a@b.c, d@e.f", "Ops <ops@example.com>", "ops@example.com.", ""])
def test_what_is_no_address_is_refused_before_anything_is_deployed(email: str) -> None:
    """SNS would take some of them, and nobody would ever hear."""
    with pytest.raises(ConfigError, match=r"nexus:alarm_email: must be one e-mail address, such as"):
        config.parse({"nexus:alarm_email": email})


def test_who_is_configured_is_subscribed_and_what_is_switched_off_is_not_there() -> None:
    """Somebody else's alarms may watch the stack: then nothing of these is deployed, but for the topic."""
    switches = {"nexus:alarms": "false", "nexus:dashboard": "false", "nexus:alarm_email": "on-call+ai@ops.example.com"}
    chosen = config.parse({**switches, "nexus:target": "host"})
    resources = synth.template(synth.synthesize(chosen))["Resources"]
    kinds = {
        kind: [r for r in resources.values() if r["Type"] == kind] for kind in {r["Type"] for r in resources.values()}
    }
    [topic] = [name for name, r in resources.items() if r["Type"] == "AWS::SNS::Topic"]
    [subscription] = kinds["AWS::SNS::Subscription"]
    assert subscription["Properties"] == {
        "Endpoint": "on-call+ai@ops.example.com",
        "Protocol": "email",
        "TopicArn": {"Ref": topic},
    }
    assert not kinds.keys() & {"AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::Logs::MetricFilter"}
    assert coverage.missing(resources) == set()
