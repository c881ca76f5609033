"""A good key, its record, the authorizer that knows it, and events that bring it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from functions.authorizer import (
    Authorizer,
)
from shared.core import keys
from shared.edge.aws import AwsError
from shared.edge.directory import KeyRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

PEPPER = "pepper"
NOW = 1_750_000_000
ARN = "arn:aws:execute-api:us-east-1:123456789012:abc123/prod/POST/v1/chat/completions"
KEY = keys.mint("default", bytes(range(48)))
OTHER = keys.mint("default", bytes(range(1, 49)))
RECORD = KeyRecord(
    id=KEY.id,
    org="default",
    hash=keys.digest(PEPPER, KEY),
    name="a key",
    role="developer",
    tier="pro",
    created_at=NOW - 10,
    expires_at=NOW + 10,
    revoked=False,
    last4=KEY.last4,
    version=1,
    limits={},
    models=("simulated", "gpt-4o"),
    team="blue",
)
PLAIN = re.compile(r"[ !#-\[\]-~]+")  # printable ASCII without quotes and backslashes


class Shelf:
    """A Directory in memory that counts how often it is asked, and can be out of order."""

    def __init__(self, *records: KeyRecord) -> None:
        self.records = {(record.org, record.id): record for record in records}
        self.asked: list[tuple[str, str]] = []
        self.broken = False

    def __call__(self, org: str, key_id: str) -> KeyRecord | None:
        """Look up, as `Directory.key` does."""
        self.asked.append((org, key_id))
        if self.broken:
            raise AwsError("dynamodb", "AccessDeniedException", "not yours")
        return self.records.get((org, key_id))


def authorizer(*records: KeyRecord) -> Authorizer:
    """An authorizer that knows these keys."""
    return Authorizer(Shelf(*records), lambda: PEPPER, "stack", lambda: NOW)


def event_of(*sent: tuple[str, str], **more: Any) -> dict[str, Any]:
    """An event as API Gateway makes it: the last value of a header in `headers`, all of them in the other."""
    several: dict[str, list[str]] = {}
    for name, value in sent:
        several.setdefault(name, []).append(value)
    single = {name: values[-1] for name, values in several.items()}
    return {"methodArn": ARN, "headers": single, "multiValueHeaders": several, **more}


def bearer(key: keys.Key) -> tuple[str, str]:
    """The header that most clients send."""
    return ("Authorization", f"Bearer {key.text}")


def refused(event: Mapping[str, Any], *records: KeyRecord) -> str:
    """The message of a refusal, which must be one in every respect."""
    verdict = authorizer(*(records or (RECORD,))).verdict(event)
    assert verdict["policyDocument"]["Statement"][0]["Effect"] == "Deny"
    assert "usageIdentifierKey" not in verdict
    assert verdict["context"]["code"] == "invalid_api_key"
    message: str = verdict["context"]["message"]
    assert PLAIN.fullmatch(message)
    for secret in (KEY.secret, OTHER.secret):
        assert secret not in json.dumps(verdict)
    return message
