"""The ledger: what every request cost, and the sums of it, in DynamoDB. Valkey only counts; this is the truth.

One organization is one partition: charges `usage#<request id>#<seq>`, sums `sum#<kind>#<period>#<id>`, thresholds that
were told `told#<scope>#<period>`, events that nobody can read `broken#<stream id>`, and `cursor`, how far the stream
has been booked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from shared.core import periods, shares
from shared.edge import items
from shared.edge.aws import AwsError
from shared.edge.booking import SERVED, Sum, Total, place, served, transaction

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from shared.core.events import Usage
    from shared.core.shares import Share
    from shared.edge.aws import Aws
    from shared.edge.booking import Served

__all__ = ["START", "Booked", "Cursor", "Ledger", "Sum"]

START: Final = "0-0"  # before the first event of any stream
_MOST_KEYS: Final = 100  # of one BatchGetItem
INVALID: Final = "ValidationException"  # code of an AwsError: this will never be taken
_CANCELED: Final = "TransactionCanceledException"
_TOO_LARGE: Final = "ValidationError"  # among the reasons of a transaction that was cancelled
_CONFLICT: Final = "ConditionalCheckFailedException"


class Booked(NamedTuple):
    """A charge as it is in the ledger: nano-dollars, what became of the request, and what its models took."""

    cost: int
    outcome: str
    models: tuple[Share, ...] = ()


class Cursor(NamedTuple):
    """How far a stream has been booked.

    Attributes:
        last: Id of the last event that is in the ledger.
        closed: Marks the last closure for which the stream is read again from its start; "" for none.
        purged: The last day whose counters were removed from the store.
        due: Scopes that have spent since anybody looked whether a threshold is reached.
        whole: All that was settled before this time (epoch ms, the store's clock) is in the ledger.
    """

    last: str
    closed: str = ""
    purged: str = ""
    due: frozenset[str] = frozenset()
    whole: int = 0


class Ledger:
    """Reads and writes it, each method within one organization.

    Every method raises AwsError where DynamoDB refuses or cannot be reached; whether a write took place is then not
    known. Each may be made again: those that add are bound to the cursor.
    """

    def __init__(self, aws: Aws, table: str) -> None:
        self._aws = aws
        self._table = table

    def cursor(self, org: str) -> Cursor | None:
        """Return the cursor as it is now, or None for an organization that nothing was booked for."""
        request = {"TableName": self._table, "Key": place(org, "cursor"), "ConsistentRead": True}
        item = self._aws.read("GetItem", request).get("Item")
        if item is None:
            return None
        found = items.decoded(item)
        return Cursor(
            found["last"],
            found.get("closed", ""),
            found.get("purged", ""),
            found.get("due", frozenset()),
            found.get("whole", 0),
        )

    def begin(self, org: str, now: int) -> Cursor:
        """Make the cursor of an organization that is new at `now`, in epoch ms; one that is there stays."""
        cursor = Cursor(START, purged=periods.day_at(now), whole=now)
        new = items.encoded({"last": cursor.last, "purged": cursor.purged, "whole": now})
        request = {
            "TableName": self._table,
            "Item": {**place(org, "cursor"), **new},
            "ConditionExpression": "attribute_not_exists(pk)",
        }
        return cursor if self._conditionally("PutItem", request) is not None else self.cursor(org) or cursor

    def rewind(self, org: str, cursor: Cursor, closed: str) -> bool:
        """Have the stream read again from its start, once for the closure that `closed` marks; says whether it was."""
        condition = "#last = :last AND (attribute_not_exists(closed) OR closed <> :closed)"
        values = {":start": START, ":closed": closed, ":last": cursor.last}
        return self._changed(org, "SET #last = :start, closed = :closed", values, condition, {"#last": "last"})

    def book(self, org: str, cursor: Cursor, charges: Sequence[Usage], last: str) -> bool:
        """Book `charges` and move the cursor to `last`, in one step that happens wholly or not at all.

        `booking.fitting` says how many one step can take. Returns False, with nothing booked, where another has moved
        the cursor or booked one of them meanwhile: then look again. Raises an AwsError of the code INVALID for what
        can never be booked.
        """
        try:
            steps = transaction(self._table, org, charges, cursor.last, last)
            self._aws.write("TransactWriteItems", {"TransactItems": steps})
        except AwsError as error:
            if error.code == _CANCELED and _TOO_LARGE not in str(error):
                return False
            raise
        return True

    def booked(self, org: str, keys: Collection[str]) -> dict[str, Booked]:
        """Return those charges that are booked among those with these `charge_key`s."""
        found = self._got(org, sorted(set(keys)))
        return {
            item["sk"]: Booked(item["cost"], item.get("outcome", ""), shares.read(item.get("models", "")))
            for item in found
        }

    def set_aside(self, org: str, event_id: str, fields: str) -> None:
        """Keep an event that cannot be read, for people to look at."""
        item = {**place(org, f"broken#{event_id}"), **items.encoded({"fields": fields})}
        self._aws.write("PutItem", {"TableName": self._table, "Item": item})

    def sums(self, org: str, kind: str, period: str) -> dict[str, Sum]:
        """Return what each one of a kind (key, user, team, org, model, alias) spent in a period, by its id."""
        start = Total(kind, "", period).sort
        found = self._query(org, "begins_with(sk, :from)", {":from": start})
        return {item["sk"].removeprefix(start): _sum(item) for item in found}

    def days(self, org: str, kind: str, first: str, last: str) -> Iterator[tuple[str, str, Sum]]:
        """Yield day, id and sum of each one of a kind that spent something from the day `first` to the day `last`."""
        return ((day, name, _sum(item)) for day, name, item in self._days(org, kind, first, last))

    def served(self, org: str, first: str, last: str) -> Iterator[Served]:
        """Yield what became of the requests of each day from `first` to `last`: by outcome, provider and model."""
        return (served(name, item) for _, name, item in self._days(org, SERVED, first, last))

    def served_ever(self, org: str) -> Iterator[Served]:
        """Yield what became of all requests that there ever were; but for its cost, none of its numbers falls."""
        start = Total(SERVED, "", periods.TOTAL).sort
        found = self._query(org, "begins_with(sk, :from)", {":from": start})
        return (served(item["sk"].removeprefix(start), item) for item in found)

    def _days(self, org: str, kind: str, first: str, last: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        after = f"sum#{kind}#{periods.daily(last)}$"  # the sign that comes after #
        ends = {":from": Total(kind, "", periods.daily(first)).sort, ":to": after}
        for item in self._query(org, "sk BETWEEN :from AND :to", ends):
            _, _, period, name = item["sk"].split("#", 3)
            yield period.removeprefix("d:"), name, item

    def spent(self, org: str, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], Sum]:
        """Return the sums of `wanted`, pairs of scope (`user:ann`) and period, also where nothing was spent."""
        places = {_sort(scope, period): (scope, period) for scope, period in wanted}
        found = dict.fromkeys(places.values(), Sum())
        return found | {places[item["sk"]]: _sum(item) for item in self._got(org, sorted(places))}

    def tell(self, org: str, scope: str, period: str, limit: int, percent: int) -> int:
        """Note that `percent` of a budget of `limit` are known to be spent; return what was noted before.

        Of two who note the same at once the second gets `percent`, so that each threshold is told by one.
        """
        request = {
            "TableName": self._table,
            "Key": place(org, f"told#{scope}#{period}"),
            "UpdateExpression": "SET #percent = :percent, #limit = :limit",
            "ConditionExpression": "attribute_not_exists(pk) OR #percent < :percent OR #limit <> :limit",
            "ExpressionAttributeNames": {"#percent": "percent", "#limit": "limit"},
            "ExpressionAttributeValues": items.encoded({":percent": percent, ":limit": limit}),
            "ReturnValues": "ALL_OLD",
        }
        answer = self._conditionally("UpdateItem", request)
        if answer is None:
            return percent
        before = items.decoded(answer.get("Attributes") or {})
        return int(before["percent"]) if before.get("limit") == limit else 0

    def looked_at(self, org: str, scopes: frozenset[str]) -> None:
        """Note that somebody has looked whether `scopes` have reached a threshold."""
        if scopes:
            self._changed(org, "DELETE due :due", {":due": scopes})

    def made_whole(self, org: str, until: int) -> None:
        """Note that all that was settled before `until`, in epoch ms, is booked."""
        self._changed(org, "SET whole = :until", {":until": until})

    def purged(self, org: str, day: str) -> None:
        """Note that the store's counters of all days up to `day` are gone."""
        self._changed(org, "SET purged = :day", {":day": day})

    def _changed(
        self,
        org: str,
        update: str,
        values: Mapping[str, Any],
        condition: str = "attribute_exists(pk)",
        names: Mapping[str, str] | None = None,
    ) -> bool:
        """Change the cursor; says whether the condition held."""
        request: dict[str, Any] = {
            "TableName": self._table,
            "Key": place(org, "cursor"),
            "UpdateExpression": update,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": items.encoded(values),
            **({"ExpressionAttributeNames": names} if names else {}),
        }
        return self._conditionally("UpdateItem", request) is not None

    def _conditionally(self, action: str, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """Make a conditional write; None where the condition does not hold."""
        try:
            return self._aws.write(action, request)
        except AwsError as error:
            if error.code == _CONFLICT:
                return None
            raise

    def _got(self, org: str, sorts: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the items that exist among those with the sort keys `sorts`."""
        for start in range(0, len(sorts), _MOST_KEYS):
            left: list[Any] = [place(org, sort) for sort in sorts[start : start + _MOST_KEYS]]
            while left:
                request = {"RequestItems": {self._table: {"Keys": left, "ConsistentRead": True}}}
                answer = self._aws.read("BatchGetItem", request)
                yield from map(items.decoded, answer["Responses"].get(self._table, []))
                left = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])

    def _query(self, org: str, condition: str, values: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        request: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": f"pk = :org AND {condition}",
            "ExpressionAttributeValues": items.encoded({":org": org, **values}),
            "ConsistentRead": True,
        }
        while True:
            answer = self._aws.read("Query", request)
            yield from map(items.decoded, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _sort(scope: str, period: str) -> str:
    kind, _, name = scope.partition(":")
    return Total(kind, name, period).sort


def _sum(item: Mapping[str, Any]) -> Sum:
    return Sum(*(item.get(name, 0) for name in Sum._fields))
