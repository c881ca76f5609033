"""A function that does what it is told to with whatever credentials it was started with, and says how that went."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from shared.edge.aws import DYNAMODB, SECRETS, Aws, AwsError, credentials_from
from shared.edge.settings import AwsSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICES = {"dynamodb": DYNAMODB, "secretsmanager": SECRETS}


def handler(event: Mapping[str, Any], _context: object) -> str:
    """Make the call; returns the code with which it was refused, or "done"."""
    aws = Aws(SERVICES[event["service"]], AwsSettings.from_env(os.environ), credentials_from(os.environ))
    try:
        aws.write(event["action"], event["request"])
    except AwsError as error:
        return error.code
    return "done"
