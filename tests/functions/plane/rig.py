"""The gateway over real sockets: a scripted provider, a small AWS, a real Valkey, a client that keeps what it gets."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

from functions.gateway import serve
from functions.plane import build
from shared.core import policies
from shared.core.catalog import FILE, decode
from shared.edge.directory import decode as decode_attribute
from shared.edge.response import ClientGone
from tests.fakes.patience import wait_longer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functions.plane import Gateway
    from shared.core.catalog import Tier
    from tests.functions.plane.upstream import Request, Upstream, Wire

KEY = "default-abcdefghijkl"
CHAT = "/v1/chat/completions"
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi there"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}
VECTORS = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}],
    "usage": {"prompt_tokens": 3, "total_tokens": 3},
}


@dataclass
class Context:
    """An invocation that lasts `seconds`."""

    seconds: float = 30.0
    aws_request_id: str = field(default_factory=lambda: str(uuid4()))
    began: float = field(default_factory=time.monotonic)

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds that are left of it."""
        return int((self.began + self.seconds - time.monotonic()) * 1000)


@dataclass
class Client:
    """An `Out` that keeps what it gets, and hangs up before chunk number `hang_up_at`."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    hang_up_at: int = -1
    rig: Rig | None = None
    settled_at_chunk: list[int] = field(default_factory=list)  # how many were settled when each chunk came

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Keep status and headers; they may come once."""
        assert self.status == 0
        self.status, self.headers = status, dict(headers)

    def write(self, chunk: bytes) -> None:
        """Keep a chunk."""
        assert self.status
        if len(self.chunks) == self.hang_up_at:
            raise ClientGone
        if chunk:
            self.chunks.append(chunk)
            if self.rig:
                self.settled_at_chunk.append(len(self.rig.usage()))

    @property
    def body(self) -> bytes:
        """All chunks together."""
        return b"".join(self.chunks)

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The decoded events of a stream; `[DONE]` stays text."""
        frames = self.body.decode().split("\n\n")
        assert frames.pop() == ""
        payloads = [frame.removeprefix("data: ") for frame in frames]
        return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]

    @property
    def text(self) -> str:
        """What the assistant said in a stream."""
        deltas = [event["choices"][0]["delta"] for event in self.events if event != "[DONE]" and event.get("choices")]
        return "".join(delta.get("content") or "" for delta in deltas)


@dataclass
class Rig:
    """Everything a test of the data plane touches."""

    gateway: Gateway
    upstream: Upstream
    aws: Aws
    valkey: Any  # a client; redis-py's own types allow for None and str where neither can come
    lines: list[dict[str, Any]]
    pauses: list[float]
    environment: dict[str, str]

    def restarted(self, tiers: dict[str, Tier]) -> Rig:
        """The same with a gateway of a later deployment, whose catalog has other `tiers`."""
        path = Path(self.environment["LAMBDA_TASK_ROOT"], FILE)
        path.write_bytes(msgspec.json.encode(msgspec.structs.replace(decode(path.read_bytes()), tiers=tiers)))
        gateway = built(self.environment)._replace(telemetry=self.gateway.telemetry, pause=self.gateway.pause)
        return replace(self, gateway=gateway)

    def behind(self, port: int) -> Rig:
        """The same with a gateway of another process, which finds Valkey at this port."""
        gateway = built({**self.environment, "VALKEY_PORT": str(port)})
        return replace(self, gateway=gateway._replace(telemetry=self.gateway.telemetry, pause=self.gateway.pause))

    def waiting(self, seconds: float) -> Rig:
        """The same with a gateway that waits no longer for the first word of a stream that has begun."""
        return replace(self, gateway=self.gateway._replace(hold=seconds))

    def call(self, method: str, resource: str, body: Any = None, **options: Any) -> Client:
        """Send one event through the gateway; `client`, `context`, `identity` and further members of it are options."""
        client = options.pop("client", None) or Client()
        context = options.pop("context", None) or Context()
        identity = {
            "key_id": KEY,
            "org": "default",
            "role": "developer",
            "tier": "pro",
            "models": "",
            "expires_at": "0",
            "user": "",
            "team": "",
        }
        identity |= options.pop("identity", {})
        event = {
            "httpMethod": method,
            "resource": resource,
            "path": resource,
            "requestContext": {"authorizer": identity, "requestId": "chosen-by-the-client"},
            "body": body if body is None or isinstance(body, str) else json.dumps(body),
            "isBase64Encoded": False,
            **options,
        }
        serve(event, context, client, self.gateway)
        return client

    def chat(self, *, stream: bool = True, model: str = "gpt-4o", **options: Any) -> Client:
        """Ask for a chat completion."""
        more = options.pop("fields", {})
        request = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": stream, **more}
        return self.call("POST", CHAT, request, **options)

    def edit(self, version: int = 2, **changes: Any) -> None:
        """Edit the key as an administrator does: in the Directory, and then in Valkey."""
        self.aws.item = item(version=version, **changes)
        record = {name: decode_attribute(value) for name, value in self.aws.item.items()}
        told, fields = policies.key_policy(record, self.gateway.catalog.tiers, None)
        self.gateway.admission.tell("default", f"key:{KEY}", told, fields)

    def usage(self) -> list[dict[str, str]]:
        """The usage events that were booked."""
        found = self.valkey.xrange("{default}:usage")
        return [{name.decode(): value.decode() for name, value in event.items()} for _, event in found]

    def leases(self) -> int:
        """How many requests hold a slot."""
        return int(self.valkey.zcard(f"{{default}}:leases:key:{KEY}"))

    def settled(self) -> dict[str, str]:
        """The one settlement: it is what the key's budget has lost, and nothing is held any more."""
        [use] = self.usage()
        found = self.valkey.hgetall(f"{{default}}:spend:key:{KEY}")
        spend = {name.decode(): int(value) for name, value in found.items()}
        assert (self.leases(), self.valkey.zcard("{default}:holds")) == (0, 0)
        assert not [name for name, value in spend.items() if name.startswith("r:") and value]
        assert spend.get("c:t", 0) == int(use["cost"])
        assert self.lines[-1]["settled"] is True
        return use


@dataclass
class Aws:
    """What the Directory and the secrets hold; answers like DynamoDB and Secrets Manager, or 500 while it `fails`."""

    secrets: dict[str, str | list[str]]
    item: dict[str, Any] | None
    others: list[dict[str, Any]] = field(default_factory=list)  # further records of the Directory
    calls: list[str] = field(default_factory=list)
    fails: bool = False

    def answer(self, wire: Wire, request: Request) -> None:
        """Serve one signed call."""
        action = request.headers["x-amz-target"].partition(".")[2]
        self.calls.append(action)
        if self.fails:
            wire.answer(b"{}", "500 Internal Server Error")
        elif action == "GetSecretValue":
            wire.answer(json.dumps({"SecretString": json.dumps(self.secrets)}).encode())
        else:
            assert request.json["ConsistentRead"] is True
            found = [one for one in (self.item, *self.others) if one and one["sk"] == request.json["Key"]["sk"]]
            wire.answer(json.dumps({"Item": found[0]} if found else {}).encode())


def built(environment: Mapping[str, str]) -> Gateway:
    """Make a gateway as in production, but for how long it waits for its store."""
    made = build(environment)
    wait_longer(made.admission)
    return made


def item(**changes: Any) -> dict[str, Any]:
    """A key as the Directory stores it."""
    plain: dict[str, Any] = {
        "pk": "default", "sk": f"key#{KEY}", "hash": "00", "name": "test", "role": "developer", "tier": "pro",
        "created_at": 1, "expires_at": 0, "revoked": False, "last4": "abcd", "version": 1, **changes,
    }  # fmt: skip
    return encoded(plain)


def encoded(plain: dict[str, Any]) -> dict[str, Any]:
    """A record as DynamoDB has it."""
    return {name: _attribute(value) for name, value in plain.items()}


def _attribute(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, list):
        return {"L": [_attribute(member) for member in value]}
    if isinstance(value, dict):
        return {"M": {name: _attribute(member) for name, member in value.items()}}
    return {"S": value}


def chunk(content: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    """One chunk as OpenAI sends it."""
    delta = {} if content is None else {"role": "assistant", "content": content}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    shared = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-2024"}
    return json.dumps({**shared, "choices": choices, **more}).encode()


def usage_chunk() -> bytes:
    """The last chunk of a stream, with usage."""
    return json.dumps({**json.loads(chunk()), "choices": [], "usage": ANSWER["usage"]}).encode()


def well(wire: Wire, request: Request) -> None:
    """Behave: answer what was asked, streamed or whole, and keep the connection."""
    if request.path.endswith("/embeddings"):
        wire.answer(json.dumps(VECTORS).encode())
    elif request.json.get("stream"):
        wire.start_events()
        for data in (chunk("Hi"), chunk(" there"), chunk(finish="stop"), usage_chunk(), b"[DONE]"):
            wire.event(data)
        wire.end_events()
    else:
        wire.answer(json.dumps(ANSWER).encode())
