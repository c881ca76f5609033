"""The authorizer as a process: its environment, a real table and secret, and AWS in its bad moments."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from functions.authorizer import build
from shared import manifest
from shared.edge.aws import AwsUnavailableError
from tests.functions.door import KEY, OTHER, PEPPER, RECORD, bearer, event_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def environment(moto: str) -> Iterator[dict[str, str]]:
    """The function's environment, and in AWS its pepper and a table that holds `RECORD`, good for long."""
    known: Any = {
        "aws_access_key_id": "a",
        "aws_secret_access_key": "b",
        "region_name": "us-east-1",
        "endpoint_url": moto,
    }
    vault, tables = boto3.client("secretsmanager", **known), boto3.resource("dynamodb", **known)
    secret = vault.create_secret(Name="pepper", SecretString=PEPPER)
    table = tables.create_table(
        TableName="directory",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )
    kept = RECORD._replace(expires_at=4_000_000_000)._asdict()
    plain: dict[str, Any] = {"models": list(RECORD.models), "budget": {}}
    table.put_item(Item={**kept, **plain, "pk": "default", "sk": f"key#{KEY.id}"})
    yield {
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": moto,
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "DIRECTORY_TABLE": "directory",
        "PEPPER_SECRET": secret["ARN"],
        "USAGE_KEY_PREFIX": "stack",
        "SIGNING_SECRET": "signing",
        "JWT_ISSUER": "https://nexus.example",
    }
    table.delete()
    vault.delete_secret(SecretId="pepper", ForceDeleteWithoutRecovery=True)
    vault.close()
    tables.meta.client.close()


def test_works_in_its_own_environment(server: Any, start: Any, environment: dict[str, str]) -> None:
    """Under the runtime loop, with table and secret behind HTTP: in, out, and not a word in the log."""
    process = start("functions.authorizer.handler", **environment)
    for key, effect in ((KEY, "Allow"), (OTHER, "Deny"), (KEY, "Allow")):
        server.put(event_of(bearer(key)))
        verdict = json.loads(server.take().body)
        assert verdict["policyDocument"]["Statement"][0]["Effect"] == effect
    assert process.terminate() == (0, "")


def test_fails_for_the_caller_to_see_when_aws_refuses(server: Any, start: Any, environment: dict[str, str]) -> None:
    """An error of the function, of which API Gateway makes a 500; the log has AWS's reason and nothing of the key."""
    process = start("functions.authorizer.handler", **{**environment, "DIRECTORY_TABLE": "missing"})
    server.put(event_of(bearer(KEY)))
    assert server.take().headers["lambda-runtime-function-error-type"] == "AwsError"
    _, log = process.terminate()
    assert "ResourceNotFoundException" in log
    assert KEY.secret not in log


PLACES = {
    "AWS_REGION": "r",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "a",
    "AWS_SECRET_ACCESS_KEY": "b",
    "DIRECTORY_TABLE": "t",
    "PEPPER_SECRET": "p",
    "USAGE_KEY_PREFIX": "stack",
    "SIGNING_SECRET": "signing",
    "JWT_ISSUER": "https://nexus.example",
}


def test_is_built_without_connecting() -> None:
    """Building it takes an environment and no network."""
    assert build(PLACES).usage_key_prefix == "stack"


def test_a_resolver_that_hangs_leaves_time_to_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tries of a second each, of the ten that the function has: `getaddrinfo` may take half a minute."""
    over, asked = threading.Event(), []

    def hang(host: str, *_rest: Any, flags: int = 0, **_more: Any) -> list[Any]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror
        asked.append(host)
        over.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    authorizer = build({**PLACES, "AWS_ENDPOINT_URL": "http://slow.example"})
    began = time.monotonic()
    try:
        with pytest.raises(AwsUnavailableError, match="TimeoutError"):
            authorizer.verdict(event_of(bearer(KEY)))
    finally:
        over.set()
    assert time.monotonic() - began < manifest.FUNCTIONS[manifest.AUTHORIZER].timeout_s
    assert asked == ["slow.example"]
