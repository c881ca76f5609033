"""Intrinsic functions mean here what they mean to CloudFormation."""

from __future__ import annotations

from typing import Any

import pytest

from cdk.local.template import Resolver, TemplateError, references, substitute

KNOWN = {"Table": "directory", "Table.Arn": "arn:aws:dynamodb:::table/directory", "AWS::Region": "us-east-1"}
TEMPLATE = {
    "Conditions": {
        "Yes": {"Fn::Equals": [{"Ref": "AWS::Region"}, "us-east-1"]},
        "No": {"Fn::Not": [{"Condition": "Yes"}]},
        "Both": {"Fn::And": [{"Condition": "Yes"}, {"Condition": "No"}]},
        "Either": {"Fn::Or": [{"Condition": "Yes"}, {"Condition": "No"}]},
    },
    "Mappings": {"Sizes": {"us-east-1": {"small": "1"}}},
}


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("plain", "plain"),
        ({"Ref": "Table"}, "directory"),
        ({"Fn::GetAtt": ["Table", "Arn"]}, KNOWN["Table.Arn"]),
        ({"Fn::GetAtt": "Table.Arn"}, KNOWN["Table.Arn"]),
        ({"Fn::Join": ["/", ["a", {"Ref": "Table"}, 3]]}, "a/directory/3"),
        ({"Fn::Select": [1, {"Fn::Split": ["/", "x/y/z"]}]}, "y"),
        ({"Fn::Select": ["0", ["first"]]}, "first"),
        ({"Fn::Sub": "${AWS::Region}:${Table.Arn}:${!kept}"}, f"us-east-1:{KNOWN['Table.Arn']}:${{kept}}"),
        ({"Fn::Sub": ["${own}-${Table}", {"own": {"Ref": "AWS::Region"}}]}, "us-east-1-directory"),
        ({"Fn::If": ["No", "a", {"Ref": "Table"}]}, "directory"),
        ({"Fn::If": ["Both", "a", "b"]}, "b"),
        ({"Fn::If": ["Either", "a", "b"]}, "a"),
        ({"Fn::FindInMap": ["Sizes", {"Ref": "AWS::Region"}, "small"]}, "1"),
        ({"Fn::Base64": "abc"}, "YWJj"),
        ({"a": [{"Ref": "Table"}, {"Ref": "AWS::NoValue"}], "b": {"Ref": "AWS::NoValue"}}, {"a": ["directory"]}),
        ({"Condition": {"StringEquals": {"x": "y"}}}, {"Condition": {"StringEquals": {"x": "y"}}}),
    ],
)
def test_a_value_means_what_it_means_to_cloudformation(value: Any, meaning: Any) -> None:
    """Each function is evaluated, inside out; what is none stays as it is."""
    assert Resolver(TEMPLATE, KNOWN)(value) == meaning


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"Ref": "Elsewhere"}, "'Elsewhere'"),
        ({"Fn::GetAtt": ["Table", "StreamArn"]}, "'Table.StreamArn'"),
        ({"Fn::Sub": "${Elsewhere}"}, "'Elsewhere'"),
        ({"Fn::ImportValue": "other-stack"}, "export:other-stack"),
        ({"Fn::Transform": {}}, "Fn::Transform"),
        ({"Fn::If": ["Unheard", 1, 2]}, "'Unheard'"),
        ({"Fn::Select": [5, ["a"]]}, "item 5 of 1"),
        ("{{resolve:ssm:/a}}", "resolve:ssm"),
    ],
)
def test_what_cannot_be_resolved_is_named(value: Any, named: str) -> None:
    """Nothing becomes an empty string in silence."""
    with pytest.raises(TemplateError, match=named):
        Resolver(TEMPLATE, KNOWN)(value)


def test_references_are_found_wherever_they_stand() -> None:
    """Ref, GetAtt and the placeholders of Sub count; a Sub's own variables do not."""
    value = [{"Ref": "A"}, {"x": {"Fn::GetAtt": ["B", "Arn"]}}, {"Fn::Sub": ["${C} ${own}", {"own": {"Ref": "D"}}]}]
    assert list(references(value)) == ["A", "B.Arn", "C", "D"]


def test_only_known_references_are_replaced() -> None:
    """What the emulator knows better stays a reference."""
    value = {"Fn::Join": ["", [{"Ref": "Table"}, {"Ref": "Other"}, {"Fn::Sub": "${Table}${Other}"}]]}
    assert substitute(value, KNOWN) == {
        "Fn::Join": ["", ["directory", {"Ref": "Other"}, {"Fn::Sub": "directory${Other}"}]]
    }
