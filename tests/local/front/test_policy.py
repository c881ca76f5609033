"""Policy documents: who may call what."""

from __future__ import annotations

from typing import Any

import pytest

from cdk.local.policy import PolicyError, allows, check

ARN = "arn:aws:execute-api:eu-central-1:1:api/dev/GET/v1/models"


def statement(effect: str, resource: Any = "*", action: Any = "execute-api:Invoke") -> dict[str, Any]:
    """One statement."""
    return {"Effect": effect, "Action": action, "Resource": resource}


@pytest.mark.parametrize(
    ("statements", "allowed"),
    [
        ([statement("Allow")], True),
        (statement("Allow"), True),
        ([statement("Allow", ARN)], True),
        ([statement("Allow", ["arn:x", "arn:aws:execute-api:*/dev/GET/*"])], True),
        ([statement("Allow", ARN.replace("models", "model?"))], True),
        ([statement("Allow", ARN.replace("models", "model"))], False),
        ([statement("Allow", ARN.replace("/v1/", ".v1."))], False),
        ([statement("Allow", "arn:aws:execute-api:*/dev/POST/*")], False),
        ([statement("Allow", action="execute-api:*")], True),
        ([statement("Allow", action=["s3:Get", "EXECUTE-API:invoke"])], True),
        ([statement("Allow", action="s3:*")], False),
        ([statement("Deny")], False),
        ([statement("Allow"), statement("Deny", ARN)], False),
        ([statement("Deny", ARN), statement("Allow")], False),
        ([statement("Allow"), statement("Deny", "arn:other")], True),
    ],
)
def test_a_call_needs_an_allow_and_no_deny(statements: Any, allowed: bool) -> None:  # noqa: FBT001 - a table's column
    """Wildcards are those of IAM; what no statement covers is denied."""
    assert allows(check({"Statement": statements}), ARN) is allowed


@pytest.mark.parametrize(
    "document",
    [
        None,
        "allow",
        {},
        {"Statement": []},
        {"Statement": ["Allow"]},
        {"Statement": {"Effect": "Allow", "Resource": "*"}},
        {"Statement": statement("allow")},
        {"Statement": {**statement("Allow"), "Condition": {}}},
        {"Statement": {**statement("Allow"), "NotResource": "x"}},
    ],
)
def test_what_is_no_policy_allows_nothing(document: Any) -> None:
    """A document that cannot be applied in full is an error, never an Allow."""
    with pytest.raises(PolicyError):
        check(document)
