"""Things that die on purpose, and the books of a test."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar, cast

from functions.books import Books
from shared.core import events, journal
from shared.edge.counters import Counters
from tests.fakes.books import fields

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    import redis

    from shared.edge.ledger import Ledger

ORG = "acme"
USAGE, OPEN, CLOSURE = (f"{{{ORG}}}:{name}" for name in ("usage", "open", "closure"))


Real = TypeVar("Real")


class DeathError(Exception):
    """The process ended here."""


class Mortal:
    """Passes calls on to another object, and dies before the one that `death` is at."""

    def __init__(self, real: Any, death: Death) -> None:
        self._real = real
        self._death = death

    def __getattr__(self, name: str) -> Any:
        """Return the method, with a chance to die before it: which is also after the one before."""
        method = getattr(self._real, name)

        def called(*arguments: Any, **named: Any) -> Any:
            self._death.may_come()
            return method(*arguments, **named)

        return called


class OneDay(Counters):
    """The store by a calendar that stands still, for tests in which no day ends, not even at midnight."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(client)
        self._day = super().today()

    def today(self) -> str:
        """Return the day on which the test began."""
        return self._day


def mortal(real: Real, death: Death) -> Real:
    """Return what passes for `real`, and dies."""
    return cast("Real", Mortal(real, death))


class Death:
    """Comes at the chance with the number `at`, counted from 0 over all that share it."""

    def __init__(self, at: int) -> None:
        self.left = at

    def may_come(self) -> None:
        """Die, or count."""
        self.left -= 1
        if self.left == -1:
            raise DeathError


def deaths(attempt: Callable[[Death], None]) -> Iterator[int]:
    """Make `attempt` with a death at each chance in turn, until one lives; yield how many have died after each."""
    for at in range(1000):
        try:
            attempt(Death(at))
        except DeathError:
            yield at + 1
        else:
            assert at > 0
            return
    raise AssertionError("it never lives")


def settle(client: redis.Redis, count: int = 1, **changes: Any) -> int:
    """Have `count` requests settled; returns what they cost together."""
    for _ in range(count):
        used: Any = fields(**changes)
        client.xadd(USAGE, used)
    return count * int(changes.get("cost", 1_000))


def books(client: redis.Redis, ledger: Ledger, said: list[Mapping[str, Any]], **changes: Any) -> Books:
    """The books of a store in which nothing is held, with an empty directory."""
    made = Books(
        counters=OneDay(client),
        ledger=ledger,
        directory=Shelf(),
        log=Paper(),
        reap=lambda _org, _most: 0,
        replay=lambda _used: False,
        tell=lambda _org, _scope, _version, _fields: True,
        say=said.append,
        lease_ms=905_000,
        log_ms=200,
        readings={},
        looks={},
        used=set(),
    )
    return made._replace(**changes)


class Shelf:
    """A directory that holds what it is given, by sort key."""

    def __init__(self, *records: Mapping[str, Any]) -> None:
        self._records = records

    def all(self, _org: str, prefix: str = "") -> list[Mapping[str, Any]]:
        """Return those that begin with `prefix`."""
        return [record for record in self._records if str(record["sk"]).startswith(prefix)]


class Paper:
    """A log that is a list of lines; a line is there at once, or when `delayed` ones are moved to the others."""

    def __init__(self, *lines: Mapping[str, Any]) -> None:
        self.written = list(lines)
        self.delayed: list[Mapping[str, Any]] = []

    def lines(self, org: str, event: str, _since: int) -> Iterator[Any]:
        """Yield those of an organization and kind, as the books read them."""
        texts = [json.dumps(line) for line in self.written if line["event"] == event]
        yield from filter(None, (journal.read(text, org) for text in texts))

    def unstored(self, org: str, _since: int) -> Iterator[Any]:
        """Yield what was reserved and settled by requests that were served without the store."""
        texts = [json.dumps(line) for line in self.written if line.get("stored") == "no"]
        yield from filter(None, (journal.read(text, org) for text in texts))

    def settled(self, org: str, request_ids: Collection[str], since: int) -> dict[str, events.Usage]:
        """Return the settlements of some requests."""
        return {
            line.request_id: line for line in self.lines(org, events.USAGE, since) if line.request_id in request_ids
        }


def always() -> bool:
    """There is time enough."""
    return True
