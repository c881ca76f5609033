"""Money survives a flush of the store, wherever it comes: ledger, counters and what was really spent are one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from shared.core.errors import StoreRebuilding
from tests.books.loss import EARLIER, agreed, close, keeper, reopen, settle_down
from tests.books.rig import CLOSURE, OPEN, ORG, Death, DeathError, Paper, always, deaths, mortal
from tests.books.till import BUDGET, COST, STEPS, WORST

if TYPE_CHECKING:
    import redis

    from functions.books import Books
    from shared.core.events import Usage
    from shared.edge.ledger import Ledger
    from tests.books.till import Till


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("rebuilt", [False, True])
@pytest.mark.parametrize("point", STEPS)
def test_a_flush_loses_nothing(
    kept: Books, store: redis.Redis, till: Till, point: str, *, rebuilt: bool, dies: bool
) -> None:
    """After each step of a request that goes on or dies there; the books are rebuilt while it lives, or after it."""

    def meanwhile(step: str) -> None:
        if step != point:
            return
        store.flushall()
        if rebuilt:
            reopen(kept)
        if dies:
            raise DeathError

    before = [till.request() for _ in range(2)]  # settled, and not yet in the ledger
    lived = till.request(meanwhile)
    assert lived is not dies
    settle_down(kept)
    unspoken = {"admitted": 0, "reserved": WORST, "called": WORST}  # nothing was sent, or nobody knows what it cost
    expected = unspoken.get(point, COST) if dies else COST
    assert agreed(kept, store) == (EARLIER + len(before)) * COST + expected


def test_what_was_reserved_before_a_flush_is_never_spent_after_it(kept: Books, store: redis.Redis, till: Till) -> None:
    """With requests under way all the time: the budget holds to the last nano-dollar, and can be spent up to it."""
    served: list[int] = []

    def meanwhile(step: str) -> None:
        if step == "called":
            store.flushall()
            with pytest.raises(StoreRebuilding):
                till.request()
            reopen(kept)
            served.append(till.spend_all())

    till.request(meanwhile)
    spent = (EARLIER + 1 + served[0]) * COST
    assert BUDGET - 2 * WORST < spent <= BUDGET - WORST + COST
    settle_down(kept)
    assert agreed(kept, store) == spent


def test_who_dies_while_draining_or_rebuilding_loses_nothing(kept: Books, store: redis.Redis, till: Till) -> None:
    """At every call of either store, with a flush before it; another keeper takes it up."""
    spent = EARLIER * COST

    def attempt(death: Death) -> None:
        nonlocal spent
        till.request()
        spent += COST
        store.flushall()
        dying = kept._replace(counters=mortal(kept.counters, death), ledger=mortal(kept.ledger, death), log_ms=0)
        dying.keep(ORG, always)

    quick = kept._replace(log_ms=0)
    ways = 0
    for ways in deaths(attempt):  # noqa: B007 - how many there are is told below
        reopen(quick)
        assert agreed(kept, store) == spent
    assert ways > 30


def test_a_flush_in_the_middle_of_a_rebuild_begins_it_anew(kept: Books, store: redis.Redis, till: Till) -> None:
    """Nothing of the first one stays, and what it had replayed into the lost store is replayed again."""
    till.request()
    store.flushall()
    close(kept)
    first = store.get(CLOSURE)

    class Cut(Paper):
        def lines(self, org: str, event: str, since: int) -> Any:
            yield from till.paper.lines(org, event, since)
            if event == "reserved.v1":
                store.flushall()

    assert kept._replace(log=Cut(), log_ms=0).keep(ORG, always)
    assert not store.get(OPEN)
    settle_down(kept)
    assert store.get(CLOSURE) != first
    assert agreed(kept, store) == (EARLIER + 1) * COST


def test_what_was_replayed_into_a_store_that_is_lost_again_is_replayed_again(
    kept: Books, store: redis.Redis, till: Till
) -> None:
    """What one closure has read and told is of no use to the next."""

    def replay(used: Usage) -> bool:
        told = till.admission.replay(used)
        store.flushall()
        return told

    for _ in range(2):
        till.request()
    store.flushall()
    close(kept)
    assert kept._replace(replay=replay, log_ms=0).keep(ORG, always)
    settle_down(kept)
    assert agreed(kept, store) == (EARLIER + 2) * COST


def test_a_user_whom_nobody_knows_keeps_nobody_closed(kept: Books, store: redis.Redis, till: Till) -> None:
    """Booked to the pseudonym; everybody else's sums are exact, and nothing stays reserved."""

    def meanwhile(step: str) -> None:
        if step == "called":
            store.flushall()
            line = till.paper.written[-1]
            till.paper.written[-1] = {**line, "user": "f" * 16}
            reopen(kept)
            till.paper.written[-1] = line

    till.request(meanwhile)
    settle_down(kept)
    assert agreed(kept, store) == (EARLIER + 1) * COST


def test_a_loss_in_the_first_minute_is_one(store: redis.Redis, ledger: Ledger, till: Till, kept: Books) -> None:
    """An organization whose books nobody has kept yet, but whose log shows that something was spent."""
    assert ledger.cursor("other") is None
    young = keeper(store, ledger, till)
    till.paper.written = [{**line, "org": "other", "key": "other-k1"} for line in till.paper.written]
    assert young._replace(log_ms=3_600_000).keep("other", always)
    assert not store.get("{other}:open")
    while wait := young.keep("other", always):
        time.sleep(wait / 1000)
    assert store.get("{other}:open")
    assert store.hget("{other}:spend:team:red", "c:t") == str(EARLIER * COST)
    assert kept.keep(ORG, always) == 0
