"""The admin function over real stores: what a test asks of it, and what it finds in them afterwards."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import boto3

from functions.admin import serve
from functions.control import Control
from functions.keyring import Keyring
from functions.projection import Projection
from functions.registry import Registry
from functions.shelf import Shelf
from shared.core.catalog import Catalog, Model, Target, Tier
from shared.core.enrolment import TODO
from shared.core.errors import GatewayError
from shared.core.principals import Principal
from shared.edge.admission import Admission, Ask, connect
from shared.edge.directory import Directory, KeyRecord, record
from shared.edge.ledger import Ledger
from shared.edge.telemetry import Telemetry
from tests.fakes.patience import dynamodb, patiently
from tests.functions.judging import document, undocumented

if TYPE_CHECKING:
    from cdk.local.valkey import Valkey
    from functions.registry import Item

NOW = 4_000_000_000  # far enough that no key has expired by the store's own clock
TIERS = {"free": Tier(10, 100, 0, 5), "pro": Tier(600, 0, 0, 50), "enterprise": Tier(60000, 0, 0, 1000)}
BOSS = Principal("default-bossbossboss", "default", "admin", "enterprise", (), NOW + 100)
TARGETS = Target("acme", "one"), Target("other", "two")
CATALOG = Catalog(
    "c1", {}, {"m1": Model("m1", "chat", TARGETS, "us"), "m2": Model("m2", "chat", TARGETS[1:], "us")}, {}
)
PEPPER = "pepper"
LEDGER = "control-ledger"
MODELS = frozenset({"simulated", "acme/chat:1"})
KNOWN: Any = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}


class Staffed(Registry):
    """A registry that knows the key of a boss in every organization, of the role that it says, and lists it nowhere."""

    role = "admin"

    def find(self, org: str, name: str) -> Item | None:
        """Read; the boss is always there."""
        return {"revoked": False, "role": self.role} if "-bossboss" in name else super().find(org, name)


class StaffedDirectory(Directory):
    """The same as the gateway reads it."""

    def __init__(self, registry: Registry, table: Any) -> None:
        super().__init__(dynamodb(table.meta.client.meta.endpoint_url), table.name)
        self._registry = registry

    def key(self, org: str, key_id: str, *, consistent: bool = False) -> KeyRecord | None:
        """Read; the boss is always there."""
        if "-bossboss" not in key_id:
            return super().key(org, key_id, consistent=consistent)
        names = dict.fromkeys(("hash", "name", "last4"), "boss")
        numbers = {"created_at": 1, "expires_at": 0, "version": 1}
        boss = {"pk": org, "sk": f"key#{key_id}", "tier": BOSS.tier, **names, **numbers}
        return record({**boss, **(self._registry.find(org, f"key#{key_id}") or {})})


class Context:
    """An invocation's context."""

    aws_request_id = "request-1"


class House:
    """The admin function with its stores, and what it wrote to its log."""

    def __init__(self, table: Any, audit: Any, valkey: Valkey | None, registry: type[Registry] = Staffed) -> None:
        """Without a `valkey` it is out of reach."""
        self.table = table
        self.audit = audit
        self.valkey = valkey
        self.now = float(NOW)
        self.log: list[bytes] = []
        self.admission = Admission(patiently(valkey.host, valkey.port) if valkey else connect("127.0.0.1", 9))
        numbers = itertools.count()
        ticks = itertools.count()
        self.registry = registry(table, audit, lambda: self.now, lambda: f"{next(ticks):012x}")
        projection = Projection(self.registry, self.admission, TIERS)
        keyring = Keyring(self.registry, projection, lambda: PEPPER, lambda size: bytes([next(numbers)]) * size)
        self.ledger = Ledger(dynamodb(table.meta.client.meta.endpoint_url), LEDGER)
        telemetry = Telemetry("test", self.log.append)
        directory = StaffedDirectory(self.registry, table)
        shelf = Shelf(CATALOG, {}, admission=self.admission, directory=directory)
        self.control = Control(
            self.registry, projection, keyring, MODELS, self.ledger, telemetry, directory, shelf, lambda: self.now
        )

    def close(self) -> None:
        """Close the connections."""
        self.admission.drop()
        self.ledger._aws.drop()
        self.control.directory._aws.drop()

    def without_valkey(self) -> House:
        """The same, with Valkey out of reach."""
        return House(self.table, self.audit, None)

    def call(self, method: str, url: str, body: object = None, caller: Principal | None = BOSS, **more: Any) -> Reply:
        """Send a request as API Gateway does; members of the event that differ come in `more`.

        Whatever is answered must be what the document says.
        """
        if caller and isinstance(self.registry, Staffed):
            self.registry.role = caller.role
        reply = Reply(self.send(method, url, body, caller, **more))
        wrong = undocumented(method, urlsplit(url).path, reply.status, reply.body, document())
        assert not wrong, wrong
        return reply

    def send(self, method: str, url: str, body: object = None, caller: Principal | None = BOSS, **more: Any) -> Any:
        """Send a request and return the answer as it is."""
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        several = {name: [value] for name, value in query.items()}
        event = {
            "resource": "/admin/{id+}",
            "path": parts.path,
            "httpMethod": method,
            "headers": {"content-type": "application/json"},
            "multiValueHeaders": {"content-type": ["application/json"]},
            "queryStringParameters": query or None,
            "multiValueQueryStringParameters": several or None,
            "requestContext": {"authorizer": caller.context() if caller else None, "requestId": "chosen-by-client"},
            "body": body if isinstance(body, str | None) else json.dumps(body),
            "isBase64Encoded": False,
            **more,
        }
        return serve(event, Context(), self.control)

    def make(self, **wanted: Any) -> dict[str, Any]:
        """Make a key, and its owners first."""
        for kind in {"team", "user"} & wanted.keys():
            place = {"pk": "default", "sk": f"{kind}#{wanted[kind]}"}
            if not self.registry.find(*place.values()):
                self.table.put_item(Item={**place, "name": "X", "role": "viewer", "tier": "free", "version": 1})
        reply = self.call("POST", "/admin/keys", {"name": "a key", **wanted})
        assert reply.status == 201
        return reply.body

    def admitted(self, key_id: str, request_id: str = "r-1") -> int:
        """Ask the admission script for one request with a key: its limit a minute; a refusal raises."""
        grant = self.admission.admit(Ask(key_id.partition("-")[0], (f"key:{key_id}",), request_id, 10))
        return grant.requests.limit

    def refusal(self, key_id: str, request_id: str = "r-1") -> GatewayError | None:
        """Tell why the admission script refuses a request with a key, or None."""
        try:
            self.admitted(key_id, request_id)
        except GatewayError as error:
            return error
        return None

    def policy(self, scope: str, org: str = "default") -> dict[str, str]:
        """Read what Valkey knows of a scope."""
        assert self.valkey
        with self.valkey.client() as client:
            found: dict[bytes, bytes] = client.hgetall(f"{{{org}}}:policy:{scope}")
        return {name.decode(): value.decode() for name, value in found.items()}

    def stored(self, prefix: str = "") -> list[dict[str, Any]]:
        """Everything in the table whose sort key begins so; without a `prefix` all but the notes of what is due."""
        items: list[dict[str, Any]] = self.table.scan()["Items"]
        return [item for item in items if item["sk"].startswith(prefix) and (prefix or not item["sk"].startswith(TODO))]

    def lines(self) -> list[dict[str, Any]]:
        """The audit log, the oldest line first."""
        return sorted(self.audit.scan()["Items"], key=lambda item: item["sk"])


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


def new_table(url: str, name: str) -> Any:
    """Make an empty table with the primary key of ours."""
    return boto3.resource("dynamodb", **KNOWN, endpoint_url=url).create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )
