"""API keys in the Directory, as the control plane writes them: each write is conditional, and counts the version up.

Valkey learns of a write afterwards. A write that it missed is not lost: a new key is read from here on its first
request, and a revoked one is refused by the authorizer within a minute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
from boto3.dynamodb.conditions import Attr, Key
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.core.errors import NotFound, StoreUnavailable
from shared.core.keys import org_of
from shared.edge.directory import KeyRecord, record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from types_boto3_dynamodb.service_resource import Table

    from shared.edge.settings import AwsSettings

_CONFIG = Config(connect_timeout=1, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 3})
_TRIES = 5  # to revoke a key that others are editing
_SERVER_ERROR = 500
_THROTTLED = frozenset({"ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"})
_CONFLICT = "ConditionalCheckFailedException"


class UnknownKey(NotFound):
    """No such key, or not in the caller's organization: the two look the same on purpose."""

    code = "key_not_found"


class KeyExists(Exception):  # noqa: N818 - a state of the table, to be mended and not to be shown
    """There is a key with this id already."""


class Page(NamedTuple):
    """Some keys in the order of their ids, and whether there are more."""

    records: list[KeyRecord]
    more: bool


class KeyTable:
    """The keys of all organizations; each method works within one."""

    def __init__(self, table: Table) -> None:
        self._table = table

    @classmethod
    def open(cls, name: str, aws: AwsSettings) -> KeyTable:
        """Return the table called `name`; nothing is connected to before it is used."""
        resource = boto3.resource("dynamodb", region_name=aws.region, endpoint_url=aws.endpoint_url, config=_CONFIG)
        return cls(resource.Table(name))

    def add(self, new: KeyRecord) -> None:
        """Write a key that was not there.

        Raises:
            KeyExists: it was.
            StoreUnavailable: the Directory cannot be reached.
        """
        if not self._written(self._table.put_item, Item=_item(new), ConditionExpression=Attr("pk").not_exists()):
            raise KeyExists

    def get(self, org: str, key_id: str) -> KeyRecord:
        """Return a key of `org`.

        Raises:
            UnknownKey: there is none.
            StoreUnavailable: the Directory cannot be reached.
        """
        if org_of(key_id) == org:
            found = _guarded(self._table.get_item, Key=_place(org, key_id), ConsistentRead=True).get("Item")
            if found is not None:
                return record(found)
        raise UnknownKey("There is no API key with this id. List the keys to see which there are.")

    def page(self, org: str, limit: int, after: str | None) -> Page:
        """Return at most `limit` keys of `org`, those behind the id `after` in the order of ids.

        Raises:
            StoreUnavailable: the Directory cannot be reached.
        """
        start = {"ExclusiveStartKey": _place(org, after)} if after else {}
        found = _guarded(
            self._table.query,
            KeyConditionExpression=Key("pk").eq(org) & Key("sk").begins_with("key#"),
            Limit=limit + 1,
            ConsistentRead=True,
            **start,
        )["Items"]
        return Page([record(item) for item in found[:limit]], len(found) > limit)

    def revoke(self, org: str, key_id: str) -> KeyRecord:
        """Revoke a key for good, and return it; one that was revoked before stays as it was.

        Raises:
            UnknownKey: there is none.
            StoreUnavailable: the Directory cannot be reached, or others do not stop editing the key.
        """
        for _ in range(_TRIES):
            known = self.get(org, key_id)
            if known.revoked:
                return known
            revoked = known._replace(revoked=True, version=known.version + 1)
            if self._replaced(known, revoked):
                return revoked
        raise StoreUnavailable("Others are editing this key. Please try again.", retry_after=1)

    def _replaced(self, known: KeyRecord, new: KeyRecord) -> bool:
        return self._written(
            self._table.update_item,
            Key=_place(known.org, known.id),
            UpdateExpression="SET revoked = :revoked, version = :version",
            ConditionExpression=Attr("version").eq(known.version),
            ExpressionAttributeValues={":revoked": new.revoked, ":version": new.version},
        )

    def _written(self, write: Callable[..., Any], **request: Any) -> bool:  # noqa: ANN401 - boto3's
        """Make a conditional write; returns whether the condition held."""
        try:
            _guarded(write, **request)
        except ClientError as error:
            if error.response["Error"]["Code"] == _CONFLICT:
                return False
            raise
        return True


def _guarded(call: Callable[..., Any], **request: Any) -> Any:  # noqa: ANN401 - boto3's
    """Make a call; what may pass is a `StoreUnavailable`, what will not stays botocore's own error."""
    try:
        return call(**request)
    except (BotoCoreError, ClientError) as error:
        if not _passing(error):
            raise
        raise StoreUnavailable(
            "The directory of keys cannot be reached now. Please try again.", retry_after=1
        ) from error


def _passing(error: Exception) -> bool:
    if not isinstance(error, ClientError):
        return True
    status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    return status >= _SERVER_ERROR or error.response["Error"]["Code"] in _THROTTLED


def _place(org: str, key_id: str) -> dict[str, str]:
    return {"pk": org, "sk": f"key#{key_id}"}


def _item(new: KeyRecord) -> Mapping[str, Any]:
    """Render a record as it is stored: names for the primary key, and nothing that is empty."""
    fields = {name: value for name, value in new._asdict().items() if name not in {"id", "org"} and value is not None}
    plain = {"limits": dict(new.limits), "models": list(new.models), "budget": dict(new.budget)}
    return {**_place(new.org, new.id), **fields, **plain}
