"""What the log knows is told to a lost store once, in full, and never over what the store knows better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from functions import replaying
from functions.drain import drain
from shared.core import events, journal, limits
from shared.core.journal import Reservation
from shared.core.limits import Standing
from shared.core.shares import Share
from shared.edge.admission import Admission, Ask, Grant
from shared.edge.counters import Counters, Mark
from tests.books.rig import CLOSURE, ORG, Paper, always, settle
from tests.books.till import MODELS, PAYING, SHARED
from tests.fakes.books import DAY, NOON
from tests.fakes.patience import patiently

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from cdk.local.valkey import Valkey
    from shared.edge.ledger import Ledger

HELD = Reservation("r1", ORG, DAY, 900, NOON, "acme-k1", "ann", "red", "a", {"m": 900, "n": 700})
EVERYBODY = [1, 2, 3, 4, 5, 6, 7]
MARK = "5"
CLOSED = Mark(CLOSURE, MARK)


@pytest.fixture
def counters(store: redis.Redis) -> Counters:
    """The store of an organization that is closed."""
    store.set(CLOSURE, MARK)
    return Counters(store)


@pytest.fixture
def admission(store_server: Valkey, store: redis.Redis) -> Iterator[Admission]:
    """The scripts on the store."""
    assert store.ping()
    opened = Admission(patiently(store_server.host, store_server.port))
    yield opened
    opened.drop()


def reserved(store: redis.Redis, scope: str = "team:red") -> dict[str, str]:
    """What the counters of the team say, or of another scope."""
    found: Any = store.hgetall(f"{{{ORG}}}:spend:{scope}")
    return dict(found)


def settled(admission: Admission, cost: int) -> None:
    """Settle the request of HELD, as its gateway does."""
    ask = Ask(ORG, SHARED, "r1", 1, MODELS)
    grant = Grant(Standing(0, 0, 0), Standing(0, 0, 0), 900, budgeted=True, day=DAY, month=DAY[:7])
    shares = [Share(cost, 1, 1, 1, 0, "n")]
    admission.settle(ask, grant, cost, {**PAYING, "outcome": "ok", "prompt": 1, "completion": 1, "models": shares})


def test_a_reservation_is_put_back_once(counters: Counters, store: redis.Redis, admission: Admission) -> None:
    """In every period and for each model its own; its settlement then frees it, and charges what it cost."""
    for _ in range(2):
        assert counters.hold(ORG, CLOSED, HELD, EVERYBODY)
    assert reserved(store) == {f"r:d:{DAY}": "900", f"r:m:{DAY[:7]}": "900", "r:t": "900"}
    assert [reserved(store, f"model:{name}")["r:t"] for name in "mn"] == ["900", "700"]
    settled(admission, 40)
    assert reserved(store) == {f"c:d:{DAY}": "40", f"c:m:{DAY[:7]}": "40", "c:t": "40"}
    assert (reserved(store, "model:m"), reserved(store, "model:n")["c:t"]) == ({}, "40")


def test_an_endpoint_pays_nothing_and_is_in_nobodys_way(
    counters: Counters, store: redis.Redis, ledger: Ledger, admission: Admission
) -> None:
    """The gateway numbers its scopes with that of the endpoint among them: what is put back is numbered the same."""
    ledger.begin(ORG, NOON)
    held = HELD._replace(endpoint="route")
    assert replaying.hold(replaying.Known({}, {"r1": held}, set()), ORG, CLOSED, counters, ledger) == [held]
    place = f"{{{ORG}}}:spend:class:route:acme-k1"
    assert not store.exists(place)
    assert reserved(store, "model:n")["r:t"] == "700"
    ask = Ask(ORG, limits.scopes(ORG, "acme-k1", "ann", "red", "a", endpoint="route"), "r1", 1, MODELS)
    grant = Grant(Standing(0, 0, 0), Standing(0, 0, 0), 900, budgeted=True, day=DAY, month=DAY[:7])
    shares = [Share(40, 1, 1, 1, 0, "n")]
    admission.settle(ask, grant, 40, {**PAYING, "outcome": "ok", "prompt": 1, "completion": 1, "models": shares})
    left = {name for scope in held.scopes for name in reserved(store, scope) if name.startswith("r:")}
    assert left == set()
    assert reserved(store, "model:n")["c:t"] == "40"
    assert "c:t" not in reserved(store, "model:m")


def test_what_is_settled_is_not_reserved_again(counters: Counters, store: redis.Redis, admission: Admission) -> None:
    """Its own gateway was quicker."""
    settled(admission, 40)
    assert counters.hold(ORG, CLOSED, HELD, EVERYBODY)
    assert "r:t" not in reserved(store)
    assert not store.zcard(f"{{{ORG}}}:holds")


def test_nothing_is_put_back_when_the_closure_is_over(counters: Counters, store: redis.Redis) -> None:
    """Or when another has begun: who slept through it may not reserve for good."""
    for mark in ("4", ""):
        assert not counters.hold(ORG, Mark(CLOSURE, mark), HELD, EVERYBODY)
    store.delete(CLOSURE)
    assert not counters.hold(ORG, CLOSED, HELD, EVERYBODY)
    assert reserved(store) == {}


def test_who_was_charged_for_time_that_ran_out_is_not_charged_twice(
    counters: Counters, store: redis.Redis, ledger: Ledger, admission: Admission
) -> None:
    """It was booked before the loss, and settles after it: corrected to what it did cost, in ledger and counters."""
    ledger.begin(ORG, NOON)
    expired: dict[str, Any] = {"outcome": events.EXPIRED, "models": "900 1 0 0 0 m\n700 1 0 0 0 n", "alias": "a"}
    settle(store, request_id="r1", cost=900, day=DAY, **expired)
    drain(ORG, counters, ledger, always)
    assert [ledger.sums(ORG, "model", "t")[name].cost for name in "mn"] == [900, 700]
    store.flushall()
    store.set(CLOSURE, MARK)
    known = replaying.Known({}, {"r1": HELD}, set())
    assert replaying.hold(known, ORG, CLOSED, counters, ledger) == []
    assert reserved(store) == {}
    for scope, cost in (("team:red", 900), ("model:m", 900), ("model:n", 700)):
        store.hset(f"{{{ORG}}}:spend:{scope}", "c:t", cost)
    settled(admission, 40)
    drain(ORG, counters, ledger, always)
    assert [reserved(store, scope)["c:t"] for scope in ("team:red", "model:m", "model:n")] == ["40", "0", "40"]
    assert ledger.sums(ORG, "team", "t")["red"].cost == 40
    found = ledger.sums(ORG, "model", "t")
    assert [(found[name].cost, found[name].requests) for name in "mn"] == [(0, 0), (40, 1)]


def test_the_largest_reservation_and_the_settlement_count(ledger: Ledger) -> None:
    """A request that was tried again holds the sum of both; one that is settled holds nothing."""
    paper = Paper(
        *(journal.reserved(PAYING, "r1", DAY, held=held, models={}, ends=NOON) for held in (100, 300, 200)),
        journal.reserved(PAYING, "r2", DAY, held=100, models={}, ends=NOON),
        journal.used({**PAYING, "event": events.USAGE, "outcome": "ok", "models": ()}, "r2", DAY, 7),
    )
    reading = replaying.Reading(ORG, paper, ["ann"], NOON, 1_000)
    assert reading.go_on(always)
    known = reading.known
    assert {number: held.held for number, held in known.held.items()} == {"r1": 300}
    assert known.settled["r2"].user == "ann"
    assert known.unread == set()
    assert ledger.cursor(ORG) is None


def test_reservations_are_looked_for_as_far_back_as_they_may_live() -> None:
    """Settlements only since the ledger was whole, with room for clocks that differ."""
    asked: dict[str, int] = {}

    class Asked(Paper):
        def lines(self, _org: str, event: str, since: int) -> Iterator[Any]:
            asked[event] = since
            yield from ()

    assert replaying.Reading(ORG, Asked(), [], NOON, 905_000).go_on(always)
    since = NOON - replaying.MARGIN_MS
    assert asked == {events.USAGE: since, events.RESERVED: since - 905_000}
