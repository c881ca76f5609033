"""One step of the ledger as DynamoDB takes it: the charges, the sums they belong to, and how far the stream was read.

All of it is one transaction. A charge is put where none is, so that it counts once, whoever books it however often.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from shared.core import periods, shares
from shared.core.events import FIRST
from shared.edge import items

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from shared.core.events import Usage

KEPT_DAYS: Final = 400  # for charges and the sums of single days; those of months stay
MOST_ITEMS: Final = 100  # of one transaction


class Sum(NamedTuple):
    """What was spent: nano-dollars, requests and tokens."""

    cost: int = 0
    requests: int = 0
    prompt: int = 0
    completion: int = 0
    cached: int = 0

    def plus(self, other: Sum) -> Sum:
        """Return both together."""
        return Sum(*map(sum, zip(self, other, strict=True)))


class Total(NamedTuple):
    """Which sum: of one key, user, team, organization, model or alias in one period."""

    kind: str
    name: str
    period: str

    @property
    def sort(self) -> str:
        """Its sort key: the period before the name, so that one day of all names is one range."""
        return f"sum#{self.kind}#{self.period}#{self.name}"


def place(org: str, sort: str) -> dict[str, Any]:
    """Return a primary key."""
    return items.encoded({"pk": org, "sk": sort})


def charge_key(request_id: str, seq: int = FIRST) -> str:
    """Return the sort key of a charge."""
    return f"usage#{request_id}#{seq}"


def totals(charge: Usage) -> Iterator[tuple[Total, Sum]]:
    """Yield the sums that a charge belongs to, with what it adds to each: to those of a model, what that model took."""
    added = [(kind, name, spent) for kind, name, spent in _parts(charge) if any(spent)]
    return ((Total(kind, name, period), spent) for period in periods.periods(charge.day) for kind, name, spent in added)


def _parts(charge: Usage) -> Iterator[tuple[str, str, Sum]]:
    own = Sum(charge.cost, int(charge.seq == FIRST), charge.prompt, charge.completion, charge.cached)
    yield from ((kind, name, own) for kind, name in charge.scopes)
    yield from (("model", share.model, Sum(*share[:-1])) for share in charge.models)


def fitting(charges: Sequence[Usage]) -> int:
    """Return how many of `charges`, from the first, one transaction can take."""
    touched: set[Total] = set()
    for number, charge in enumerate(charges):
        touched.update(total for total, _ in totals(charge))
        if 1 + (number + 1) + len(touched) > MOST_ITEMS:
            return number
    return len(charges)


def transaction(table: str, org: str, charges: Sequence[Usage], before: str, last: str) -> list[dict[str, Any]]:
    """Return the items that move the cursor of `org` from `before` to `last` and book all between."""
    sums = _sums(charges)
    due = frozenset(f"{total.kind}:{total.name}" for total in sums)
    return [
        _step(table, org, before, last, due),
        *(_row(table, charge) for charge in charges),
        *(_addition(table, org, total, spent) for total, spent in sums.items()),
    ]


def _step(table: str, org: str, before: str, last: str, due: frozenset[str]) -> dict[str, Any]:
    values = {":last": last, ":before": before, **({":due": due} if due else {})}
    return {
        "Update": {
            "TableName": table,
            "Key": place(org, "cursor"),
            "UpdateExpression": "SET #last = :last" + (" ADD due :due" if due else ""),
            "ConditionExpression": "#last = :before",
            "ExpressionAttributeNames": {"#last": "last"},
            "ExpressionAttributeValues": items.encoded(values),
        }
    }


def _row(table: str, charge: Usage) -> dict[str, Any]:
    known = charge._asdict() | {"models": shares.written(charge.models)}
    fields = {name: value for name, value in known.items() if value not in ("", 0) and name != "org"}
    item = items.encoded({**fields, "cost": charge.cost, "expires_at": _expiry(charge.day)})
    return {
        "Put": {
            "TableName": table,
            "Item": {**item, **place(charge.org, charge_key(charge.request_id, charge.seq))},
            "ConditionExpression": "attribute_not_exists(pk)",
        }
    }


def _sums(charges: Iterable[Usage]) -> dict[Total, Sum]:
    found: dict[Total, Sum] = {}
    for charge in charges:
        for total, spent in totals(charge):
            found[total] = found.get(total, Sum()).plus(spent)
    return found


def _addition(table: str, org: str, total: Total, spent: Sum) -> dict[str, Any]:
    added = {name: value for name, value in spent._asdict().items() if value or name == "cost"}
    values = {f":{name}": value for name, value in added.items()}
    update = "ADD " + ", ".join(f"{name} :{name}" for name in added)
    kind, _, day = total.period.partition(":")
    if kind == "d":
        update += " SET expires_at = :expires_at"
        values[":expires_at"] = _expiry(day)
    return {
        "Update": {
            "TableName": table,
            "Key": place(org, total.sort),
            "UpdateExpression": update,
            "ExpressionAttributeValues": items.encoded(values),
        }
    }


def _expiry(day: str) -> int:
    return (periods.number_of(day) + KEPT_DAYS) * periods.DAY_SECONDS
