"""The ways into the admin function: a direct invocation, the environment, and stores that fail."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import msgspec
import pytest
from botocore.config import Config

from functions import admin as function
from functions.admin import serve
from shared.core import keys
from shared.core.catalog import Catalog
from shared.core.errors import BadRequest
from shared.core.principals import from_context
from shared.edge.admission import Ask
from tests.functions.control.rig import BOSS, KNOWN, TIERS, Context, House, Reply

if TYPE_CHECKING:
    from pathlib import Path


def test_an_outage_of_the_table_is_told_as_such(house: House) -> None:
    """503 with a time to come back, for reads and writes."""
    lost = boto3.resource(
        "dynamodb",
        **KNOWN,
        endpoint_url="http://127.0.0.1:9",
        config=Config(retries={"total_max_attempts": 1}),
    )
    broken = House(lost.Table("keys"), house.audit, house.valkey)
    for method, path, body in (
        ("POST", "/admin/keys", {"name": "a"}),
        ("GET", "/admin/keys", None),
        ("DELETE", "/admin/keys/default-abcdefghijkl", None),
    ):
        reply = broken.call(method, path, body)
        assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (503, "store_unavailable", "1")


def test_our_own_mistake_is_ours(house: House) -> None:
    """A missing table is a 500 that tells the client nothing, and one line in the log."""
    resource = boto3.resource("dynamodb", **KNOWN, endpoint_url=house.table.meta.client.meta.endpoint_url)
    broken = House(resource.Table("missing"), house.audit, house.valkey)
    reply = broken.call("GET", "/admin/keys")
    assert (reply.status, reply.error["code"]) == (500, "internal_error")
    assert "ResourceNotFound" not in json.dumps(reply.body)
    assert json.loads(broken.log[0])["request_id"] == "request-1"


def test_the_first_key_is_made_by_a_direct_invocation(house: House) -> None:
    """It is an administrator of the first organization, and can make the others."""
    made: dict[str, Any] = serve({"action": "bootstrap", "name": "first"}, Context(), house.control)
    assert (made["role"], made["tier"], keys.org_of(made["id"])) == ("admin", "enterprise", "default")
    assert keys.parse(made["key"]) is not None
    assert house.stored()[0]["role"] == "admin"


def test_an_organization_that_has_lost_its_keys_gets_another(house: House) -> None:
    """Its first one expires after 90 days like any other, and nobody of another organization sees inside."""
    assert house.call("POST", "/admin/organizations", {"id": "acme", "name": "Acme"}).status == 201
    event = {"action": "bootstrap", "name": "second", "organization": "acme"}
    made: dict[str, Any] = serve(event, Context(), house.control)
    assert (made["role"], keys.org_of(made["id"])) == ("admin", "acme")
    assert house.admission.admit(Ask("acme", (f"key:{made['id']}",), "r-1", 10)).requests.limit == 60_000


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"action": "drop", "name": "a"},
        {"name": "a"},
        {"action": "bootstrap"},
        {"action": "bootstrap", "name": "a", "org": "x"},
        {"action": "bootstrap", "name": "a", "organization": "acme"},
        {"action": "bootstrap", "name": "a", "organization": ["acme"]},
        {"action": "bootstrap", "name": "a", "organization": ""},
    ],
)
def test_a_direct_invocation_does_nothing_else(house: House, event: dict[str, Any]) -> None:
    """Any other action fails, with the reason as the function's error."""
    with pytest.raises(BadRequest):
        serve(event, Context(), house.control)
    assert house.stored() == []


def test_nobody_bootstraps_through_the_api(house: House) -> None:
    """An event of API Gateway is a request, whatever else it holds."""
    reply = house.call("GET", "/admin/keys", caller=BOSS._replace(role="viewer"), action="bootstrap", name="mine")
    assert reply.status == 403
    assert house.stored() == []


def test_is_built_from_its_environment(moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry point reads everything from the environment and the task root, and then works."""
    catalog = Catalog(version="1", providers={}, models={}, tiers=TIERS)
    (tmp_path / "catalog.json").write_bytes(msgspec.json.encode(catalog))
    settings = {
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": moto,
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "STAGE": "test",
        "DIRECTORY_TABLE": "keys",
        "AUDIT_TABLE": "audit",
        "LEDGER_TABLE": "ledger",
        "PEPPER_SECRET": "missing",
        "VALKEY_HOST": "127.0.0.1",
        "VALKEY_PORT": "9",
        "VALKEY_TLS": "false",
        "WEBHOOKS_TO_LOOPBACK": "false",
        "LAMBDA_TASK_ROOT": str(tmp_path),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    event = {"httpMethod": "GET", "path": "/", "requestContext": {"authorizer": None}}
    assert Reply(function.handler(event, Context())).status == 401
    assert from_context(BOSS.context()) == BOSS
