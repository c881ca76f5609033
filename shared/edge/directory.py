"""The Directory: which API keys exist. DynamoDB holds the truth; Valkey and the functions' memory only repeat it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from shared.core import keys
from shared.core.enrolment import Enrolment
from shared.core.principals import Principal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shared.edge.aws import Aws

FIRST_ORG: Final = "default"  # whose administrators run the deployment


class BrokenRecordError(Exception):
    """An item of the table does not have the shape that we write."""


class KeyRecord(NamedTuple):
    """One API key as stored; times are epoch seconds, `hash` is the keyed digest of the whole key in hex.

    `limits` holds only what differs from the preset of the tier; `models` is empty for all of them. `budget` is in
    whole nano-dollars by `daily_nano`, `monthly_nano`, `total_nano`. After a rotation the digest before it,
    `previous_hash`, opens the key too until `previous_until`. A blocked key is shut until `blocked_until`. `enrolment`
    is its own API Gateway key, if it has one.
    """

    id: str
    org: str
    hash: str
    name: str
    role: str
    tier: str
    created_at: int
    expires_at: int
    revoked: bool
    last4: str
    version: int
    limits: Mapping[str, int]
    models: tuple[str, ...] = ()
    team: str | None = None
    user: str | None = None
    budget: Mapping[str, int] = MappingProxyType({})
    blocked_until: int = 0
    previous_hash: str | None = None
    previous_until: int = 0
    enrolment: Enrolment | None = None

    def hashes(self, now: float) -> tuple[str, ...]:
        """Return the digests that open the key at `now`, in epoch seconds."""
        if self.previous_hash and now < self.previous_until:
            return (self.hash, self.previous_hash)
        return (self.hash,)

    def opened_by(self, secret: str, now: float) -> bool:
        """Tell whether the secret of this mark opens the key at `now`; "" is one of which nothing is known."""
        return not secret or secret in map(keys.mark, self.hashes(now))

    def principal(self, secret: str) -> Principal:
        """Return whom the key stands for, where it was opened by the secret whose digest begins so."""
        return Principal(
            key_id=self.id,
            org=self.org,
            role=self.role,
            tier=self.tier,
            models=self.models,
            expires_at=self.expires_at,
            user=self.user or "",
            team=self.team or "",
            secret=secret,
        )


class Directory:
    """Reads records by the table's primary key."""

    def __init__(self, aws: Aws, table: str) -> None:
        self._aws = aws
        self._table = table

    def key(self, org: str, key_id: str, *, consistent: bool = False) -> KeyRecord | None:
        """Return the record, or None if there is none; `consistent` sees every write that was answered before.

        Raises:
            AwsError: DynamoDB refuses or cannot be reached.
            BrokenRecordError: the item is not one of ours.
        """
        found = self.item(org, f"key#{key_id}", consistent=consistent)
        return None if found is None else record(found)

    def item(self, org: str, name: str, *, consistent: bool = False, buried: bool = False) -> dict[str, Any] | None:
        """Return what is stored under a sort key, such as `team#blue`, or None.

        What was deleted is not there, unless `buried` asks for what is left of it: `deleted` and its version.

        Raises:
            AwsError: DynamoDB refuses or cannot be reached.
            BrokenRecordError: it holds what we never write.
        """
        place = {"pk": {"S": org}, "sk": {"S": name}}
        request = {"TableName": self._table, "Key": place, "ConsistentRead": consistent}
        stored = self._aws.read("GetItem", request).get("Item")
        found = None if stored is None else {field: decode(value) for field, value in stored.items()}
        return None if found is None or (found.get("deleted") and not buried) else found

    def all(self, org: str, prefix: str = "") -> Iterator[dict[str, Any]]:
        """Yield what is stored under the sort keys that begin with `prefix`, also what was deleted.

        Raises:
            AwsError: DynamoDB refuses or cannot be reached.
            BrokenRecordError: one holds what we never write.
        """
        values = {":org": {"S": org}, **({":prefix": {"S": prefix}} if prefix else {})}
        condition = "pk = :org AND begins_with(sk, :prefix)" if prefix else "pk = :org"
        request: dict[str, Any] = {"TableName": self._table, "KeyConditionExpression": condition}
        request |= {"ExpressionAttributeValues": values, "ConsistentRead": True}
        while True:
            answer = self._aws.read("Query", request)
            for stored in answer["Items"]:
                yield {field: decode(value) for field, value in stored.items()}
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def record(item: Mapping[str, Any]) -> KeyRecord:
    """Return the plain values of an item as a record.

    Raises:
        BrokenRecordError: one is missing.
    """
    try:
        return KeyRecord(
            id=item["sk"].removeprefix("key#"),
            org=item["pk"],
            hash=item["hash"],
            name=item["name"],
            role=item["role"],
            tier=item["tier"],
            created_at=int(item["created_at"]),
            expires_at=int(item["expires_at"]),
            revoked=item["revoked"],
            last4=item["last4"],
            version=int(item["version"]),
            limits={name: int(value) for name, value in item.get("limits", {}).items()},
            models=tuple(item.get("models", ())),
            team=item.get("team"),
            user=item.get("user"),
            budget={name: int(value) for name, value in item.get("budget", {}).items()},
            blocked_until=int(item.get("blocked_until", 0)),
            previous_hash=item.get("previous_hash"),
            previous_until=int(item.get("previous_until", 0)),
            enrolment=Enrolment.of(item),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BrokenRecordError(f"An API key in the directory cannot be read: {error!r}") from error


def decode(attribute: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever was stored
    """Unwrap one value of DynamoDB's JSON; numbers are whole, for we store no others.

    Raises:
        BrokenRecordError: it is of a type that we do not store.
    """
    [(kind, value)] = attribute.items()
    match kind:
        case "S" | "BOOL":
            return value
        case "N":
            return int(value)
        case "NULL":
            return None
        case "L":
            return [decode(element) for element in value]
        case "M":
            return {name: decode(element) for name, element in value.items()}
        case _:
            raise BrokenRecordError(f"The directory holds a value of type {kind}, which is never written to it.")
