"""Why a construct may break a rule: every exception to cdk-nag, CDK's own validator and cfn-lint goes through here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aws_cdk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from constructs import IConstruct

# Read by cfn-lint from the template. W3005: CDK makes a function wait for its role twice over; harmless, and not ours.
LINT: Final = {"cfn-lint": {"config": {"ignore_checks": ["W3005"]}}}


def excuse(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Acknowledge each rule (its whole id: there is no prefix matching) on `construct` and what is under it."""
    acknowledgements = [aws_cdk.Acknowledgment(id=rule, reason=reason) for rule, reason in reasons.items()]
    aws_cdk.Validations.of(construct).acknowledge(*acknowledgements)
