"""Half, four fifths and all of a budget are told once each, to whom it concerns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from functions import thresholds
from functions.drain import drain
from shared.core import events, periods
from shared.edge.aws import AwsError
from shared.edge.counters import Counters
from shared.edge.ledger import Ledger
from tests.books.rig import ORG, Death, DeathError, OneDay, always, books, mortal, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import redis

    from shared.core.events import Usage
    from shared.edge.ledger import Cursor

    Spend = Callable[[int], list[tuple[str, str, int]]]


@pytest.fixture
def counters(store: redis.Redis) -> OneDay:
    """The store, on one day."""
    return OneDay(store)


@pytest.fixture
def spend(store: redis.Redis, counters: OneDay, ledger: Ledger) -> Spend:
    """Spend so much today; return what is told of it: scope, period and percent."""
    today = counters.today()
    ledger.begin(ORG, counters.now())

    def spent(cost: int) -> list[tuple[str, str, int]]:
        said: list[Mapping[str, Any]] = []
        settle(store, cost=cost, day=today)
        drain(ORG, counters, ledger, always)
        thresholds.look(ORG, counters, ledger, said.append)
        assert all(line["event"] == events.BUDGET for line in said)
        return [(line["scope"], line["period"], line["threshold"]) for line in said]

    return spent


def budget(store: redis.Redis, scope: str, **limits: int) -> None:
    """Give a scope budgets, in nano-dollars."""
    budgets: Any = {name: limits.get(name, "") for name in ("daily", "monthly", "total")}
    store.hset(f"{{{ORG}}}:policy:{scope}", mapping=budgets)


def store_month(store: redis.Redis) -> str:
    """Return this month by the store's clock."""
    return periods.monthly(Counters(store).today())


def test_each_threshold_is_told_once(store: redis.Redis, spend: Spend) -> None:
    """When it is reached, not before; several at once where one request passes them."""
    budget(store, "team:red", total=1_000)
    assert spend(499) == []
    assert spend(1) == [("team:red", "t", 50)]
    assert spend(299) == []
    assert spend(201) == [("team:red", "t", 80), ("team:red", "t", 100)]
    assert spend(500) == []


def test_every_scope_and_period_has_its_own(store: redis.Redis, counters: OneDay, spend: Spend) -> None:
    """A user's id may be a person's name: it is told hashed."""
    today = counters.today()
    budget(store, "org:acme", daily=100, monthly=200)
    budget(store, "user:ann", daily=100)
    told = spend(100)
    assert ("org:acme", periods.daily(today), 100) in told
    assert ("org:acme", periods.monthly(today), 50) in told
    users = {scope for scope, _, _ in told if scope.startswith("user:")}
    assert len(users) == 1
    assert "user:ann" not in users
    assert len(told) == 7


def test_a_new_limit_is_told_anew(store: redis.Redis, spend: Spend) -> None:
    """What half of a budget is has changed with the budget."""
    budget(store, "team:red", total=1_000)
    assert spend(900) == [("team:red", "t", 50), ("team:red", "t", 80)]
    budget(store, "team:red", total=2_000)
    assert spend(100) == [("team:red", "t", 50)]


def test_who_is_made_anew_is_told_anew(store: redis.Redis, spend: Spend) -> None:
    """What others spent under the id is no part of a total; the same budget is another one."""
    budget(store, "team:red", total=1_000, monthly=10_000)
    assert spend(1_000) == [("team:red", "t", 50), ("team:red", "t", 80), ("team:red", "t", 100)]
    store.hset(f"{{{ORG}}}:policy:team:red", "before", 1_000)
    assert spend(499) == []
    assert spend(1) == [("team:red", "t", 50)]
    assert {*spend(3_500)} == {("team:red", store_month(store), 50), ("team:red", "t", 80), ("team:red", "t", 100)}


def test_without_a_budget_nothing_is_told(store: redis.Redis, spend: Spend) -> None:
    """Nor of one of nothing, of which there is no half."""
    budget(store, "team:red", total=0)
    assert spend(10**12) == []


def test_a_threshold_is_not_forgotten_by_a_process_that_dies(store: redis.Redis, ledger: Ledger) -> None:
    """After its usage is booked and before anybody looked: whoever looks next tells it."""
    counters, said = OneDay(store), list[Any]()
    today = counters.today()
    ledger.begin(ORG, counters.now())
    budget(store, "team:red", total=1_000)
    settle(store, cost=1_000, day=today)
    drain(ORG, counters, ledger, always)
    with pytest.raises(DeathError):
        thresholds.look(ORG, mortal(counters, Death(0)), ledger, said.append)
    assert said == []
    thresholds.look(ORG, counters, ledger, said.append)
    assert [line["threshold"] for line in said] == [50, 80, 100]
    cursor = ledger.cursor(ORG)
    assert cursor is not None
    assert cursor.due == frozenset()


def test_the_cursor_never_holds_more_than_fits(
    store: redis.Redis, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many have spent since it was looked: what must be looked at is looked at before it is too much."""
    monkeypatch.setattr("functions.books.STEPS", 1)
    looked: list[int] = []

    class Watched(Ledger):
        def looked_at(self, org: str, scopes: frozenset[str]) -> None:
            looked.append(len(scopes))
            super().looked_at(org, scopes)

    kept = books(store, Watched(ledger._aws, ledger._table), [])
    kept.keep(ORG, always)
    for number in range(90):
        settle(store, user=f"user-{number}")
    kept.keep(ORG, always)
    assert sum(looked) >= 90
    assert max(looked) < 50


def test_an_alias_is_told_by_the_name_that_its_budget_was_set_by(store: redis.Redis, ledger: Ledger) -> None:
    """It is limited like a model, and counted for itself."""
    counters, said = OneDay(store), list[Any]()
    ledger.begin(ORG, counters.now())
    budget(store, "model:any", total=1_000)
    settle(store, cost=600, day=counters.today(), alias="any")
    drain(ORG, counters, ledger, always)
    thresholds.look(ORG, counters, ledger, said.append)
    assert [(line["scope"], line["threshold"], line["spent"]) for line in said] == [("model:any", 50, 600)]


def test_a_cursor_that_is_full_is_emptied(store: redis.Redis, ledger: Ledger) -> None:
    """Though nothing can be booked because of it: the next time everything is."""

    class Full(Ledger):
        def book(self, org: str, cursor: Cursor, charges: Sequence[Usage], last: str) -> bool:
            if len(cursor.due) > 1:
                raise AwsError("dynamodb", "TransactionCanceledException", "reasons [ValidationError, None]")
            return super().book(org, cursor, charges, last)

    kept = books(store, Full(ledger._aws, ledger._table), [])
    kept.keep(ORG, always)
    counters = Counters(store)
    settle(store)
    drain(ORG, counters, ledger, always)
    settle(store)
    with pytest.raises(AwsError):
        kept.keep(ORG, always)
    kept.keep(ORG, always)
    assert ledger.sums(ORG, "org", "t")[ORG].requests == 2
