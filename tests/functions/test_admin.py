"""The admin function on a real table and a real Valkey: keys are made, listed, revoked; nothing else gets through."""

from __future__ import annotations

import base64
import itertools
import json
from typing import TYPE_CHECKING, Any

import boto3
import msgspec
import pytest
from botocore.config import Config

from cdk.local.valkey import valkey_server
from functions import admin as function
from functions.admin import Admin, serve
from functions.authorizer import Authorizer
from functions.key_table import KeyTable
from functions.keyring import Keyring
from shared.core import keys
from shared.core.catalog import Catalog, Tier
from shared.core.errors import BadRequest, StoreUnavailable, Unauthorized
from shared.core.principals import Principal, from_context
from shared.edge.admission import Admission, Unprojected, connect
from shared.edge.directory import KeyRecord
from shared.edge.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdk.local.valkey import Valkey

NOW = 1_750_000_000
TIERS = {"free": Tier(10, 100, 0, 5), "pro": Tier(600, 0, 0, 50), "enterprise": Tier(60000, 0, 0, 1000)}
BOSS = Principal("default-bossbossboss", "default", "admin", "enterprise", (), NOW + 100)
PEPPER = "pepper"
KNOWN: Any = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}


class Context:
    """An invocation's context."""

    aws_request_id = "request-1"


class Staffed(KeyTable):
    """A table that knows the key of `BOSS` in every organization, and lists it nowhere."""

    def get(self, org: str, key_id: str) -> KeyRecord:
        """Read; the boss is always there."""
        if key_id != BOSS.key_id:
            return super().get(org, key_id)
        return KeyRecord(key_id, org, "0", "boss", "admin", "pro", NOW, NOW + 100, False, "boss", 1, {})


class House:
    """The admin function with its stores, and what it wrote to its log."""

    def __init__(self, table: Any, admission: Admission) -> None:
        self.table = table
        self.admission = admission
        self.log: list[bytes] = []
        numbers = itertools.count()
        self.keyring = Keyring(
            Staffed(table),
            admission,
            TIERS,
            lambda: PEPPER,
            lambda: NOW,
            lambda size: bytes([next(numbers)]) * size,
        )
        self.admin = Admin(self.keyring, Telemetry("test", self.log.append))

    def without_valkey(self) -> House:
        """The same, with Valkey out of reach."""
        return House(self.table, Admission(connect("127.0.0.1", 9)))

    def call(self, method: str, path: str, body: object = None, caller: Principal | None = BOSS, **more: Any) -> Reply:
        """Send a request as API Gateway does."""
        event = {
            "resource": path,
            "path": path,
            "httpMethod": method,
            "headers": {"content-type": "application/json"},
            "multiValueHeaders": {"content-type": ["application/json"]},
            "queryStringParameters": None,
            "multiValueQueryStringParameters": None,
            "requestContext": {"authorizer": caller.context() if caller else None, "requestId": "chosen-by-client"},
            "body": body if isinstance(body, str | None) else json.dumps(body),
            "isBase64Encoded": False,
            **more,
        }
        return Reply(serve(event, Context(), self.admin))

    def page(self, **query: str) -> Reply:
        """List keys."""
        several = {name: [value] for name, value in query.items()}
        return self.call("GET", "/admin/keys", queryStringParameters=query, multiValueQueryStringParameters=several)

    def make(self, **wanted: Any) -> dict[str, Any]:
        """Make a key."""
        reply = self.call("POST", "/admin/keys", {"name": "a key", **wanted})
        assert reply.status == 201
        return reply.body

    def stored(self) -> list[dict[str, Any]]:
        """Everything in the table."""
        items: list[dict[str, Any]] = self.table.scan()["Items"]
        return items


class Reply:
    """A response for API Gateway, which every one of them must be."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.status: int = answer["statusCode"]
        self.body: dict[str, Any] = json.loads(answer["body"])
        self.headers = {name.lower(): values[0] for name, values in answer["multiValueHeaders"].items()}
        assert self.headers["x-request-id"] == "request-1"
        assert self.headers["content-type"] == "application/json"
        if self.status >= 400:
            assert self.body["type"] == "error"
            assert {"type", "message", "code", "param"} <= self.error.keys()

    @property
    def error(self) -> dict[str, Any]:
        """The error object."""
        error: dict[str, Any] = self.body["error"]
        return error


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A server for this file."""
    with valkey_server(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="module")
def table(moto: str) -> Iterator[Any]:
    """An empty table with the Directory's primary key."""
    resource = boto3.resource("dynamodb", **KNOWN, endpoint_url=moto)
    table = resource.create_table(
        TableName="keys",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )
    yield table
    table.delete()
    resource.meta.client.close()


@pytest.fixture
def house(table: Any, valkey: Valkey) -> Iterator[House]:
    """The function with empty stores."""
    with valkey.client() as client:
        client.flushall()
    for item in table.scan()["Items"]:
        table.delete_item(Key={"pk": item["pk"], "sk": item["sk"]})
    admission = Admission(connect(valkey.host, valkey.port))
    yield House(table, admission)
    admission.drop()


def test_makes_a_key_and_shows_it_once(house: House) -> None:
    """The answer holds the key and what it may; the table holds its keyed digest, and neither holds the other."""
    reply = house.call("POST", "/admin/keys", {"name": "Grüße"})
    key = keys.parse(reply.body["key"])
    assert reply.status == 201
    assert reply.headers["cache-control"] == "no-store"
    assert key is not None
    assert {name: value for name, value in reply.body.items() if name != "key"} == {
        "id": key.id,
        "object": "api_key",
        "name": "Grüße",
        "display": key.display,
        "last4": key.last4,
        "role": "developer",
        "tier": "free",
        "team": None,
        "user": None,
        "models": [],
        "limits": {},
        "created_at": NOW,
        "expires_at": NOW + 90 * 86400,
        "revoked": False,
    }
    [item] = house.stored()
    assert item["hash"] == keys.digest(PEPPER, key)
    assert key.secret not in json.dumps(item, default=str)
    for shown in (house.call("GET", f"/admin/keys/{key.id}"), house.page()):
        assert key.secret not in json.dumps(shown.body)
        assert item["hash"] not in json.dumps(shown.body)


def test_a_key_does_what_was_asked_for(house: House) -> None:
    """Every field is kept, and comes back when the key is looked at."""
    wanted = {
        "role": "service",
        "tier": "pro",
        "team": "blue",
        "user": "ada",
        "models": ["simulated", "org/model:1"],
        "expires_days": 1,
        "limits": {"requests_per_minute": 7, "concurrency": 1},
    }
    made = house.make(**wanted)
    shown = house.call("GET", f"/admin/keys/{made['id']}").body
    assert shown == {name: value for name, value in made.items() if name != "key"}
    assert {**shown, "expires_days": (shown["expires_at"] - NOW) // 86400}.items() >= wanted.items()


def test_a_new_key_is_known_to_valkey_at_once(house: House) -> None:
    """Its own limits lie over the preset of its tier."""
    made = house.make(tier="pro", limits={"requests_per_minute": 7}, expires_days=3650)
    assert house.admission.admit(made["id"], "r-1", 10).limit == 7


def test_a_new_key_opens_the_door(house: House) -> None:
    """What is stored is what the authorizer checks."""
    made = house.make(role="viewer")

    def lookup(org: str, key_id: str) -> KeyRecord:
        return house.keyring.table.get(org, key_id)

    door = Authorizer(lookup, lambda: PEPPER, "stack", lambda: NOW)
    caller = door.identify({"headers": {"x-api-key": made["key"]}})
    assert (caller.key_id, caller.role) == (made["id"], "viewer")


def test_a_key_is_made_while_valkey_is_down(house: House) -> None:
    """It is read from the table on its first request, so nothing is lost and the key is not either."""
    made = house.without_valkey().make()
    assert house.call("GET", f"/admin/keys/{made['id']}").status == 200
    with pytest.raises(Unprojected):
        house.admission.admit(made["id"], "r-1", 10)


def test_a_lost_answer_makes_another_key(house: House) -> None:
    """An id that is taken, by a write of ours that boto3 repeated, is not overwritten: the key gets another."""
    first = house.make()
    repeated = House(house.table, house.admission)  # counts its chance from the start
    second = repeated.make()
    assert first["id"] != second["id"]
    assert len(house.stored()) == 2


def test_revokes_at_once(house: House) -> None:
    """The next request with the key is refused by the admission script, whatever the authorizer remembers."""
    made = house.make(expires_days=3650)
    house.admission.admit(made["id"], "r-1", 10)
    reply = house.call("DELETE", f"/admin/keys/{made['id']}")
    assert (reply.status, reply.body["revoked"]) == (200, True)
    with pytest.raises(Unauthorized):
        house.admission.admit(made["id"], "r-2", 10)


def test_revoking_twice_is_revoking_once(house: House) -> None:
    """The second answer is the first, and the version counts one edit."""
    made = house.make()
    replies = [house.call("DELETE", f"/admin/keys/{made['id']}") for _ in range(2)]
    assert replies[0].body == replies[1].body
    assert house.stored()[0]["version"] == 2


class Crowded(KeyTable):
    """A table in which others edit a key, so many `times`, between the moment it is read and the next write."""

    def __init__(self, table: Any, times: int) -> None:
        super().__init__(table)
        self._times = times

    def get(self, org: str, key_id: str) -> KeyRecord:
        """Read, and let somebody else write."""
        known = super().get(org, key_id)
        if self._times:
            self._times -= 1
            self._table.update_item(
                Key={"pk": org, "sk": f"key#{key_id}"},
                UpdateExpression="SET version = :version, #name = :name",
                ExpressionAttributeValues={":version": known.version + 1, ":name": "renamed"},
                ExpressionAttributeNames={"#name": "name"},
            )
        return known


def test_revokes_on_top_of_an_edit_that_came_between(house: House) -> None:
    """Neither edit is lost, and each counts in the version."""
    made = house.make()
    revoked = Crowded(house.table, times=1).revoke("default", made["id"])
    [item] = house.stored()
    assert (item["name"], item["revoked"], item["version"]) == ("renamed", True, 3)
    assert (revoked.name, revoked.version) == ("renamed", 3)


def test_gives_up_on_a_key_that_others_keep_editing(house: House) -> None:
    """After a few tries the caller is asked to come back; nothing was overwritten."""
    made = house.make()
    with pytest.raises(StoreUnavailable, match="editing"):
        Crowded(house.table, times=100).revoke("default", made["id"])
    assert house.stored()[0]["revoked"] is False


def test_a_revocation_that_valkey_missed_is_told_and_can_be_repeated(house: House) -> None:
    """503 says what holds; the table has it; the repeated request reaches Valkey too."""
    made = house.make(expires_days=3650)
    reply = house.without_valkey().call("DELETE", f"/admin/keys/{made['id']}")
    assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (503, "store_unavailable", "2")
    assert "revoked in the directory" in reply.error["message"]
    assert house.stored()[0]["revoked"] is True
    house.admission.admit(made["id"], "r-1", 10)  # not heard of yet
    assert house.call("DELETE", f"/admin/keys/{made['id']}").status == 200
    with pytest.raises(Unauthorized):
        house.admission.admit(made["id"], "r-2", 10)


def test_lists_page_by_page(house: House) -> None:
    """Each key comes once, in one order; the last page says so."""
    made = {house.make()["id"] for _ in range(5)}
    seen: list[str] = []
    page = house.page(limit="2").body
    while True:
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        seen += [entry["id"] for entry in page["data"]]
        if not page["has_more"]:
            break
        page = house.page(limit="2", after=page["last_id"]).body
    assert seen == sorted(made)
    assert len(page["data"]) == 1


def test_an_empty_list_is_a_list(house: House) -> None:
    """Nothing to show is no error, and there is no id to go on from."""
    assert house.page().body == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"limit": "1.5"}, "limit"),
        ({"after": "x"}, "after"),
        ({"after": ""}, "after"),
        ({"after": "other-abcdefghijkl"}, "after"),
    ],
)
def test_refuses_a_page_that_does_not_exist(house: House, query: dict[str, str], param: str) -> None:
    """Sizes out of range, and cursors that are not of this organization, are named."""
    reply = house.page(**query)
    assert (reply.status, reply.error["param"], reply.error["type"]) == (400, param, "invalid_request_error")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_tells_nothing_of_other_organizations(house: House, method: str) -> None:
    """A foreign key, a missing one, and no id at all are the same 404, and the foreign key stays as it was."""
    made = house.make()
    stranger = BOSS._replace(org="other")
    replies = [
        house.call(method, f"/admin/keys/{made['id']}", caller=stranger),
        house.call(method, "/admin/keys/other-abcdefghijkl", caller=stranger),
        house.call(method, "/admin/keys/nonsense", caller=stranger),
        house.call(method, "/admin/keys/default-ABCDEFGHIJKL"),
        house.call(method, "/admin/keys/default-abcdefghijkl%23"),
    ]
    assert {(reply.status, json.dumps(reply.body)) for reply in replies} == {(404, json.dumps(replies[0].body))}
    assert replies[0].error["code"] == "key_not_found"
    assert house.stored()[0]["revoked"] is False
    assert house.call("GET", "/admin/keys", caller=stranger).body["data"] == []


@pytest.mark.parametrize("role", ["developer", "viewer", "service", "root", ""])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/admin/keys"), ("GET", "/admin/keys"), ("DELETE", "/admin/keys/x")]
)
def test_is_for_administrators_only(house: House, role: str, method: str, path: str) -> None:
    """Every other role is told which one it takes, before its body is looked at; nothing is written."""
    reply = house.call(method, path, "{broken", caller=BOSS._replace(role=role))
    assert (reply.status, reply.error["type"], reply.error["code"]) == (403, "permission_error", "permission_denied")
    assert "admin" in reply.error["message"]
    assert house.stored() == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_revoked_administrator_is_stopped_at_once(house: House, method: str) -> None:
    """The authorizer may remember the key for a minute, time enough to make another; the Directory is asked again."""
    made = house.make(role="admin")
    caller = BOSS._replace(key_id=made["id"])
    assert house.call("GET", "/admin/keys", caller=caller).status == 200
    house.call("DELETE", f"/admin/keys/{made['id']}")
    for former in (caller, BOSS._replace(key_id="default-abcdefghijkl")):
        reply = house.call(method, "/admin/keys", {"name": "a way back"}, caller=former)
        assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
    assert len(house.stored()) == 1


def test_every_request_leaves_one_line(house: House) -> None:
    """Who (a hash), what, and how it ended: of a success, a wrong field, a refusal; no name and no key is in it."""
    house.make()
    house.call("POST", "/admin/keys", {"name": "a secret name", "tier": "gold"})
    house.call("GET", "/admin/keys", caller=BOSS._replace(role="viewer"))
    lines = [json.loads(line) for line in house.log]
    assert [(line["route"], line["status"], line["outcome"]) for line in lines] == [
        ("POST /admin/keys", 201, "ok"),
        ("POST /admin/keys", 400, "invalid_request"),
        ("GET /admin/keys", 403, "permission_denied"),
    ]
    assert len({line["key"] for line in lines}) == 1
    assert not any(word in str(lines) for word in ("secret name", "nexus_", BOSS.key_id))


def test_serves_nobody_without_an_identity(house: House) -> None:
    """An event without the authorizer's word is refused, not trusted."""
    assert house.call("GET", "/admin/keys", caller=None).status == 401


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("name", "", "name"),
        ("name", None, "name"),
        ("name", 1, "name"),
        ("name", "a\nb", "name"),
        ("name", "a\u2028b", "name"),
        ("name", "a" * 201, "name"),
        ("role", "root", "role"),
        ("tier", "gold", "tier"),
        ("tier", ["free"], "tier"),
        ("expires_days", 0, "expires_days"),
        ("expires_days", 3651, "expires_days"),
        ("expires_days", "90", "expires_days"),
        ("expires_days", True, "expires_days"),
        ("expires_days", 1.5, "expires_days"),
        ("models", "simulated", "models"),
        ("models", ["a,b"], "models.0"),
        ("models", ["ok", ""], "models.1"),
        ("models", ["m"] * 101, "models"),
        ("limits", [], "limits"),
        ("limits", {"requests_per_minute": 0}, "limits.requests_per_minute"),
        ("limits", {"requests_per_minute": -1}, "limits.requests_per_minute"),
        ("limits", {"concurrency": "5"}, "limits.concurrency"),
        ("limits", {"requests_per_day": 5}, "limits.requests_per_day"),
        ("org", "other", "org"),
        ("hash", "00", "hash"),
        ("version", 9, "version"),
        ("is_admin", True, "is_admin"),
        ("budget", {"total_usd": 1}, "budget"),
        ("id", "default-abcdefghijkl", "id"),
        ("__proto__", {}, "__proto__"),
        ("api_key", "x", "api_key"),
    ],
)
def test_names_the_field_that_is_wrong(house: House, field: str, value: object, param: str) -> None:
    """Wrong types and values, and fields that nobody may set, are 400 with the field's name; nothing is written."""
    reply = house.call("POST", "/admin/keys", {"name": "a key", field: value})
    assert (reply.status, reply.error["param"], reply.error["type"]) == (400, param, "invalid_request_error")
    assert param in reply.error["message"]
    assert house.stored() == []


def test_names_the_field_that_is_missing(house: House) -> None:
    """A name is all it takes, and it does take that."""
    reply = house.call("POST", "/admin/keys", {})
    assert (reply.status, reply.error["param"]) == (400, "name")
    assert reply.error["message"] == "The field 'name' is missing. Add it."


def test_repeats_no_value_that_was_refused(house: House) -> None:
    """A secret in the wrong field does not come back, and a huge field name is cut."""
    reply = house.call("POST", "/admin/keys", {"name": ["sk-secret"]})
    assert "sk-secret" not in json.dumps(reply.body)
    assert len(house.call("POST", "/admin/keys", {"name": "a", "x" * 9000: 1}).error["message"]) < 500


@pytest.mark.parametrize(
    "body",
    [
        None,
        "",
        "{",
        "[]",
        "null",
        '"name"',
        '{"name": "a", "expires_days": NaN}',
        '{"name": "a", "expires_days": 1e999}',
        '{"name": "a", "expires_days": ' + "9" * 5000 + "}",
        '{"name": "\\ud800"}',
        '{"name": "a\\u0000b"}',
        "\ufeff{}",
        "[" * 100_000,
        '{"name":' * 100_000,
        "name=a&role=admin",
    ],
    ids=lambda body: str(body)[:33],
)
def test_refuses_a_body_that_is_none(house: House, body: str | None) -> None:
    """Broken, hostile and missing JSON is a 400 in the same envelope, and never a trace."""
    reply = house.call("POST", "/admin/keys", body)
    assert (reply.status, reply.error["type"]) == (400, "invalid_request_error")
    assert house.stored() == []
    assert [json.loads(line)["event"] for line in house.log] == ["request"]  # and no fault of ours


def test_refuses_a_body_that_is_too_large(house: House) -> None:
    """413, before anything is decoded."""
    assert house.call("POST", "/admin/keys", json.dumps({"name": "a" * 7_000_000})).status == 413


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""])
def test_a_body_is_json_whatever_it_calls_itself(house: House, kind: str) -> None:
    """No content type makes the function read it in another way."""
    headers: Any = {"headers": {"content-type": kind}, "multiValueHeaders": {"content-type": [kind]}}
    assert house.call("POST", "/admin/keys", {"name": "a"}, **headers).status == 201
    assert house.call("POST", "/admin/keys", "name=a&role=admin", **headers).status == 400


def test_reads_a_body_in_base64(house: House) -> None:
    """API Gateway encodes what it takes for binary; damaged base64 is the sender's error."""
    body = base64.b64encode(b'{"name": "a"}').decode()
    assert house.call("POST", "/admin/keys", body, isBase64Encoded=True).status == 201
    assert house.call("POST", "/admin/keys", body[:-3] + "!", isBase64Encoded=True).status == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/admin/keys"), ("GET", "/admin"), ("GET", "/admin/keys/a/b"), ("DELETE", "/admin/keys"), ("GET", "/")],
)
def test_serves_no_other_url(house: House, method: str, path: str) -> None:
    """What is not in the table of routes is a 404 of ours."""
    reply = house.call(method, path)
    assert (reply.status, reply.error["code"]) == (404, "unknown_url")


def test_a_method_is_not_overridden_by_a_header(house: House) -> None:
    """A GET stays a GET, whatever a header or the query asks for."""
    made = house.make()
    headers = {"X-HTTP-Method-Override": "DELETE", "X-Method-Override": "DELETE"}
    query = {"_method": "DELETE"}
    house.call("GET", f"/admin/keys/{made['id']}", headers=headers, queryStringParameters=query)
    assert house.stored()[0]["revoked"] is False


def test_an_outage_of_the_table_is_told_as_such(house: House) -> None:
    """503 with a time to come back, for reads and writes."""
    lost = boto3.resource(
        "dynamodb",
        **KNOWN,
        endpoint_url="http://127.0.0.1:9",
        config=Config(retries={"total_max_attempts": 1}),
    )
    broken = House(lost.Table("keys"), house.admission)
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
    broken = House(resource.Table("missing"), house.admission)
    reply = broken.call("GET", "/admin/keys")
    assert (reply.status, reply.error["code"]) == (500, "internal_error")
    assert "ResourceNotFound" not in json.dumps(reply.body)
    assert json.loads(broken.log[0])["request_id"] == "request-1"


def test_the_first_key_is_made_by_a_direct_invocation(house: House) -> None:
    """It is an administrator of the first organization, and can make the others."""
    made: dict[str, Any] = serve({"action": "bootstrap", "name": "first"}, Context(), house.admin)
    assert (made["role"], made["tier"], keys.org_of(made["id"])) == ("admin", "enterprise", "default")
    assert keys.parse(made["key"]) is not None
    assert house.stored()[0]["role"] == "admin"


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"action": "drop", "name": "a"},
        {"name": "a"},
        {"action": "bootstrap"},
        {"action": "bootstrap", "name": "a", "org": "x"},
    ],
)
def test_a_direct_invocation_does_nothing_else(house: House, event: dict[str, Any]) -> None:
    """Any other action fails, with the reason as the function's error."""
    with pytest.raises(BadRequest):
        serve(event, Context(), house.admin)
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
        "PEPPER_SECRET": "missing",
        "VALKEY_HOST": "127.0.0.1",
        "VALKEY_PORT": "9",
        "VALKEY_TLS": "false",
        "LAMBDA_TASK_ROOT": str(tmp_path),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    event = {"httpMethod": "GET", "path": "/", "requestContext": {"authorizer": None}}
    assert Reply(function.handler(event, Context())).status == 401
    assert from_context(BOSS.context()) == BOSS
