"""The function that issues tokens, over a real Valkey; its users and keys are in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from functions import passwords
from functions.issuing import Issuing
from functions.tokens import Tokens, serve
from shared.core import keys
from shared.edge.attempts import Attempts
from shared.edge.directory import KeyRecord
from shared.edge.signing import SigningKeys
from shared.edge.store import Store
from shared.edge.telemetry import Telemetry
from tests.fakes.patience import patiently
from tests.fakes.tokens import ALICE, NOW, OURS, Gate
from tests.functions.judging import document, undocumented

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdk.local.valkey import Valkey

PASSWORD = "correct horse battery staple"
KEY = keys.mint("default", bytes(range(48)))
RECORD = KeyRecord(
    id=KEY.id,
    org="default",
    hash=keys.digest("pepper", KEY),
    name="a service",
    role="service",
    tier="free",
    created_at=NOW - 10,
    expires_at=0,
    revoked=False,
    last4=KEY.last4,
    version=1,
    limits={},
)


@dataclass
class Reply:
    """An answer as API Gateway gets it."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.text)


@dataclass
class Desk:
    """The function with everything behind it; what it issues is shown to the authorizer of `gate`."""

    store: Store
    gate: Gate = field(default_factory=Gate)
    keys: dict[tuple[str, str], KeyRecord] = field(default_factory=lambda: {("default", KEY.id): RECORD})
    lines: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.users["default", "alice"] = ALICE._replace(password_hash=HASH)
        issuing = Issuing(
            issuer=OURS,
            signing=SigningKeys(self.gate.vault, "signing"),  # type: ignore[arg-type]
            attempts=Attempts(self.store),
            user=lambda *who: self.gate.users.get(who),
            key=lambda *which: self.keys.get(which),
            pepper=lambda: "pepper",
            now=lambda: NOW,
        )
        self.tokens = Tokens(issuing, Telemetry("test", lambda line: self.lines.append(json.loads(line))))

    def send(self, body: str, kind: str, address: str = "192.0.2.1", **headers: str) -> Reply:
        """Ask for a token with any body."""
        event = {
            "httpMethod": "POST",
            "resource": "/auth/token",
            "headers": {"Content-Type": kind, **headers},
            "requestContext": {"identity": {"sourceIp": address}},
            "body": body,
            "isBase64Encoded": False,
        }
        return self.call(event)

    def call(self, event: dict[str, Any]) -> Reply:
        """Have any event answered, as the document says."""
        answer = serve(event, _Context(), self.tokens)
        reply = Reply(answer["statusCode"], answer["headers"], answer["body"])
        path = event["resource"]
        assert undocumented(event["httpMethod"], path, reply.status, reply.json, document()) == []
        return reply

    def ask(self, address: str = "192.0.2.1", **fields: str) -> Reply:
        """Ask for a token with a form."""
        return self.send(urlencode(fields), "application/x-www-form-urlencoded", address)

    def log_in(self, user: str = "alice", password: str = PASSWORD, address: str = "192.0.2.1") -> Reply:
        """Ask for a user's token."""
        return self.ask(address, grant_type="password", username=user, password=password)


class _Context:
    def __init__(self) -> None:
        self.aws_request_id = str(uuid4())


HASH = passwords.hashed(PASSWORD)


@pytest.fixture
def desk(store_server: Valkey) -> Iterator[Desk]:
    """A function that nobody has asked yet."""
    with store_server.client() as client:
        client.flushall()
    store = Store(patiently(store_server.host, store_server.port))
    yield Desk(store)
    store.drop()
