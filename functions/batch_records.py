"""What is known of files and batches, in DynamoDB: one organization is one partition, newer ids sort behind older ones.

A record goes by itself, some time after the second in its `expires_at`; whoever reads does not see it from then on.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
from boto3.dynamodb.conditions import Attr, ConditionBase, Key
from botocore.config import Config
from botocore.exceptions import ClientError

from functions.registry import guarded, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from types_boto3_dynamodb.service_resource import DynamoDBServiceResource, Table

    from shared.edge.settings import AwsSettings

Item = dict[str, Any]

_LOST = "ConditionalCheckFailedException"
_CONFIG = Config(connect_timeout=1, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 3})


class Query(NamedTuple):
    """Which records of a kind are wanted: of all owners if that is "", with these `fields`, behind the id `after`."""

    kind: str
    owner: str
    limit: int
    after: str = ""
    newest_first: bool = True
    fields: Mapping[str, str] = {}


class Records:
    """The records of all organizations; each method works within one.

    Every method raises StoreUnavailable where the table cannot be reached.
    """

    def __init__(self, table: Table, now: Callable[[], float] = time.time) -> None:
        """`now` is in epoch seconds."""
        self._table = table
        self.now = now

    @classmethod
    def open(cls, table: str, aws: AwsSettings) -> Records:
        """Return the table by its name; nothing is connected to before it is used."""
        resource: DynamoDBServiceResource = boto3.resource(
            "dynamodb", region_name=aws.region, endpoint_url=aws.endpoint_url, config=_CONFIG
        )
        return cls(resource.Table(table))

    def new_id(self, prefix: str) -> str:
        """Make an id: when it was made, and 80 bits that nobody guesses."""
        return f"{prefix}{int(self.now() * 1000):012x}{secrets.token_hex(10)}"

    def get(self, org: str, kind: str, name: str) -> Item | None:
        """Return the record of the id `name`, or None."""
        place = {"pk": org, "sk": f"{kind}#{name}"}
        found = guarded(self._table.get_item, Key=place, ConsistentRead=True).get("Item")
        return plain(found) if found and found["expires_at"] > self.now() else None

    def put(self, org: str, kind: str, item: Item) -> None:
        """Write the record of an id that is new."""
        guarded(self._table.put_item, Item={"pk": org, "sk": f"{kind}#{item['id']}", **item})

    def change(self, org: str, kind: str, name: str, changes: Item, only_if: ConditionBase) -> Item | None:
        """Change a record that is as `only_if` says; returns what it is then, or None where it was not so."""
        names = {f"#{index}": field for index, field in enumerate(changes)}
        values = {f":{index}": value for index, value in enumerate(changes.values())}
        request = {
            "Key": {"pk": org, "sk": f"{kind}#{name}"},
            "UpdateExpression": "SET " + ", ".join(f"#{index} = :{index}" for index in range(len(changes))),
            "ConditionExpression": only_if,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
            "ReturnValues": "ALL_NEW",
        }
        try:
            found: Item = plain(guarded(self._table.update_item, **request)["Attributes"])
        except ClientError as error:
            if error.response["Error"]["Code"] == _LOST:
                return None
            raise
        return found

    def delete(self, org: str, kind: str, name: str) -> None:
        """Remove a record, if it is there."""
        guarded(self._table.delete_item, Key={"pk": org, "sk": f"{kind}#{name}"})

    def page(self, org: str, query: Query) -> tuple[list[Item], bool]:
        """Return the records that are wanted, and whether there are more."""
        wanted: ConditionBase = Attr("expires_at").gt(int(self.now()))
        equal = {**query.fields, **({"owner": query.owner} if query.owner else {})}
        for name, value in equal.items():
            wanted &= Attr(name).eq(value)
        prefix = f"{query.kind}#"
        request: Item = {
            "KeyConditionExpression": Key("pk").eq(org) & Key("sk").begins_with(prefix),
            "FilterExpression": wanted,
            "ScanIndexForward": not query.newest_first,
            "ConsistentRead": True,
        }
        start = {"pk": org, "sk": prefix + query.after} if query.after else None
        items: list[Item] = []
        while len(items) <= query.limit:
            found = guarded(self._table.query, **request, **({"ExclusiveStartKey": start} if start else {}))
            items += found["Items"]
            start = found.get("LastEvaluatedKey")
            if start is None:
                break
        return [plain(item) for item in items[: query.limit]], len(items) > query.limit
