"""The log knows what the store did not hear or has forgotten, however late it shows it, however long it is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from functions.overdue import Overdue
from shared.edge.aws import AwsError
from tests.books.loss import EARLIER, agreed, close, reopen, settle_down
from tests.books.rig import OPEN, ORG, DeathError, Paper, always
from tests.books.till import COST, LEASE, WORST

if TYPE_CHECKING:
    from collections.abc import Collection

    import redis

    from functions.books import Books
    from shared.core.events import Usage
    from tests.books.till import Till


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
    overdue = Overdue(till.admission, Burnt(), int(LEASE * 1000), said.append)

    def meanwhile(step: str) -> None:
        if step == "noted":
            raise DeathError

    till.request(meanwhile)
    settle_down(kept._replace(reap=overdue.reap))
    assert agreed(kept, store) == EARLIER * COST + WORST
    assert [line["event"] for line in said] == ["log_unread"]


def test_it_is_searched_as_far_back_as_its_request_began(kept: Books, store: redis.Redis, till: Till) -> None:
    """However long nobody has kept the books: what it cost is found, and not all that it had reserved charged."""
    asked: list[int] = []

    class Asked(Paper):
        def settled(self, org: str, request_ids: Collection[str], since: int) -> dict[str, Usage]:
            asked.append(since)
            return till.paper.settled(org, request_ids, since)

    def meanwhile(step: str) -> None:
        if step == "noted":
            raise DeathError

    before = kept.counters.now()
    till.request(meanwhile)
    long_ago = 3_600_000
    held: Any = store.zrange(f"{{{ORG}}}:holds", 0, -1, withscores=True)
    for name, end in held:
        store.zadd(f"{{{ORG}}}:holds", {name: end - long_ago})
        store.hset(f"{{{ORG}}}:hold:{name}", "expires", int(end - long_ago))
    assert Overdue(till.admission, Asked(), int(LEASE * 1000), print).reap(ORG, 100) == 1
    assert asked[0] <= before - long_ago
    kept.keep(ORG, always)
    assert agreed(kept, store) == (EARLIER + 1) * COST


def test_a_slow_log_is_searched_for_one_at_a_time(
    kept: Books, store: redis.Redis, till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What there is no time for is charged the next time, and each time one is."""

    def meanwhile(step: str) -> None:
        if step == "noted":
            raise DeathError

    for _ in range(3):
        till.request(meanwhile)
    time.sleep(LEASE + 0.01)
    monkeypatch.setattr("functions.overdue.SEARCH_SECONDS", -1.0)
    overdue = Overdue(till.admission, till.paper, int(LEASE * 1000), print)
    assert [overdue.reap(ORG, 100) for _ in range(4)] == [1, 1, 1, 0]
    kept.keep(ORG, always)
    assert agreed(kept, store) == (EARLIER + 3) * COST


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
