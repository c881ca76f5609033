"""The books with the real scripts: what admission reserves and charges is what the ledger holds in the end."""

from __future__ import annotations

import contextlib
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from shared.core import periods
from shared.core.errors import BudgetExhausted, StoreRebuilding
from shared.core.policies import policy
from shared.core.pricing import Worst
from shared.core.shares import Share
from shared.edge.admission import Admission, Ask, Bound, Unprojected
from tests.books.rig import OPEN, ORG, Shelf, always, books, settle
from tests.fakes.patience import patiently

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import redis

    from cdk.local.valkey import Valkey
    from functions.books import Books
    from shared.edge.ledger import Ledger
    from tests.fakes.books import Tables

BUDGET = 50_000  # nano-dollars of the team
WORST = 1_000
SCOPES = ("key:acme-k1", "team:red", "org:acme")
MODELS = (Bound("m", Worst(WORST, 0, 0)),)
TEAM = {"sk": "team#red", "version": 1, "budget": {"total_nano": BUDGET}}
USAGE: Mapping[str, Any] = {
    "key": "acme-k1",
    "team": "red",
    "outcome": "ok",
    "prompt": 1,
    "completion": 2,
}


class Team:
    """Requests of one team, all of which cost something below their worst; a hundredth of them end without a word."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._chance = random.Random(7)
        self.cost = 0

    def request(self, number: int, lease: float = 0.05) -> bool:
        """Make a request; returns False where nobody settled it. Where the store knows nothing, it is told first."""
        ask = Ask(ORG, SCOPES, f"r{number}-{time.monotonic_ns()}", lease, MODELS)
        try:
            grant = self._admission.admit(ask)
        except Unprojected as unknown:
            for scope in unknown.scopes:
                self._admission.tell(ORG, scope, 1, policy(TEAM if scope == "team:red" else {}))
            grant = self._admission.admit(ask)
        if self._chance.random() < 0.1:
            self.cost += WORST
            return False
        cost = self._chance.randrange(1, WORST + 1)
        self._admission.settle(ask, grant, cost, {**USAGE, "models": [Share(cost, 1, 1, 2, 0, "m")]})
        self.cost += cost
        return True

    def spend_all(self) -> None:
        """Go on until one is refused."""
        for number in range(1_000):
            self.request(number)


@pytest.fixture
def admission(store_server: Valkey, store: redis.Redis) -> Iterator[Admission]:
    """The scripts on the store."""
    assert store.ping()
    opened = Admission(patiently(store_server.host, store_server.port))
    yield opened
    opened.drop()


@pytest.fixture
def kept(store: redis.Redis, ledger: Ledger, admission: Admission) -> Books:
    """The books of an open organization; a lease is a tenth of a second at most."""
    shelf: Any = Shelf(TEAM)
    made = books(store, ledger, [], log_ms=100, lease_ms=100, reap=admission.reap, tell=admission.tell, directory=shelf)
    made.keep(ORG, always)
    return made


def team_spent(store: redis.Redis) -> dict[str, int]:
    """What the team's counters say of all of time."""
    found: Any = store.hgetall(f"{{{ORG}}}:spend:team:red")
    return {name: int(value) for name, value in found.items() if name.endswith(":t")}


def test_ledger_and_counters_are_what_was_spent(
    kept: Books, store: redis.Redis, ledger: Ledger, admission: Admission
) -> None:
    """To the nano-dollar, also of requests that ended without a word: they cost what they held."""
    team = Team(admission)
    for number in range(40):
        team.request(number)
    time.sleep(0.06)
    kept.keep(ORG, always)
    assert team_spent(store) == {"c:t": team.cost}
    for kind, name in (scope.split(":") for scope in SCOPES):
        assert ledger.sums(ORG, kind, "t")[name].cost == team.cost
        assert ledger.sums(ORG, kind, "t")[name].requests == 40


def test_a_budget_holds_over_a_flush(kept: Books, store: redis.Redis, ledger: Ledger, admission: Admission) -> None:
    """Spent until it is used up, with all counters lost in the middle: closed at once, and never a nano too much."""
    team = Team(admission)
    for number in range(25):
        team.request(number)
    time.sleep(0.06)
    kept.keep(ORG, always)
    store.flushall()
    with pytest.raises(StoreRebuilding):
        team.request(100)
    while wait := kept.keep(ORG, always):
        with pytest.raises(StoreRebuilding):
            team.request(101)
        time.sleep(wait / 1000)
    assert team_spent(store) == {"c:t": team.cost}
    with pytest.raises(BudgetExhausted):
        team.spend_all()
    time.sleep(0.06)
    kept.keep(ORG, always)
    assert ledger.sums(ORG, "team", "t")["red"].cost == team.cost
    assert BUDGET - WORST < team.cost <= BUDGET
    assert team_spent(store) == {"c:t": team.cost}


def test_a_request_that_is_settled_after_it_was_charged_is_corrected(
    kept: Books, store: redis.Redis, ledger: Ledger, admission: Admission
) -> None:
    """Its lease ran out, the whole reservation was booked, and then it turned out what it cost."""
    Team(admission).request(0)
    before = ledger_cost(kept, ledger)
    ask = Ask(ORG, SCOPES, "late", 0.02, MODELS)
    grant = admission.admit(ask)
    time.sleep(0.03)
    kept.keep(ORG, always)
    assert ledger_cost(kept, ledger) == before + WORST
    admission.settle(ask, grant, 300, {**USAGE, "models": [Share(300, 1, 1, 2, 0, "m")]})
    assert ledger_cost(kept, ledger) == before + 300
    assert team_spent(store)["c:t"] == before + 300
    assert ledger.sums(ORG, "team", "t")["red"].requests == ledger.sums(ORG, "model", "t")["m"].requests == 2
    assert ledger.sums(ORG, "model", "t")["m"].cost == before + 300


def ledger_cost(kept: Books, ledger: Ledger) -> int:
    """What the team has spent, after the books were kept."""
    kept.keep(ORG, always)
    return ledger.sums(ORG, "team", "t")["red"].cost


def test_two_who_keep_the_books_at_once_agree(kept: Books, store: redis.Redis, ledger: Ledger, tables: Tables) -> None:
    """Also while they rebuild: it opens once, and the sums are right."""
    cost = settle(store, 150, team="red", cost=10)
    others = [kept._replace(ledger=tables.ledger(), reap=lambda _org, _most: 0) for _ in range(3)]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda own: own.keep(ORG, always), others))
        store.flushall()
        cost += settle(store, 50, team="red", cost=10)
        stop = time.monotonic() + 10

        def until_open(own: Books) -> None:
            while own.keep(ORG, always) and time.monotonic() < stop:
                time.sleep(0.01)

        quiet = [own._replace(tell=lambda _org, _scope, _version, _fields: True) for own in others]
        list(threads.map(until_open, quiet))
    assert store.get(OPEN)
    assert ledger.sums(ORG, "team", "t")["red"].cost == cost
    assert ledger.sums(ORG, "team", "t")["red"].requests == 200


def test_counters_of_periods_that_are_over_are_removed(kept: Books, store: redis.Redis, ledger: Ledger) -> None:
    """Yesterday's stay, for its last requests may be on their way; months go when they are over; totals never."""
    today = periods.number_of(kept.counters.today())
    days = [periods.day_of(today - age) for age in (0, 1, 2, 40)]
    settle(store, team="", user="", model="", day=days[0])
    for day in days[1:]:
        settle(store, team="", user="", model="", day=day)
    key = f"{{{ORG}}}:spend:org:{ORG}"
    for day in days:
        for period in periods.periods(day):
            store.hincrby(key, f"c:{period}", 1_000)
    kept.keep(ORG, always)
    assert {f"c:{periods.daily(day)}" for day in days} <= set(fields_of(store, key))
    ledger.purged(ORG, periods.day_of(today - 60))
    kept.keep(ORG, always)
    kept.keep(ORG, always)
    assert set(fields_of(store, key)) == {
        f"c:{periods.daily(days[0])}",
        f"c:{periods.daily(days[1])}",
        *(f"c:{periods.monthly(day)}" for day in days[:3] if periods.monthly(day) not in gone(today)),
        "c:t",
    }
    cursor = ledger.cursor(ORG)
    assert cursor is not None
    assert cursor.purged == days[2]


def fields_of(store: redis.Redis, key: str) -> list[str]:
    """Names of a hash's fields."""
    found: Any = store.hkeys(key)
    return list(found)


def gone(today: int) -> set[str]:
    """Months whose last day is not kept any more."""
    kept = {periods.monthly(periods.day_of(today - age)) for age in (-1, 0, 1)}
    return {periods.monthly(periods.day_of(today - age)) for age in range(2, 61)} - kept


def test_time_that_is_up_ends_it_between_two_steps(kept: Books, store: redis.Redis) -> None:
    """What was not done is done the next time."""
    settle(store, 300)
    chances: Callable[[], bool] = iter([True] + [True] + [False] * 9).__next__
    kept.keep(ORG, chances)
    with contextlib.suppress(StopIteration):
        kept.keep(ORG, always)
    assert kept.ledger.sums(ORG, "org", "t")[ORG].requests == 300
