"""One step of the ledger as DynamoDB takes it: the charges, the sums they belong to, and how far the stream was read.

All of it is one transaction. A charge is put where none is, so that it counts once, whoever books it however often.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from shared.core import durations, periods, shares
from shared.core.events import EXPIRED, FIRST, is_error
from shared.edge import items

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from shared.core.events import Usage
    from shared.core.shares import Share

KEPT_DAYS: Final = 400  # for charges and the sums of single days; those of months stay
MOST_ITEMS: Final = 100  # of one transaction
SERVED: Final = "served"  # a kind of sum
BUCKET: Final = "b"  # begins the field that counts the durations of a bucket


class Sum(NamedTuple):
    """What was spent: nano-dollars, requests and tokens; and how many of the requests failed."""

    cost: int = 0
    requests: int = 0
    prompt: int = 0
    completion: int = 0
    cached: int = 0
    errors: int = 0

    def plus(self, other: Sum) -> Sum:
        """Return both together."""
        return Sum(*map(sum, zip(self, other, strict=True)))


class Served(NamedTuple):
    """What became of some requests, each of which counts here once: nano-dollars, milliseconds.

    Attributes:
        model: Was asked last, at `provider`; both are "" where nobody was asked.
        spent: By whole requests, so that those of all models are what the organization spent.
        refunded: What corrections took back, which is not in the cost any more.
        ms: How long the requests took together whose durations `buckets` count: all that were settled in time.
    """

    outcome: str
    provider: str
    model: str
    spent: Sum = Sum()
    refunded: int = 0
    ms: int = 0
    buckets: Mapping[int, int] = {}


class Total(NamedTuple):
    """Which sum: of one key, user, team, organization, model or alias in one period, or of what was `Served`."""

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


def totals(charge: Usage) -> Iterator[tuple[Total, dict[str, int]]]:
    """Yield the sums that a charge belongs to, with what it adds to each: to those of a model, what that model took."""
    added = [(kind, name, spent) for kind, name, spent in _parts(charge) if any(spent.values())]
    return ((Total(kind, name, period), spent) for period in periods.periods(charge.day) for kind, name, spent in added)


def _parts(charge: Usage) -> Iterator[tuple[str, str, dict[str, int]]]:
    first, failed = charge.seq == FIRST, is_error(charge.outcome)
    own = Sum(charge.cost, int(first), charge.prompt, charge.completion, charge.cached, failed - (not first))
    yield from ((kind, name, own._asdict()) for kind, name in charge.scopes)
    yield from (("model", share.model, _of_model(share, charge)._asdict()) for share in charge.models)
    yield from ((SERVED, name, spent) for name, spent in _served(charge, own))


def _of_model(share: Share, charge: Usage) -> Sum:
    """Return what a charge adds to the sum of a model; it failed where another model was asked after it.

    A correction is of a request that counts as a failure of all its models until then.
    """
    asked = share.requests if charge.seq == FIRST else int(share.requests <= 0) + share.requests
    failed = asked if is_error(charge.outcome) or share.model != charge.served else 0
    return Sum(*share[:-1], failed - (asked - share.requests))


def _served(charge: Usage, own: Sum) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield what a charge adds to the sums of what was served.

    A correction moves the money from where nobody knew who has it; a request stays where it was counted once.
    """
    name, unknown = f"{charge.outcome}#{charge.provider}#{charge.served}", f"{EXPIRED}##"
    if charge.seq != FIRST:
        yield name, own._replace(cost=charge.cost + charge.held, errors=0)._asdict()
        yield unknown, {"cost": -charge.held, "refunded": charge.held}
        return
    timed = {} if charge.outcome == EXPIRED else {"ms": charge.ms, f"{BUCKET}{durations.bucket(charge.ms)}": 1}
    yield name, {**own._asdict(), **timed}


def served(name: str, found: Mapping[str, Any]) -> Served:
    """Read a sum of the kind `SERVED`, of this name, as it is stored."""
    outcome, provider, model = name.split("#", 2)
    spent = Sum(*(found.get(field, 0) for field in Sum._fields))
    buckets = {int(field[1:]): count for field, count in found.items() if field[0] == BUCKET and field[1:].isdigit()}
    return Served(outcome, provider, model, spent, found.get("refunded", 0), found.get("ms", 0), buckets)


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
    due = frozenset(f"{total.kind}:{total.name}" for total in sums if total.kind != SERVED)
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


def _sums(charges: Iterable[Usage]) -> dict[Total, Counter[str]]:
    found: dict[Total, Counter[str]] = {}
    for charge in charges:
        for total, spent in totals(charge):
            found.setdefault(total, Counter()).update(spent)
    return found


def _addition(table: str, org: str, total: Total, spent: Mapping[str, int]) -> dict[str, Any]:
    added = {name: value for name, value in spent.items() if value or name == "cost"}
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
