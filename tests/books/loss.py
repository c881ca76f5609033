"""Books that are kept over a loss of the store, and what they must have come to in the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from functions.overdue import Overdue
from shared.core import periods
from shared.edge.counters import Counters
from shared.edge.ledger import Sum
from tests.books.rig import ORG, Shelf, always, books
from tests.books.till import ANN, LEASE, SCOPES, SPARE, TEAM

if TYPE_CHECKING:
    from collections.abc import Mapping

    import redis

    from functions.books import Books
    from shared.edge.ledger import Ledger
    from tests.books.till import Till

LOG_MS: Final = 40
EARLIER: Final = 3  # requests that were booked before anything happened


def keeper(store: redis.Redis, ledger: Ledger, till: Till, *records: Mapping[str, Any]) -> Books:
    """The books, with all that the function is made of but AWS; `records` are in the directory, too."""
    gate, lease_ms = till.admission, int(LEASE * 1000)
    overdue = Overdue(gate, till.paper, lease_ms, print)
    shelf, hands = Shelf(TEAM, ANN, *records), {"reap": overdue.reap, "replay": gate.replay, "tell": gate.tell}
    made = books(store, ledger, [], directory=shelf, log=till.paper, lease_ms=lease_ms, log_ms=LOG_MS, **hands)
    return made._replace(counters=Counters(store))  # by the day of the scripts, which `till` runs


def reopen(kept: Books) -> None:
    """Keep the books until the organization is open again."""
    while wait := kept.keep(ORG, always):
        time.sleep(wait / 1000)


def close(kept: Books) -> None:
    """Have a loss noticed, and no more."""
    assert kept._replace(log_ms=3_600_000).keep(ORG, always) > 0


def settle_down(kept: Books) -> None:
    """Keep the books until nothing can be under way."""
    reopen(kept)
    time.sleep(LEASE + 0.01)
    kept.keep(ORG, always)


def agreed(kept: Books, store: redis.Redis) -> int:
    """What was spent: the ledger and the counters say the same of every scope and period, and nothing is reserved.

    So does what became of all requests, which never falls. The model that nobody asks is charged only what ran out of
    time.
    """
    said: set[int] = set()
    today = periods.number_of(kept.counters.today())
    days = [periods.periods(periods.day_of(day)) for day in (today - 1, today)]  # midnight may have been in between
    for scope in SCOPES:
        kind, _, name = scope.partition(":")
        found: Any = store.hgetall(f"{{{ORG}}}:spend:{scope}")
        assert {field for field in found if field[0] == "r"} == set()
        for begun, current in zip(*days, strict=True):
            booked = {period: kept.ledger.sums(ORG, kind, period).get(name, Sum()).cost for period in (begun, current)}
            assert int(found.get(f"c:{current}", 0)) == booked[current], (scope, current)
            assert int(found.get(f"c:{begun}", 0)) <= booked[begun], (scope, begun)  # what is over is not rebuilt
            if scope == "model:n":
                assert sum(booked.values()) % SPARE == 0
            else:
                said.add(sum(booked.values()))
    [cost] = said
    served = list(kept.ledger.served_ever(ORG))
    ever = kept.ledger.sums(ORG, "org", periods.TOTAL).get(ORG, Sum())
    assert sum(one.spent.cost for one in served) == ever.cost
    assert sum(one.spent.requests for one in served) == ever.requests
    assert all(one.spent.cost >= 0 <= one.refunded for one in served)
    assert not store.keys(f"{{{ORG}}}:hold*")
    return cost
