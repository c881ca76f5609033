"""The control plane's records: each has a version, and each change is written together with its line in the audit log.

One transaction holds both, so that there is no change without a line and no line without a change. Valkey learns of a
change afterwards. What is deleted leaves a tombstone without content, so that versions never run backwards.
"""

from __future__ import annotations

import secrets
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
from boto3.dynamodb.conditions import Attr, Key
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.core.errors import BadRequest, NotFound, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from types_boto3_dynamodb.service_resource import DynamoDBServiceResource, Table

    from shared.edge.settings import AwsSettings

Item = dict[str, Any]

_CONFIG = Config(connect_timeout=1, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 3})
_TRIES = 5  # to edit what others are editing
_SERVER_ERROR = 500
_THROTTLED = frozenset({"ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"})
_LOST_RACES = frozenset({"ConditionalCheckFailed", "TransactionConflict"})


class Unknown(NotFound):
    """No such record, or not in the caller's organization: the two look the same on purpose."""

    def __init__(self, kind: str, hint: str = "List what there is to see the ids.") -> None:
        """`kind` is what the sort key of such a record begins with; `hint` says how to find one that is known."""
        what = {"key": "API key", "org": "organization"}.get(kind, kind)
        super().__init__(f"There is no {what} with this id. {hint}")
        self.code = f"{what.rpartition(' ')[2]}_not_found"


class Exists(BadRequest):
    """There is a record with this id already."""

    status = 409
    code = "already_exists"
    should_retry = False  # an SDK tries a 409 again


class Stale(BadRequest):
    """The record is no longer the version that the caller read."""

    status = 412
    code = "version_conflict"


class Change(NamedTuple):
    """A line of the audit log: who did what to which record. `before` and `after` hold nothing secret or personal.

    It stands in the log of the organization whose record it is, or in those of `concerned`.
    """

    who: str
    action: str
    target: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    concerned: frozenset[str] = frozenset()


class Page(NamedTuple):
    """Some records in the order of their sort keys, and whether there are more."""

    items: list[Item]
    more: bool


class Registry:
    """The records of all organizations; each method works within one. `now` is in epoch seconds."""

    def __init__(
        self,
        directory: Table,
        audit: Table,
        now: Callable[[], float] = time.time,
        mark: Callable[[], str] = lambda: secrets.token_hex(6),
    ) -> None:
        """`mark` tells lines of the audit log of the same microsecond apart."""
        self._directory = directory
        self._audit = audit
        self._now = now
        self._mark = mark

    @classmethod
    def open(cls, directory: str, audit: str, aws: AwsSettings) -> Registry:
        """Return the tables by their names; nothing is connected to before it is used."""
        resource: DynamoDBServiceResource = boto3.resource(
            "dynamodb", region_name=aws.region, endpoint_url=aws.endpoint_url, config=_CONFIG
        )
        return cls(resource.Table(directory), resource.Table(audit))

    @classmethod
    def reading(cls, directory: str, aws: AwsSettings) -> Registry:
        """Return one for a function that may change nothing, and so has no log to write that in."""
        return cls.open(directory, directory, aws)

    def find(self, org: str, name: str) -> Item | None:
        """Return the record under the sort key `name`, tombstones too, or None.

        Raises:
            StoreUnavailable: the Directory cannot be reached.
        """
        found = guarded(self._directory.get_item, Key={"pk": org, "sk": name}, ConsistentRead=True).get("Item")
        return None if found is None else plain(found)

    def get(self, org: str, name: str) -> Item:
        """Return the record under the sort key `name`.

        Raises:
            Unknown: there is none.
            StoreUnavailable: the Directory cannot be reached.
        """
        found = self.find(org, name)
        if found is None or found.get("deleted"):
            raise Unknown(name.partition("#")[0])
        return found

    def buried(self, org: str, name: str) -> list[tuple[Item | None, Item]]:
        """Return what to write in the place of a record so that nothing of it is left; nothing where there is none.

        Raises:
            StoreUnavailable: the Directory cannot be reached.
        """
        found = self.find(org, name)
        return [(found, {"pk": org, "sk": name, "deleted": True})] if found else []

    def page(self, org: str, prefix: str, limit: int, after: str | None) -> Page:
        """Return at most `limit` records whose sort keys begin with `prefix`, those behind `after` (without it).

        Raises:
            StoreUnavailable: the Directory cannot be reached.
        """
        start: Item | None = None if after is None else {"pk": org, "sk": prefix + after}
        items: list[Item] = []
        while len(items) <= limit:
            found = guarded(
                self._directory.query,
                KeyConditionExpression=Key("pk").eq(org) & Key("sk").begins_with(prefix),
                FilterExpression=Attr("deleted").not_exists(),
                Limit=limit + 1,
                ConsistentRead=True,
                **({} if start is None else {"ExclusiveStartKey": start}),
            )
            items += found["Items"]
            start = found.get("LastEvaluatedKey")
            if start is None:
                break
        return Page([plain(item) for item in items[:limit]], len(items) > limit)

    def add(self, new: Item, change: Change, *others: tuple[Item | None, Item]) -> Item:
        """Write a record that was not there, or was deleted; returns it stamped.

        `others` are records written in the same transaction, each with what it takes the place of.

        Raises:
            Exists: it was there, or one of the others is not as it was read.
            StoreUnavailable: the Directory cannot be reached.
        """
        old = self.find(new["pk"], new["sk"])
        if old is None or old.get("deleted"):
            stamped = self._stamped(old, new)
            pairs = [(before, self._stamped(before, after)) for before, after in others]
            if self._written([(old, stamped), *pairs], change):
                return stamped
        raise Exists("There is something with this id already. Choose another id, or edit what is there.")

    def edit(
        self,
        org: str,
        name: str,
        edit: Callable[[Item], Item],
        tell: Callable[[Item | None, Item], Change],
        *,
        version: int | None = None,
        fresh: Item | None = None,
        others: Callable[[Item], list[tuple[Item | None, Item]]] = lambda _: [],
    ) -> Item:
        """Replace a record by what `edit` makes of it, on top of whatever others wrote before; returns it stamped.

        An edit that changes nothing writes nothing. `tell` gets the record before and after. `fresh` stands for a
        record that is not there. `others` are written in the same transaction, each with what it takes the place of.

        Raises:
            Unknown: there is none, and no `fresh` one.
            Stale: its version is not `version`.
            StoreUnavailable: the Directory cannot be reached, or others do not stop editing the record.
        """
        for _ in range(_TRIES):
            old = self.find(org, name) if fresh else self.get(org, name)
            known = old if old is not None and not (fresh and old.get("deleted")) else fresh or {}
            current = known.get("version", 0)
            if version is not None and current != version:
                raise Stale(f"This is version {current} now. Read it again, and repeat the edit on top of it.")
            wanted = edit(dict(known))
            if wanted == known:
                return known
            stamped = self._stamped(old, wanted)
            pairs = [(before, self._stamped(before, after)) for before, after in others(stamped)]
            if self._written([(old, stamped), *pairs], tell(old, stamped)):
                return stamped
        raise StoreUnavailable("Others are editing this. Please try again.", retry_after=1)

    def lines(self, org: str, limit: int, before: str | None) -> Page:
        """Return at most `limit` lines of the audit log, the newest first; those older than the line `before`.

        Raises:
            StoreUnavailable: the log cannot be reached.
        """
        start = {} if before is None else {"ExclusiveStartKey": {"pk": org, "sk": before}}
        wanted: Item = {"KeyConditionExpression": Key("pk").eq(org), "ScanIndexForward": False, "Limit": limit + 1}
        found = guarded(self._audit.query, ConsistentRead=True, **wanted, **start)
        cut = "LastEvaluatedKey" in found  # after a megabyte, or after one more than were asked for
        return Page([plain(item) for item in found["Items"][:limit]], cut or len(found["Items"]) > limit)

    def _stamped(self, old: Item | None, new: Item) -> Item:
        return {**new, "version": old["version"] + 1 if old else 1, "updated_at": int(self._now())}

    def _written(self, pairs: list[tuple[Item | None, Item]], change: Change) -> bool:
        """Write records in the place of others, and the line; returns False where one was no longer as it was read."""
        writes: list[Any] = [{"Put": _put(self._directory.name, old, new)} for old, new in pairs]
        logs = change.concerned or {pairs[0][1]["pk"]}
        writes += [{"Put": _put(self._audit.name, None, self._line(org, change))} for org in sorted(logs)]
        try:
            guarded(self._directory.meta.client.transact_write_items, TransactItems=writes)
        except ClientError as error:
            reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
            if reasons & _LOST_RACES:
                return False
            raise
        return True

    def _line(self, org: str, change: Change) -> Item:
        micro = int(self._now() * 1_000_000)
        told = {name: value for name, value in change._asdict().items() if name != "concerned"}
        return {"pk": org, "sk": f"{micro:017d}#{self._mark()}", "at": micro, **told}


def _put(table: str, old: Item | None, new: Item) -> Item:
    put: Item = {"TableName": table, "Item": {name: value for name, value in new.items() if value is not None}}
    if old is None:
        return {**put, "ConditionExpression": "attribute_not_exists(pk)"}
    values, enrolled = {":version": old["version"]}, "attribute_not_exists(enrolment)"
    if "enrolment" in old:  # another function writes that, which is no edit and has no version
        values[":enrolment"], enrolled = old["enrolment"], "enrolment = :enrolment"
    return {
        **put,
        "ConditionExpression": f"version = :version AND {enrolled}",
        "ExpressionAttributeValues": values,
    }


def guarded(call: Callable[..., Any], **request: Any) -> Any:  # noqa: ANN401 - boto3's
    """Make a call of boto3; what may pass is a `StoreUnavailable`, what will not stays botocore's own error."""
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


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever was stored
    """Turn boto3's decimals into the whole numbers that they are."""
    if isinstance(value, dict):
        return {name: plain(element) for name, element in value.items()}
    if isinstance(value, list):
        return [plain(element) for element in value]
    return int(value) if isinstance(value, Decimal) else value
