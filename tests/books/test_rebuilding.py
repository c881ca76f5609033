"""An organization whose counters are lost stays closed until the ledger has put them back, and then they are right."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from shared.core import events
from tests.books.rig import CLOSURE, OPEN, ORG, USAGE, Shelf, always, books, settle

if TYPE_CHECKING:
    from collections.abc import Mapping

    import redis

    from functions.books import Books
    from shared.edge.ledger import Ledger

SPENT = {scope: f"{{{ORG}}}:spend:{scope}" for scope in ("key:acme-k1", "user:ann", "team:red", "org:acme")}


@pytest.fixture
def said() -> list[Mapping[str, Any]]:
    """What the books said."""
    return []


@pytest.fixture
def kept(store: redis.Redis, ledger: Ledger, said: list[Mapping[str, Any]]) -> Books:
    """The books of an organization that is open, with leases of a fifth of a second."""
    made = books(store, ledger, said, log_ms=200)
    assert made.keep(ORG, always) == 0
    assert store.get(OPEN)
    return made


def reopen(kept: Books) -> None:
    """Keep the books until the organization is open again."""
    while wait := kept.keep(ORG, always):
        time.sleep(wait / 1000)


def spend(kept: Books, count: int = 1, cost: int = 1_000) -> int:
    """Settle as the script does: the stream and the counters of today in one go."""
    store, today = kept.counters._client, kept.counters.today()
    settle(store, count, cost=cost, day=today)
    for key in SPENT.values():
        for period in (f"c:d:{today}", f"c:m:{today[:7]}", "c:t"):
            store.hincrby(key, period, count * cost)
    return count * cost


def committed(store: redis.Redis) -> set[str]:
    """What the counters say was spent, over all scopes and the periods of today."""
    return {str(value) for key in SPENT.values() for name, value in store.hgetall(key).items() if name[0] == "c"}


def test_a_new_organization_is_open_at_once(store: redis.Redis, ledger: Ledger) -> None:
    """Also one that was used before the books were kept for the first time: nobody had a budget yet."""
    settle(store, 3)
    assert books(store, ledger, []).keep(ORG, always) == 0
    assert store.get(OPEN)
    assert ledger.sums(ORG, "org", "t")[ORG].requests == 3


def test_an_open_organization_stays_open(kept: Books, store: redis.Redis, said: list[Any]) -> None:
    """Whether it is used or not."""
    for count in (0, 5, 0):
        settle(store, count)
        assert kept.keep(ORG, always) == 0
    assert store.get(OPEN)
    assert [line["event"] for line in said] == ["books"]


def test_after_a_flush_it_opens_when_all_leases_have_run_out(kept: Books, store: redis.Redis, said: list[Any]) -> None:
    """Not before; then the counters are the ledger's, with what was charged meanwhile."""
    cost = spend(kept, 120)
    kept.keep(ORG, always)
    store.flushall()
    began = time.monotonic()
    wait = kept.keep(ORG, always)
    assert 0 < wait <= 200
    assert not store.get(OPEN)
    cost += spend(kept, 3)  # a request that was under way when it happened
    reopen(kept)
    assert time.monotonic() - began >= 0.2
    assert store.get(OPEN)
    assert not store.get(CLOSURE)
    assert committed(store) == {str(cost)}
    lost = [line for line in said if line["event"] == events.SECURITY]
    assert [line["reason"] for line in lost] == ["store_lost"]


def test_a_store_that_went_back_in_time_is_noticed(kept: Books, store: redis.Redis, ledger: Ledger) -> None:
    """A backup put in its place still says open, but its stream is older than what the ledger has booked."""
    cost = spend(kept, 2)
    kept.keep(ORG, always)
    backup = {key: store.dump(key) for key in store.keys("*")}
    cost += spend(kept, 5)
    kept.keep(ORG, always)
    store.flushall()
    for key, value in backup.items():
        store.restore(key, 0, value)  # type: ignore[arg-type]
    assert committed(store) == {"2000"}
    assert kept.keep(ORG, always) > 0
    assert not store.get(OPEN)
    reopen(kept)
    assert committed(store) == {str(cost)}
    assert ledger.sums(ORG, "org", "t")[ORG].cost == cost


def test_a_second_loss_while_it_is_closed_closes_it_anew(kept: Books, store: redis.Redis) -> None:
    """Who had the books in hand before it may not open on what they knew."""
    cost = spend(kept, 4)
    kept.keep(ORG, always)
    store.flushall()
    kept.keep(ORG, always)
    first = store.get(CLOSURE)
    time.sleep(0.25)
    store.flushall()
    assert kept.keep(ORG, always) > 0
    assert store.get(CLOSURE) != first
    assert not kept.counters.restore(ORG, str(first), "0-0", {})
    reopen(kept)
    assert committed(store) == {str(cost)}


def test_it_does_not_open_on_sums_that_are_no_longer_true(kept: Books, store: redis.Redis) -> None:
    """A charge between the reading of the ledger and the counters would be lost: the script sees it, and refuses."""
    cost = spend(kept, 2)
    kept.keep(ORG, always)
    store.flushall()
    kept.keep(ORG, always)
    mark, old = str(store.get(CLOSURE)), kept.counters.state(ORG).last
    late = spend(kept, 1)
    assert not kept.counters.restore(ORG, mark, old, {"org:acme": {"t": cost}})
    assert not store.get(OPEN)
    assert committed(store) == {str(late)}
    reopen(kept)
    assert committed(store) == {str(cost + late)}


def test_the_policies_are_back_before_it_opens(kept: Books, store: redis.Redis) -> None:
    """Of users, teams, models and the organization; of a key the store hears when it is used."""
    told: dict[str, tuple[int, Mapping[str, Any]]] = {}

    def tell(_org: str, scope: str, version: int, fields: Mapping[str, str | int]) -> bool:
        told[scope] = version, fields
        return True

    shelf = Shelf(
        {"sk": "team#red", "version": 3, "budget": {"daily_nano": 7}},
        {"sk": "user#ann", "version": 1, "role": "viewer", "disabled": True},
        {"sk": "org", "version": 2, "limits": {"requests_per_minute": 5}},
        {"sk": "organization#other", "version": 9},
        {"sk": "key#acme-k1", "version": 4},
    )
    store.flushall()
    kept._replace(directory=shelf, tell=tell).keep(ORG, always)
    assert not store.get(OPEN)
    assert told.keys() == {"team:red", "user:ann", "org:acme"}
    assert told["team:red"][0] == 3
    assert told["team:red"][1]["daily"] == 7
    assert told["user:ann"][1]["state"] == "revoked"
    assert told["org:acme"][1]["rpm"] == 5


def test_what_nobody_settled_is_charged_before_the_stream_is_read(kept: Books, store: redis.Redis) -> None:
    """A charge that the reaping makes is in the ledger in the same minute."""
    left = [2, 1, 0]

    def reap(_org: str, _most: int) -> int:
        done = left.pop(0)
        settle(store, done)
        return done

    kept._replace(reap=reap).keep(ORG, always)
    assert left == []
    assert store.xlen(USAGE) == 0
    assert kept.ledger.sums(ORG, "org", "t")[ORG].requests == 3
