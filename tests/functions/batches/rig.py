"""The function of files and batches over moto's stores: what a test asks of it, and what it finds there afterwards."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import boto3
import httpx2
from botocore.exceptions import EndpointConnectionError

from functions.batch_objects import Objects
from functions.batch_queue import Queue
from functions.batch_records import Records
from functions.batches import Batches, serve
from functions.registry import Registry
from shared.core.principals import Principal
from shared.edge.telemetry import Telemetry
from tests.functions.control.rig import KNOWN, new_table
from tests.functions.judging import document, undocumented
from tests.functions.plane.rig import Client, Context

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functions.registry import Item

NOW = 1_900_000_000
OURS = Principal("default-oursoursours", "default", "developer", "pro", (), NOW + 100)
OTHER = OURS._replace(key_id="default-otherotherot")
ADMIN = OURS._replace(key_id="default-adminadminad", role="admin")
STRANGER = OURS._replace(key_id="acme-strangerstra", org="acme", role="admin")
EVERYBODY = {one.key_id: one for one in (OURS, OTHER, ADMIN, STRANGER)}
CHAT = "/v1/chat/completions"
TABLE, BUCKET = "batches-records", "batches-files"


class Staff(Registry):
    """A Directory that knows everybody, and in which keys can be revoked."""

    revoked: frozenset[str] = frozenset()
    more: Mapping[str, Any] = MappingProxyType({})  # of each key's record

    def find(self, org: str, name: str) -> Item | None:
        """Read."""
        kind, _, key_id = name.partition("#")
        known = EVERYBODY.get(key_id)
        if kind != "key" or known is None or known.org != org:
            return None
        record = {
            "pk": org,
            "sk": name,
            "name": "x",
            "hash": "0" * 64,
            "last4": "abcd",
            "version": 1,
            "created_at": NOW,
        }
        record |= {"revoked": key_id in self.revoked, "role": known.role, "tier": known.tier}
        record |= {"created_at": NOW, "expires_at": 0}
        return {**record, **self.more}


class House:
    """The function with its stores."""

    def __init__(self, url: str) -> None:
        self.now = float(NOW)
        self.log: list[bytes] = []
        self.table = new_table(url, TABLE)
        self.s3 = boto3.client("s3", **KNOWN)
        self.s3.create_bucket(Bucket=BUCKET)
        self.staff = Staff(self.table, self.table, lambda: self.now)
        self.records = Records(self.table, lambda: self.now)
        self.objects = Objects(self.s3, BUCKET)
        telemetry = Telemetry("test", self.log.append)
        self.sent: list[tuple[dict[str, str], int]] = []  # messages, each with its delay
        queue: Any = self
        self.queue = Queue(queue, "https://queue")
        self.batches = Batches(self.staff, self.records, self.objects, self.queue, telemetry, lambda: self.now)

    def send_message(self, **request: Any) -> None:
        """Take a message, as SQS does."""
        self.sent.append((json.loads(request["MessageBody"]), request["DelaySeconds"]))

    def close(self) -> None:
        """Empty and remove everything."""
        for name in self.keys():
            self.s3.delete_object(Bucket=BUCKET, Key=name)
        self.s3.delete_bucket(Bucket=BUCKET)
        self.table.delete()
        self.table.meta.client.close()

    def keys(self) -> list[str]:
        """What lies in the bucket."""
        return [one["Key"] for one in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    def call(self, method: str, url: str, caller: Principal = OURS, **more: Any) -> Client:
        """Send a request as API Gateway does; what is answered in JSON must be what the document says."""
        parts = urlsplit(url)
        folder, _, rest = parts.path.removeprefix("/v1/").partition("/")
        name, _, last = rest.partition("/")
        resource = f"/v1/{folder}" + ("/{id}" if name else "") + (f"/{last}" if last else "")
        event = {
            "resource": resource,
            "path": parts.path,
            "httpMethod": method,
            "headers": {},
            "pathParameters": {"id": name} if name else None,
            "queryStringParameters": dict(parse_qsl(parts.query, keep_blank_values=True)) or None,
            "requestContext": {"authorizer": caller.context(), "identity": {"sourceIp": "192.0.2.7"}},
            "body": None,
            "isBase64Encoded": False,
            **more,
        }
        client = Client()
        serve(event, Context(), client, self.batches)
        if client.headers["content-type"] == "application/json":
            wrong = undocumented(method, parts.path, client.status, client.json, document())
            assert not wrong, wrong
        return client

    def form(self, fields: dict[str, str], file: tuple[str, bytes] | None, caller: Principal = OURS) -> Client:
        """Send a form, as an official client's HTTP library writes it."""
        made = httpx2.Request("POST", "http://x", data=fields, files={"file": file} if file else {"": ("", b"")})
        headers = {"Content-Type": made.headers["content-type"]}
        return self.call("POST", "/v1/files", caller, headers=headers, body=made.read().decode())

    def upload(self, content: bytes = b"{}\n", name: str = "in.jsonl", caller: Principal = OURS) -> str:
        """Upload a file; returns its id."""
        sent = self.form({"purpose": "batch"}, (name, content), caller)
        assert sent.status == 200, sent.body
        found: str = sent.json["id"]
        return found

    def create(self, file_id: str, caller: Principal = OURS, **more: Any) -> Client:
        """Ask for a batch of a file."""
        wanted = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h", **more}
        return self.call("POST", "/v1/batches", caller, body=json.dumps(wanted))

    def error(self, client: Client) -> dict[str, Any]:
        """What a refusal says."""
        found: dict[str, Any] = json.loads(client.body)["error"]
        return {**found, "status": client.status}


class Unreachable:
    """A client of AWS for which nobody is there."""

    def __getattr__(self, _: str) -> Any:
        def call(**_request: Any) -> None:
            raise EndpointConnectionError(endpoint_url="https://s3")

        return call


def lines(*names: str, **more: Any) -> bytes:
    """A file of so many chats."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 10}
    made = [{"custom_id": name, "method": "POST", "url": CHAT, "body": body, **more} for name in names]
    return b"\n".join(json.dumps(one).encode() for one in made)
