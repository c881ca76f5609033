"""Keeps the books of one organization: everything that is done for it each minute, in the order that loses nothing."""

from __future__ import annotations

from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from functions import rebuilding, replaying, thresholds
from functions.drain import Drained, drain
from functions.replaying import MARGIN_MS, Reading
from functions.unstored import Look, may_be
from shared.core import events, journal, periods

if TYPE_CHECKING:
    from collections.abc import Callable

    from functions.rebuilding import Records, Say, Tell
    from functions.replaying import Known
    from functions.unstored import Unstored
    from shared.core.events import Usage
    from shared.core.journal import Reservation
    from shared.edge.counters import Counters
    from shared.edge.ledger import Ledger

    class Log(replaying.Lines, Unstored, Protocol):
        """The gateway's."""


MOST_REAPED: Final = 100  # at once
MOST_PURGED: Final = 40  # days at once
WHOLE_MS: Final = 300_000  # how often it is noted up to when the ledger is whole
STEPS: Final = 40  # of the ledger, until what has spent is looked at: the cursor holds it meanwhile, in 400 kB at most
KEPT_DAYS: Final = 2  # today and yesterday, whose last requests may still be on their way


class Books(NamedTuple):
    """The stores, the log, and who hears of what happens.

    Attributes:
        reap: Charges what was reserved by requests that ended without a word; says how many of an organization's.
        replay: Settles in the store what the log says was settled, unless the store knows it.
        tell: Projects one policy into the store, unless a newer one is there.
        lease_ms: The longest that a request may hold money.
        log_ms: Until the log shows what was written, at the latest.
        readings: The log as far as it has been read for a closure, which is given with it, where time was up.
        looks: The searches for what was served without the store, where time was up.
        used: Who had something to be booked when their books were kept last.
    """

    counters: Counters
    ledger: Ledger
    directory: Records
    log: Log
    reap: Callable[[str, int], int]
    replay: Callable[[Usage], bool]
    tell: Tell
    say: Say
    lease_ms: int
    log_ms: int
    readings: dict[str, tuple[str, Reading]]
    looks: dict[str, Look]
    used: set[str]

    def keep(self, org: str, more: Callable[[], bool]) -> int:
        """Do all there is to do, while `more()` says so; return the ms until a closed organization may open, or 0.

        Raises:
            AwsError, redis.RedisError, StoreUnavailable: a store failed. What was not done is done the next time.
        """
        cursor = self.ledger.cursor(org)
        state = self.counters.state(org)
        if cursor is None:
            cursor = self.ledger.begin(org, self.counters.now())
            if not state.opened and self._is_new(org):
                self.counters.open_new(org)
                state = state._replace(opened=True)
        if rebuilding.is_lost(state, cursor):
            mark = rebuilding.close(org, cursor, self.counters, self.ledger, self.say)
            return self._rebuild(org, mark, more)
        began = self.counters.now()
        self._book(org, more)
        self._note_whole(org, began, more)
        self._purge(org)
        return 0

    def _book(self, org: str, more: Callable[[], bool]) -> None:
        reaped = 0
        while more() and (done := self.reap(org, MOST_REAPED)):
            reaped += done
        drained = Drained()
        while True:
            try:
                some = drain(org, self.counters, self.ledger, _often(STEPS, more))
            finally:  # it empties the cursor, which may be what no step fits into any more
                thresholds.look(org, self.counters, self.ledger, self.say)
            drained = drained.plus(some)
            if some == Drained() or not more():
                break
        if reaped or drained.booked:
            self.used.add(org)
        else:
            self.used.discard(org)
        if reaped or drained != Drained():
            self.say(line(org, reaped, drained, behind=some != Drained()))

    def _rebuild(self, org: str, mark: str, more: Callable[[], bool]) -> int:
        self._book(org, more)
        rebuilding.project(org, self.directory, self.tell)
        left = int(mark) + self.log_ms - self.counters.now()
        if left > 0:
            return left
        begun, reading = self.readings.pop(org, ("", None))
        if reading is None or begun != mark:
            reading = self._reading(org)
        replayed, held = 0, 0
        if done := reading.go_on(more):
            replayed, held = (
                replaying.settle(reading.known, org, self.ledger, self.replay, more),
                len(reading.known.held),
            )
            done = more() and rebuilding.restore(org, mark, self.counters, self.ledger, known=reading.known, more=more)
        if not done:
            self.readings[org] = mark, reading
            return 1
        told = {"reopened": True, "closed_at": int(mark), "replayed": replayed, "held": held}
        self.say({"level": "INFO", "event": events.BOOKS, "org": org, **told})
        return 0

    def _reading(self, org: str) -> Reading:
        cursor = self.ledger.cursor(org)
        users = rebuilding.users(org, self.directory, self.ledger)
        return Reading(org, self.log, users, cursor.whole if cursor else 0, self.lease_ms)

    def _is_new(self, org: str) -> bool:
        """Tell whether nothing was ever spent: an organization may have lost its counters in its first minute."""
        reading = Reading(org, self.log, (), self.counters.now(), self.lease_ms)
        reading.go_on(lambda: False)
        return not (reading.known.settled or reading.known.held)

    def _note_whole(self, org: str, began: int, more: Callable[[], bool]) -> None:
        """Note now and then that all that was settled before is booked, lest a loss have much of the log read."""
        cursor, state = self.ledger.cursor(org), self.counters.state(org)
        if cursor is None or began < cursor.whole + WHOLE_MS or rebuilding.is_lost(state, cursor):
            return
        if self.counters.read(org, cursor.last, 1):
            return
        whole = began
        if may_be(org, self.directory):
            look = self.looks.pop(org, None) or Look(org, self.log, cursor.whole - MARGIN_MS, began - self.log_ms)
            if not self._found(org, look, more):
                return
            whole = look.until
        self.ledger.made_whole(org, whole)

    def _found(self, org: str, look: Look, more: Callable[[], bool]) -> bool:
        """Book what was served without the store; returns whether that was all."""
        names = cache(lambda: journal.Names(rebuilding.users(org, self.directory, self.ledger)))
        mark = self.counters.opening(org)

        def settle(known: Known) -> int:
            return replaying.settle(known, org, self.ledger, self.replay, lambda: True)

        def hold(known: Known) -> list[Reservation] | None:
            return replaying.hold(known, org, mark, self.counters, self.ledger) if mark else None

        done = look.go_on(names, settle, hold, more)
        if look.found:
            self._book(org, more)
            cursor = self.ledger.cursor(org)
            booked = cursor is not None and not self.counters.read(org, cursor.last, 1)
            if done and booked:
                self.say({"level": "WARN", "event": events.BOOKS, "org": org, "unstored": look.found})
            done = done and booked
        if not done:
            self.looks[org] = look
        return done and not look.due

    def _purge(self, org: str) -> None:
        """Remove the counters of periods that are over, day by day, so that a hash does not grow for ever."""
        cursor = self.ledger.cursor(org)
        over = periods.number_of(self.counters.today()) - KEPT_DAYS
        if cursor is None or not cursor.purged or over <= periods.number_of(cursor.purged):
            return
        first = periods.number_of(cursor.purged) + 1
        for number in range(first, min(over, first + MOST_PURGED) + 1):
            day = periods.day_of(number)
            self._forget(org, periods.daily(day))
            if periods.monthly(periods.day_of(number + 1)) != periods.monthly(day):
                self._forget(org, periods.monthly(day))
            self.ledger.purged(org, day)

    def _forget(self, org: str, period: str) -> None:
        for kind in rebuilding.KINDS:
            names = self.ledger.sums(org, kind, period)
            if names:
                self.counters.forget(org, [f"{kind}:{name}" for name in names], period)


def line(org: str, reaped: int, drained: Drained, *, behind: bool) -> dict[str, Any]:
    """Say what was done for one organization; `behind` if time was up before all was."""
    level = "ERROR" if drained.broken else "INFO"
    told = {"level": level, "event": events.BOOKS, "org": org, "reaped": reaped, **drained._asdict()}
    return {**told, events.BEHIND: True} if behind else told


def _often(most: int, more: Callable[[], bool]) -> Callable[[], bool]:
    """Return what says `more()`, but not more often than that."""
    left = count(most, -1)
    return lambda: next(left) > 0 and more()
