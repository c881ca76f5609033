"""The ledger counts each charge once, and answers questions about days, people and models without a scan."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from shared.edge import booking
from shared.edge.ledger import START, Booked, Cursor, Ledger, Sum
from tests.fakes.books import DAY, NOON, usage

if TYPE_CHECKING:
    from shared.core.events import Usage
    from tests.fakes.books import Tables

ORG = "acme"


def begun(ledger: Ledger) -> Cursor:
    """The cursor of an organization that is new."""
    ledger.begin(ORG, NOON)
    cursor = ledger.cursor(ORG)
    assert cursor is not None
    return cursor


def test_nothing_is_known_of_an_organization_before_it_begins(ledger: Ledger) -> None:
    """It begins once; a second time leaves the cursor where it is."""
    assert ledger.cursor(ORG) is None
    cursor = begun(ledger)
    assert cursor == Cursor(START, purged=DAY, whole=NOON)
    assert ledger.book(ORG, cursor, [usage()], "5-0")
    assert begun(ledger).last == "5-0"


def test_a_charge_is_in_the_sums_of_all_who_pay(ledger: Ledger) -> None:
    """Key, user, team, organization and model, in its day, its month and all of time."""
    assert ledger.book(ORG, begun(ledger), [usage(cost=7, outcome="expired"), usage(cost=-2, seq=2)], "5-0")
    for period in (f"d:{DAY}", "m:2026-11", "t"):
        for kind, name in (
            ("key", "acme-k1"),
            ("user", "ann"),
            ("team", "red"),
            ("org", ORG),
            ("model", "gpt-4o-mini"),
        ):
            assert ledger.sums(ORG, kind, period) == {name: Sum(5, 1, 6, 10, 2)}
    assert ledger.sums("other", "user", "t") == {}


def test_a_charge_that_is_booked_is_not_booked_again(ledger: Ledger) -> None:
    """The whole step is refused, and those that are known can be told from those that are new."""
    charge, other = usage(), usage()
    assert ledger.book(ORG, begun(ledger), [charge], "5-0")
    assert not ledger.book(ORG, begun(ledger), [other, charge], "6-0")
    keys = [booking.charge_key(one.request_id) for one in (other, charge)]
    assert ledger.booked(ORG, keys) == {keys[1]: Booked(charge.cost, "ok", charge.models)}
    assert begun(ledger).last == "5-0"
    assert ledger.sums(ORG, "org", "t")[ORG].requests == 1


def test_of_two_who_read_the_same_events_one_books_them(ledger: Ledger) -> None:
    """The cursor has moved for the other, which books nothing, though its charges may be called otherwise."""
    cursor = begun(ledger)
    assert ledger.book(ORG, cursor, [usage()], "5-0")
    assert not ledger.book(ORG, cursor, [usage()], "5-0")
    assert ledger.sums(ORG, "org", "t")[ORG].requests == 1


def test_sixteen_who_book_at_once_leave_one_booking(ledger: Ledger, tables: Tables) -> None:
    """Whoever wins, the sum is that of one."""
    cursor, charges = begun(ledger), [usage(cost=3)]
    ledgers = [tables.ledger() for _ in range(16)]
    with ThreadPoolExecutor(16) as threads:
        won = list(threads.map(lambda own: own.book(ORG, cursor, charges, "5-0"), ledgers))
    assert won.count(True) == 1
    assert ledger.sums(ORG, "org", "t")[ORG].cost == 3


@pytest.mark.parametrize("distinct", [False, True])
def test_a_step_takes_what_a_transaction_can_hold(ledger: Ledger, distinct: bool) -> None:  # noqa: FBT001 - a case
    """As many charges as fit with all the sums they touch, and not one more."""
    many: list[Usage] = [usage(key=f"acme-{n}" if distinct else "acme-k1", user="", team="") for n in range(200)]
    fitting = booking.fitting(many)
    assert fitting == (22 if distinct else 87)
    assert len(booking.transaction("t", ORG, many[:fitting], "1-0", "2-0")) <= booking.MOST_ITEMS
    assert len(booking.transaction("t", ORG, many[: fitting + 1], "1-0", "2-0")) > booking.MOST_ITEMS
    assert ledger.book(ORG, begun(ledger), many[:fitting], "9-9")
    assert ledger.sums(ORG, "org", "t")[ORG].requests == fitting


def test_days_of_one_kind_are_one_range(ledger: Ledger) -> None:
    """The first and the last day belong to it; other kinds, and ids that look like more, do not disturb it."""
    days = ["2026-10-31", "2026-11-01", "2026-11-02", "2026-12-01"]
    charges = [usage(day=day, user=user, team="", cost=n) for n, day in enumerate(days) for user in ("ann", "a#b$")]
    ledger.begin(ORG, NOON)
    for number, charge in enumerate(charges, 1):
        assert ledger.book(ORG, begun(ledger), [charge], f"{number}-0")
    found = [(day, name, spent.cost) for day, name, spent in ledger.days(ORG, "user", "2026-11-01", "2026-11-02")]
    assert found == [
        ("2026-11-01", "a#b$", 1),
        ("2026-11-01", "ann", 1),
        ("2026-11-02", "a#b$", 2),
        ("2026-11-02", "ann", 2),
    ]


def test_sums_are_looked_up_by_scope(ledger: Ledger) -> None:
    """Also of more scopes than one request to DynamoDB may name, and of those that spent nothing."""
    assert ledger.book(ORG, begun(ledger), [usage(cost=9, models="9 1 0 0 0 a:b")], "5-0")
    wanted = {(f"user:u{n}", "t") for n in range(150)} | {("model:a:b", "m:2026-11")}
    found = ledger.spent(ORG, wanted)
    assert found.keys() == wanted
    assert found[("model:a:b", "m:2026-11")].cost == 9
    assert sum(spent.cost for spent in found.values()) == 9


def test_a_threshold_is_told_by_one(ledger: Ledger) -> None:
    """Each one hears what was told before, for this limit; less than that tells nothing new."""
    said = [ledger.tell(ORG, "user:ann", "t", 100, percent) for percent in (50, 50, 100, 80)]
    assert said == [0, 50, 50, 80]
    assert ledger.tell(ORG, "user:ann", "t", 200, 50) == 0
    assert ledger.tell(ORG, "user:bob", "t", 100, 50) == 0


def test_who_spent_is_due_until_somebody_looked(ledger: Ledger) -> None:
    """A crash between booking and looking forgets nobody."""
    assert ledger.book(ORG, begun(ledger), [usage()], "5-0")
    assert ledger.book(ORG, begun(ledger), [usage(user="bob", team="")], "6-0")
    assert begun(ledger).due == {"key:acme-k1", "user:ann", "user:bob", "team:red", "org:acme", "model:gpt-4o-mini"}
    ledger.looked_at(ORG, frozenset({"user:ann", "key:acme-k1", "team:red", "org:acme", "model:gpt-4o-mini"}))
    assert begun(ledger).due == {"user:bob"}
    ledger.looked_at(ORG, begun(ledger).due)
    assert begun(ledger).due == frozenset()


def test_a_stream_is_read_again_once_for_each_closure(ledger: Ledger) -> None:
    """Two who see the same closure rewind once, and not past what was booked since."""
    assert ledger.book(ORG, begun(ledger), [usage()], "5-0")
    before = begun(ledger)
    assert ledger.rewind(ORG, before, "closure-1")
    assert not ledger.rewind(ORG, before, "closure-1")
    assert begun(ledger)._replace(due=frozenset()) == Cursor(START, closed="closure-1", purged=DAY, whole=NOON)
    assert not ledger.rewind(ORG, begun(ledger), "closure-1")
    assert ledger.rewind(ORG, begun(ledger), "closure-2")


def test_charges_and_days_are_forgotten_after_four_hundred_days(ledger: Ledger, tables: Tables) -> None:
    """Sums of months and of all of time are not."""
    assert ledger.book(ORG, begun(ledger), [usage()], "5-0")
    found = tables.items()
    kept = {item["sk"] for item in found if "expires_at" not in item}
    assert kept >= {"cursor", "sum#user#t#ann", "sum#user#m:2026-11#ann"}
    assert all(name == "cursor" or name.split("#")[2] in {"m:2026-11", "t"} for name in kept)
    assert {item["expires_at"] for item in found if "expires_at" in item} == {(20_778 + 400) * 86_400}
