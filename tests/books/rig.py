"""Things that die on purpose, and the books of a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from functions.books import Books
from shared.edge.counters import Counters
from tests.fakes.books import fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import redis

    from shared.edge.ledger import Ledger

ORG = "acme"
USAGE, OPEN, CLOSURE = (f"{{{ORG}}}:{name}" for name in ("usage", "open", "closure"))


Real = TypeVar("Real")


class DeathError(Exception):
    """The process ended here."""


class Mortal:
    """Passes calls on to another object, and dies before or after the one that `death` is at."""

    def __init__(self, real: Any, death: Death) -> None:
        self._real = real
        self._death = death

    def __getattr__(self, name: str) -> Any:
        """Return the method, with a chance to die on both sides of it."""
        method = getattr(self._real, name)

        def called(*arguments: Any, **named: Any) -> Any:
            self._death.may_come()
            answer = method(*arguments, **named)
            self._death.may_come()
            return answer

        return called


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
        counters=Counters(client),
        ledger=ledger,
        directory=Shelf(),
        reap=lambda _org, _most: 0,
        tell=lambda _org, _scope, _version, _fields: True,
        say=said.append,
        lease_ms=905_000,
    )
    return made._replace(**changes)


class Shelf:
    """A directory that holds what it is given, by sort key."""

    def __init__(self, *records: Mapping[str, Any]) -> None:
        self._records = records

    def all(self, _org: str, prefix: str = "") -> list[Mapping[str, Any]]:
        """Return those that begin with `prefix`."""
        return [record for record in self._records if str(record["sk"]).startswith(prefix)]


def always() -> bool:
    """There is time enough."""
    return True
