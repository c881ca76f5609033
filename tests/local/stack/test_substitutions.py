"""Every resource of the template is served by something, and the table says by what."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cdk.local import coverage
from cdk.local.child import LocalError
from cdk.local.deploy import PSEUDO, split, wanted
from cdk.local.journal import UNKEPT
from cdk.local.substitutions import RULES, Emulated, Place

PLACE = Place("127.0.0.1", 7000)


def planned(resources: dict[str, Any]) -> Any:
    """Divide a small template."""
    template = {"Resources": resources}
    return split(template, wanted(template), PLACE)


def test_an_unknown_type_stops_the_run_and_is_named() -> None:
    """A resource that nothing serves is never skipped."""
    with pytest.raises(LocalError, match=r"AWS::Kinesis::Stream \(Jobs\)"):
        planned({"Jobs": {"Type": "AWS::Kinesis::Stream"}})


def test_the_valkey_stands_in_for_the_serverless_cache() -> None:
    """Its endpoint is the local one; its ARN is what the policies name."""
    cache = {"Type": "AWS::ElastiCache::ServerlessCache", "Properties": {"ServerlessCacheName": "c"}}
    answered = planned({"Cache": cache}).answered
    assert answered["Cache.Endpoint.Port"] == "7000"
    assert answered["Cache.ARN"] == f"arn:aws:elasticache:us-east-1:{PSEUDO['AWS::AccountId']}:serverlesscache:c"


def test_a_policy_about_a_stand_in_is_deployed_with_its_arn() -> None:
    """The emulator never sees a reference to something it does not hold, nor waits for it."""
    plan = planned(
        {
            "Run": {"Type": "AWS::Lambda::Function", "Properties": {"Role": {"Fn::GetAtt": ["Role", "Arn"]}}},
            "Role": {"Type": "AWS::IAM::Role", "Properties": {}, "DependsOn": ["Run", "Key"]},
            "Key": {"Type": "AWS::KMS::Key"},
            "May": {"Type": "AWS::IAM::Policy", "Properties": {"PolicyDocument": {"Fn::GetAtt": ["Run", "Arn"]}}},
        }
    )
    assert plan.body["Resources"]["May"]["Properties"] == {"PolicyDocument": plan.answered["Run.Arn"]}
    assert plan.body["Resources"]["Role"]["DependsOn"] == ["Key"]
    assert set(plan.asked.values()) == {"Role.Arn"}


def test_a_secret_is_named_for_the_journal_and_meant_by_its_arn() -> None:
    """A generated secret outlives the run; one that comes from the environment does not stay on disk."""
    plan = planned(
        {
            "Pepper": {
                "Type": "AWS::SecretsManager::Secret",
                "Properties": {"GenerateSecretString": {"PasswordLength": 40, "ExcludePunctuation": True}},
            },
            "Given": {"Type": "AWS::SecretsManager::Secret", "Properties": {"SecretString": "{}"}},
            "May": {"Type": "AWS::IAM::Policy", "Properties": {"Resource": {"Ref": "Pepper"}}},
        }
    )
    pepper, given, may = (plan.body["Resources"][name]["Properties"] for name in ("Pepper", "Given", "May"))
    assert pepper["Name"] == "Pepper"
    assert len(pepper["SecretString"]) == 40
    assert pepper["SecretString"].isalnum()
    assert given["Name"] == f"{UNKEPT}Given"
    assert may["Resource"] == {"Fn::GetAtt": ["Pepper", "Id"]}


def test_a_secret_may_be_generated_into_an_object() -> None:
    """The template's members stay, and the generated one is chance."""
    options = {"SecretStringTemplate": '{"previous":""}', "GenerateStringKey": "current", "PasswordLength": 50}
    secret = {"Type": "AWS::SecretsManager::Secret", "Properties": {"GenerateSecretString": options}}
    made = [
        json.loads(planned({"Seed": secret}).body["Resources"]["Seed"]["Properties"]["SecretString"]) for _ in range(2)
    ]
    assert [(entry["previous"], len(entry["current"])) for entry in made] == [("", 50)] * 2
    assert made[0] != made[1]


def test_a_resource_whose_condition_does_not_hold_is_left_out() -> None:
    """Conditions decide before anything is deployed."""
    template = {
        "Conditions": {"Never": {"Fn::Equals": ["a", "b"]}},
        "Resources": {"Jobs": {"Type": "AWS::Kinesis::Stream", "Condition": "Never"}},
    }
    assert wanted(template) == {}


def test_every_property_of_the_template_is_in_the_coverage_table(template: dict[str, Any]) -> None:
    """Whoever adds a property says what becomes of it here."""
    assert coverage.missing(template["Resources"]) == set()


def test_a_property_that_is_not_in_the_table_is_found() -> None:
    """The test above can fail."""
    resources = {"T": {"Type": "AWS::DynamoDB::Table", "Properties": {"KeySchema": [], "Unheard": 1}}}
    assert coverage.missing(resources) == {"AWS::DynamoDB::Table.Unheard"}


def test_the_table_and_the_rules_know_the_same_types() -> None:
    """Nothing that is never deployed to the emulator is called emulated."""
    lines = list(coverage.lines())
    assert {line.type_name for line in lines} == set(RULES)
    emulated = {name for name, rule in RULES.items() if isinstance(rule, Emulated)}
    assert {line.type_name for line in lines if line.status == "emulated"} <= emulated


def test_the_table_can_be_read_by_people() -> None:
    """`nexus local --coverage` prints a line for each property, under its type."""
    text = coverage.render()
    assert "AWS::ElastiCache::ServerlessCache\n" in text
    assert "never run here" in text
    assert len(text.splitlines()) > len(list(coverage.lines()))
