"""The function of the schedule: everybody's books are kept, whatever becomes of one organization's."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from functions.budgets import Clerk, build, line_of_missed
from shared.edge.directory import Directory
from shared.edge.settings import SettingsError
from shared.edge.telemetry import Telemetry
from tests.books.rig import always, books, settle

if TYPE_CHECKING:
    from collections.abc import Mapping

    import redis

    from functions.books import Books
    from shared.edge.ledger import Ledger
    from tests.fakes.books import Tables


@pytest.fixture
def kept(store: redis.Redis, ledger: Ledger) -> Books:
    """Books with the shortest leases."""
    return books(store, ledger, [], log_ms=100)


def clerk(kept: Books, tables: Tables, lines: list[bytes]) -> Clerk:
    """A clerk of the organizations that the directory lists."""
    directory = Directory(tables.aws(), tables.name)
    return Clerk(kept, directory, Telemetry("test", lines.append), [], pause)


def pause(seconds: float) -> None:
    """Wait for an organization that may open soon, and for nobody until the middle of the minute."""
    if seconds < 5:
        time.sleep(seconds)


def listed(tables: Tables, *orgs: str) -> None:
    """Enter organizations into the first one's list."""
    for org in orgs:
        tables.client.put_item(TableName=tables.name, Item={"pk": {"S": "default"}, "sk": {"S": f"organization#{org}"}})


def plenty() -> int:
    """Milliseconds that are left of the invocation."""
    return 58_000


def test_every_organization_has_its_turn(kept: Books, tables: Tables, store: redis.Redis) -> None:
    """The first one, which nobody had to make, and those that are listed."""
    listed(tables, "acme", "other")
    cost = settle(store, 2)
    clerk(kept, tables, []).work(plenty, "r1")
    assert {org for org in ("default", "acme", "other") if store.get(f"{{{org}}}:open")} == {"default", "acme", "other"}
    assert kept.ledger.sums("acme", "org", "t")["acme"].cost == cost


def test_one_that_fails_keeps_no_other_from_its_turn(kept: Books, tables: Tables, store: redis.Redis) -> None:
    """The failure is told without its message, and ends the invocation when all is done."""
    listed(tables, "acme", "other")
    store.set("{acme}:usage", "not a stream")
    lines: list[bytes] = []
    with pytest.raises(Exception, match="WRONGTYPE"):
        clerk(kept, tables, lines).work(plenty, "r1")
    assert store.get("{default}:open")
    assert store.get("{other}:open")
    [told] = map(json.loads, lines)
    assert (told["event"], told["request_id"]) == ("fault", "r1")
    assert "WRONGTYPE" not in lines[0].decode()


def test_it_waits_for_an_organization_that_may_soon_open(kept: Books, tables: Tables, store: redis.Redis) -> None:
    """Rather than let its clients wait for the next minute."""
    working = clerk(kept, tables, [])
    working.work(plenty, "r1")
    store.flushall()
    began = time.monotonic()
    working.work(plenty, "r2")
    assert time.monotonic() - began >= 0.1
    assert store.get("{default}:open")


def test_who_was_missed_is_the_first_the_next_time(kept: Books, tables: Tables, store: redis.Redis) -> None:
    """However many there are, and however little time: each has its turn."""
    names = [f"o{number}" for number in range(9)]
    listed(tables, *names)
    starts = 0
    lines: list[bytes] = []
    working = clerk(kept, tables, lines)
    while not all(store.get(f"{{{org}}}:open") for org in ["default", *names]):
        left = iter([58_000] * 8)  # for two of them, or a few more
        working.work(lambda: next(left, 0), "r1")  # noqa: B023 - used up within the turn
        starts += 1
        assert starts <= 10
        assert [json.loads(line) for line in lines] == [line_of_missed(len(working.missed))] * bool(working.missed)
        lines.clear()
    assert starts > 2


def test_books_that_their_time_did_not_suffice_for_are_behind(ledger: Ledger, store: redis.Redis) -> None:
    """The line says so, until all is booked."""
    said: list[Mapping[str, Any]] = []
    kept = books(store, ledger, said)
    kept.keep("acme", always)
    settle(store, 300)
    left = iter([True] * 3)
    kept.keep("acme", lambda: next(left, False))
    kept.keep("acme", always)
    assert [(line["booked"] > 0, line.get("behind")) for line in said] == [(True, True), (True, None)]


def test_it_does_not_wait_beyond_its_time(kept: Books, tables: Tables, store: redis.Redis) -> None:
    """The next invocation goes on from there."""
    pauses: list[float] = []
    working = clerk(kept._replace(log_ms=905_000), tables, [])._replace(pause=pauses.append)
    working.work(plenty, "r1")
    store.flushall()
    working.work(plenty, "r2")
    assert not store.get("{default}:open")
    assert pauses == []


def test_who_is_in_use_is_looked_at_twice_a_minute(kept: Books, tables: Tables, store: redis.Redis) -> None:
    """In the middle of it; a minute in which nobody has used anything is over at once, and costs next to nothing."""
    listed(tables, "acme")
    pauses: list[float] = []
    cost = settle(store, 2)

    def pause(seconds: float) -> None:
        nonlocal cost
        pauses.append(seconds)
        cost += settle(store, 3)

    working = clerk(kept, tables, [])._replace(pause=pause)
    working.work(plenty, "r1")
    assert pauses == [30.0]
    assert kept.ledger.sums("acme", "org", "t")["acme"].cost == cost
    pauses.clear()
    working._replace(pause=pauses.append).work(plenty, "r2")
    assert pauses == []


def test_one_that_fails_when_it_may_open_keeps_nobody_else_closed(
    kept: Books, tables: Tables, store: redis.Redis
) -> None:
    """Each has its second turn, whatever becomes of the others'."""
    working = clerk(kept, tables, [])
    listed(tables, "acme", "other")
    working.work(plenty, "r1")
    store.flushall()

    def pause(seconds: float) -> None:
        time.sleep(seconds)
        for org in ("acme", "default"):
            store.set(f"{{{org}}}:usage", "not a stream")

    with pytest.raises(Exception, match="WRONGTYPE"):
        working._replace(pause=pause).work(plenty, "r2")
    assert store.get("{other}:open")


def test_it_names_the_variable_that_is_missing() -> None:
    """Nothing is connected to by building it."""
    with pytest.raises(SettingsError, match="AWS_REGION"):
        build({})
