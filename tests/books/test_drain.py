"""Usage reaches the ledger once, whoever dies and however many drain."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from functions.drain import Drained, drain
from shared.edge.aws import AwsError
from shared.edge.counters import Counters
from shared.edge.ledger import START, Ledger
from tests.books.rig import ORG, USAGE, Death, always, deaths, mortal, settle
from tests.fakes.books import NOON, fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis

    from shared.core.events import Usage
    from shared.edge.ledger import Cursor, Sum
    from tests.fakes.books import Tables


@pytest.fixture
def counters(store: redis.Redis, ledger: Ledger) -> Counters:
    """The store of an organization that has begun."""
    ledger.begin(ORG, NOON)
    return Counters(store)


def total(ledger: Ledger) -> Sum:
    """What the organization has spent."""
    return ledger.sums(ORG, "org", "t")[ORG]


def test_all_that_is_in_the_stream_is_booked_and_forgotten(
    counters: Counters, store: redis.Redis, ledger: Ledger, tables: Tables
) -> None:
    """More than one step can take; the stream keeps its last id, by which a loss is noticed."""
    cost = settle(store, 250)
    assert drain(ORG, counters, ledger, always) == Drained(booked=250)
    assert (total(ledger).cost, total(ledger).requests) == (cost, 250)
    assert store.xlen(USAGE) == 0
    cursor = ledger.cursor(ORG)
    assert cursor is not None
    assert cursor.last == counters.state(ORG).last
    assert sum(item["sk"].startswith("usage#") for item in tables.items()) == 250
    assert drain(ORG, counters, ledger, always) == Drained()


def test_a_process_that_dies_anywhere_loses_and_doubles_nothing(
    counters: Counters, store: redis.Redis, ledger: Ledger
) -> None:
    """Between any two calls to either store, in several steps; whoever comes next takes up what is left."""
    cost = 0

    def attempt(death: Death) -> None:
        nonlocal cost
        cost += settle(store, 60, key=f"acme-{death.left}") + settle(store, 60, user=f"u{death.left}")
        drain(ORG, mortal(counters, death), mortal(ledger, death), always)

    ways = 0
    for ways in deaths(attempt):  # noqa: B007 - how many there are is told below
        drain(ORG, counters, ledger, always)
        assert (total(ledger).cost, total(ledger).requests) == (cost, cost // 1_000)
        assert store.xlen(USAGE) == 0
    assert ways >= 10
    assert total(ledger).cost == cost


def test_two_who_drain_at_once_book_everything_once(
    counters: Counters, store: redis.Redis, ledger: Ledger, tables: Tables
) -> None:
    """They get into one another's way, and the sums are right, while more keeps coming."""
    cost = settle(store, 300)
    others = [tables.ledger() for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(drain, ORG, counters, own, always) for own in others]
        cost += settle(store, 100)
        done = [each.result() for each in running]
    done.append(drain(ORG, counters, ledger, always))
    assert sum(each.booked for each in done) == 400
    assert (total(ledger).cost, total(ledger).requests) == (cost, 400)
    assert store.xlen(USAGE) == 0


def test_a_request_that_is_settled_twice_is_booked_once(counters: Counters, store: redis.Redis, ledger: Ledger) -> None:
    """In one batch, in a later one, and when the whole stream is read again; its correction counts beside it."""
    settle(store, request_id="r", cost=5)
    settle(store, request_id="r", cost=5)
    settle(store, request_id="r", cost=-2, seq=2)
    assert drain(ORG, counters, ledger, always) == Drained(booked=2, known=1)
    settle(store, request_id="r", cost=5)
    settle(store, request_id="s", cost=7)
    assert drain(ORG, counters, ledger, always) == Drained(booked=1, known=1)
    assert (total(ledger).cost, total(ledger).requests) == (10, 2)


def test_known_and_new_are_told_apart_where_a_step_must_be_cut(
    counters: Counters, store: redis.Redis, ledger: Ledger
) -> None:
    """Charges of many keys fill a step early; what comes after the cut waits, and is not skipped."""
    for number in range(60):
        settle(store, key=f"acme-k{number}", request_id=f"r{number // 2}", seq=1 + number % 2)
        settle(store, key=f"acme-k{number}", request_id=f"r{number // 2}", seq=1)
    assert drain(ORG, counters, ledger, always).booked == 60
    assert total(ledger).requests == 30
    assert store.xlen(USAGE) == 0


def test_what_nobody_can_read_is_set_aside(
    counters: Counters, store: redis.Redis, ledger: Ledger, tables: Tables
) -> None:
    """It stops nothing that comes after it, and is kept for people to look at."""
    broken: Any = fields(cost="a lot")
    event_id = store.xadd(USAGE, broken)
    cost = settle(store)
    assert drain(ORG, counters, ledger, always) == Drained(booked=1, broken=1)
    assert total(ledger).cost == cost
    [kept] = [item for item in tables.items() if item["sk"].startswith("broken#")]
    assert kept["sk"] == f"broken#{event_id!s}"
    assert "a lot" in kept["fields"]


def test_it_ends_when_its_time_is_up(counters: Counters, store: redis.Redis, ledger: Ledger) -> None:
    """Between two steps; what is left stays in the stream."""
    settle(store, 250)
    asked = iter([True, False])
    assert drain(ORG, counters, ledger, lambda: next(asked)).booked == 81
    assert store.xlen(USAGE) == 169


def test_an_organization_without_usage_costs_nothing(counters: Counters, store: redis.Redis, ledger: Ledger) -> None:
    """No stream is made by looking for one."""
    assert drain(ORG, counters, ledger, always) == Drained()
    assert store.exists(USAGE) == 0
    cursor = ledger.cursor(ORG)
    assert cursor is not None
    assert cursor.last == START


def test_a_lost_store_that_takes_a_late_settlement_for_the_first_corrects_it(
    counters: Counters, store: redis.Redis, ledger: Ledger
) -> None:
    """What ran out of time was charged all it held; the ledger remembers that, and charges the difference, once."""
    settle(store, request_id="late", cost=900, outcome="expired")
    drain(ORG, counters, ledger, always)
    for _ in range(2):
        settle(store, request_id="late", cost=40)
        drain(ORG, counters, ledger, always)
        assert (total(ledger).cost, total(ledger).requests) == (40, 1)


class Fussy(Ledger):
    """A ledger that takes no charge of one user, as DynamoDB takes no item that is beyond its measure."""

    def book(self, org: str, cursor: Cursor, charges: Sequence[Usage], last: str) -> bool:
        """Refuse the whole step."""
        if any(charge.user == "poison" for charge in charges):
            raise AwsError("dynamodb", "ValidationException", "no")
        return super().book(org, cursor, charges, last)


def test_a_charge_that_the_ledger_never_takes_stops_nobody(store: redis.Redis, ledger: Ledger, tables: Tables) -> None:
    """It is set aside, for people to look at, and told; all before and behind it are booked."""
    ledger.begin(ORG, NOON)
    fussy = Fussy(tables.aws(), tables.name)
    expected = settle(store, 3)
    for _ in range(2):
        settle(store, 1, user="poison", cost=77)
        expected += settle(store, 4)
    done = drain(ORG, Counters(store), fussy, always)
    assert (done.booked, done.broken) == (11, 2)
    assert store.xlen(USAGE) == 0
    assert ledger.sums(ORG, "team", "t")["red"].cost == expected
    aside = [item for item in tables.items() if item["sk"].startswith("broken#")]
    assert [json.loads(item["fields"])["cost"] for item in aside] == [77, 77]


def test_a_charge_that_seems_not_to_fit_is_tried_alone(
    store: redis.Redis, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step is what DynamoDB takes at once, and a charge cannot be divided."""
    ledger.begin(ORG, NOON)
    monkeypatch.setattr("functions.drain.fitting", lambda charges: 0 if charges[0].user == "large" else len(charges))
    settle(store, 1, user="large")
    settle(store, 2)
    assert drain(ORG, Counters(store), ledger, always).booked == 3


def test_a_cursor_that_is_too_large_is_an_error(store: redis.Redis, ledger: Ledger) -> None:
    """And no race that another has won: nobody would ever hear of it."""

    class Full:
        def write(self, *_request: object) -> None:
            raise AwsError("dynamodb", "TransactionCanceledException", "reasons [ValidationError, None]")

    ledger.begin(ORG, NOON)
    cursor = ledger.cursor(ORG)
    assert cursor is not None
    settle(store)
    with pytest.raises(AwsError):
        Ledger(Full(), "t").book(ORG, cursor, [], "1-1")  # type: ignore[arg-type]
