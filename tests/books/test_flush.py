"""Money survives a flush of the store, wherever it comes: ledger, counters and what was really spent are one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from functions.overdue import Overdue
from shared.core import periods
from shared.core.errors import StoreRebuilding
from shared.edge.admission import Admission, connect
from shared.edge.aws import AwsError
from tests.books.rig import CLOSURE, OPEN, ORG, Death, DeathError, Paper, Shelf, always, books, deaths, mortal
from tests.books.till import ANN, BUDGET, COST, LEASE, SCOPES, STEPS, TEAM, WORST, Till

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from cdk.local.valkey import Valkey
    from functions.books import Books
    from shared.core.events import Usage
    from shared.edge.ledger import Ledger

LOG_MS = 40
EARLIER = 3  # requests that were booked before anything happened


@pytest.fixture
def till(_valkey: Valkey, store: redis.Redis) -> Iterator[Till]:
    """A gateway on an empty store, and its log."""
    assert store.ping()
    connection = connect(_valkey.host, _valkey.port)
    connection.socket_timeout = 5.0  # nobody waits here, and a busy machine is no outage
    admission = Admission(connection)
    yield Till(admission, Paper())
    admission.drop()


def keeper(store: redis.Redis, ledger: Ledger, till: Till) -> Books:
    """The books, with all that the function is made of but AWS."""
    gate, lease_ms = till.admission, int(LEASE * 1000)
    overdue = Overdue(gate, till.paper, lease_ms, print, lambda: 0)
    shelf, hands = Shelf(TEAM, ANN), {"reap": overdue.reap, "replay": gate.replay, "tell": gate.tell}
    return books(store, ledger, [], directory=shelf, log=till.paper, lease_ms=lease_ms, log_ms=LOG_MS, **hands)


@pytest.fixture
def kept(store: redis.Redis, ledger: Ledger, till: Till) -> Books:
    """The books of an open organization, with some requests in the ledger."""
    made = keeper(store, ledger, till)
    made.keep(ORG, always)
    for _ in range(EARLIER):
        till.request()
    made.keep(ORG, always)
    return made


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
    """What was spent: the ledger and the counters say the same of every scope and period, and nothing is reserved."""
    said: set[int] = set()
    today = kept.counters.today()
    for scope in SCOPES:
        kind, _, name = scope.partition(":")
        found: Any = store.hgetall(f"{{{ORG}}}:spend:{scope}")
        assert {field for field in found if field[0] == "r"} == set()
        for period in periods.periods(today):
            said |= {int(found[f"c:{period}"]), kept.ledger.sums(ORG, kind, period)[name].cost}
    [cost] = said
    assert not store.keys(f"{{{ORG}}}:hold*")
    return cost


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


def test_what_never_reached_the_store_is_charged_as_it_was_settled(kept: Books, store: redis.Redis, till: Till) -> None:
    """Its process died between log and store, or the store did not answer: no flush, and no more than it cost."""

    def meanwhile(step: str) -> None:
        if step == "noted":
            raise DeathError

    assert not till.request(meanwhile)
    settle_down(kept)
    assert agreed(kept, store) == (EARLIER + 1) * COST


def test_a_line_that_comes_late_is_found_when_time_has_run_out(kept: Books, store: redis.Redis, till: Till) -> None:
    """The store was flushed, and the log did not show yet that the request was settled: it is held, and then found."""
    till.request()
    line = till.paper.written.pop()
    store.flushall()
    reopen(kept)
    assert int(str(store.hget(f"{{{ORG}}}:spend:team:red", "r:t"))) == WORST
    till.paper.written.append(line)
    settle_down(kept)
    assert agreed(kept, store) == (EARLIER + 1) * COST


def test_a_log_that_cannot_be_read_stops_nobody(kept: Books, store: redis.Redis, till: Till) -> None:
    """What has run out of time is charged all that it had reserved, which is never too little."""

    class Burnt(Paper):
        def settled(self, *_anything: object) -> Any:
            raise AwsError("logs", "ServiceUnavailable", "burnt")

    said: list[Any] = []
    overdue = Overdue(till.admission, Burnt(), int(LEASE * 1000), said.append, lambda: 0)

    def meanwhile(step: str) -> None:
        if step == "noted":
            raise DeathError

    till.request(meanwhile)
    settle_down(kept._replace(reap=overdue.reap))
    assert agreed(kept, store) == EARLIER * COST + WORST
    assert [line["event"] for line in said] == ["log_unread"]


def test_it_opens_when_the_log_shows_what_was_written(kept: Books, store: redis.Redis, till: Till) -> None:
    """Not before, and not so late as the lease of a request under way: what that has reserved is reserved again."""
    seen: list[int] = []

    def meanwhile(step: str) -> None:
        if step == "called":
            store.flushall()
            began = time.monotonic()
            reopen(kept)
            seen.append(round((time.monotonic() - began) * 1000))
            assert int(str(store.hget(f"{{{ORG}}}:spend:team:red", "r:t"))) == WORST

    till.request(meanwhile, lease=600)
    assert LOG_MS <= seen[0] < 60_000
    settle_down(kept)
    assert agreed(kept, store) == (EARLIER + 1) * COST


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


def test_a_log_too_long_for_one_minute_is_read_on_in_the_next(kept: Books, store: redis.Redis, till: Till) -> None:
    """However little time there is: each start goes on where the one before had to end."""

    def meanwhile(step: str) -> None:
        if step == "called":
            raise DeathError

    for _ in range(3):
        till.request()
        till.request(meanwhile)
    store.flushall()
    close(kept)
    starts = 0
    while not store.get(OPEN):
        left = iter([True] * 6)
        kept._replace(log_ms=0).keep(ORG, lambda: next(left, False))  # noqa: B023 - used up within the turn
        starts += 1
        assert starts < 60
    assert starts > 2
    settle_down(kept)
    assert agreed(kept, store) == (EARLIER + 3) * COST + 3 * WORST


def test_a_log_that_breaks_off_is_read_anew(kept: Books, store: redis.Redis, till: Till) -> None:
    """Nothing is taken for read that was not."""

    class Torn(Paper):
        def lines(self, org: str, event: str, since: int) -> Any:
            for line in till.paper.lines(org, event, since):
                yield line
                raise AwsError("logs", "ServiceUnavailable", "torn")

    for _ in range(2):
        till.request()
    store.flushall()
    close(kept)
    with pytest.raises(AwsError):
        kept._replace(log=Torn(), log_ms=0).keep(ORG, always)
    assert not store.get(OPEN)
    settle_down(kept)
    assert agreed(kept, store) == (EARLIER + 2) * COST


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
