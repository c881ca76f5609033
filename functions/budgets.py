"""The function that keeps the books: started each minute, for every organization. Two at once do no harm.

Those that are in use it looks at once more in the middle of the minute, so that a loss of the store is noticed soon.
"""

from __future__ import annotations

import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from functions.books import Books
from functions.overdue import Overdue
from functions.turns import turns
from shared.core import events
from shared.edge import counters
from shared.edge.admission import Admission, connect
from shared.edge.aws import DYNAMODB, LOGS, Aws, credentials_from, valkey_login
from shared.edge.directory import Directory
from shared.edge.ledger import Ledger
from shared.edge.log import READ_SECONDS, Log
from shared.edge.settings import BudgetsSettings
from shared.edge.telemetry import Telemetry, say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SPARE_MS: Final = 10_000  # of the invocation, for the step that is under way
MIDDLE_MS: Final = 28_000  # of the invocation are left then


class Clerk(NamedTuple):
    """What outlives an invocation.

    `pause` waits for so many seconds. `missed` are those for whom there was no time left.
    """

    books: Books
    directory: Directory
    telemetry: Telemetry
    missed: list[str]
    pause: Callable[[float], None] = time.sleep

    def work(self, left_ms: Callable[[], int], request_id: str) -> None:
        """Keep the books of every organization; wait for one that may open before the invocation must end.

        Raises:
            Exception: the last failure there was; it kept nobody else's books from being kept.
        """
        failures: list[Exception] = []

        def keep(org: str) -> int:
            try:
                return self.books.keep(org, lambda: left_ms() > SPARE_MS)
            except Exception as error:  # noqa: BLE001 - it is raised below, when all others have had their turn
                self.telemetry.fault(error, request_id)
                failures.append(error)
                return 0

        orgs = list(turns(self.directory, time.time()))
        first = [org for org in self.missed if org in orgs]
        self.missed[:] = self._round(list(dict.fromkeys(first + orgs)), keep, left_ms)
        used, early = sorted(self.books.used), left_ms() - MIDDLE_MS
        if used:
            if early > 0:
                self.pause(early / 1000)
            self._round(used, keep, left_ms)
        if self.missed:
            self.telemetry.note(line_of_missed(len(self.missed)))
        if failures:
            raise failures[-1]

    def _round(self, orgs: list[str], keep: Callable[[str], int], left_ms: Callable[[], int]) -> list[str]:
        """Keep the books of `orgs`, and again of those that may open soon, when they may; return the missed ones."""
        began, kept = left_ms(), 0
        opening: dict[str, int] = {}  # ms from the beginning
        for org in orgs:
            if left_ms() <= SPARE_MS:
                break
            kept += 1
            if wait := keep(org):
                opening[org] = began - left_ms() + wait
        for org, due in sorted(opening.items(), key=lambda item: item[1]):
            wait = due - (began - left_ms())
            if wait < left_ms() - SPARE_MS:
                if wait > 0:
                    self.pause(wait / 1000)
                keep(org)
        return orgs[kept:]


def line_of_missed(count: int) -> dict[str, Any]:
    """Say how many organizations there was no time left for."""
    return {"level": "WARN", "event": events.BOOKS, events.BEHIND: True, "missed": count}


def handler(_event: Mapping[str, Any], context: Any) -> None:  # noqa: ANN401 - Lambda's
    """Entry point of the schedule."""
    _clerk().work(context.get_remaining_time_in_millis, context.aws_request_id)


@cache
def _clerk() -> Clerk:
    return build(os.environ)


def build(environment: Mapping[str, str]) -> Clerk:
    """Make what `environment` describes; nothing is connected to before it is used.

    Raises:
        SettingsError: a variable is missing, or means nothing.
    """
    settings = BudgetsSettings.from_env(environment)
    credentials = credentials_from(environment)
    login = valkey_login(settings.valkey, settings.aws, credentials)
    dynamodb = Aws(DYNAMODB, settings.aws, credentials)
    directory = Directory(dynamodb, settings.directory_table)
    store = settings.valkey
    admission = Admission(connect(store.host, store.port, tls=store.tls, credentials=login))
    known = counters.Counters(counters.connect(store, login))
    log = Log(Aws(LOGS, settings.aws, credentials, read_seconds=READ_SECONDS), settings.gateway_log, say)
    lease_ms = settings.longest_lease_s * 1000
    books = Books(
        counters=known,
        ledger=Ledger(dynamodb, settings.ledger_table),
        directory=directory,
        log=log,
        reap=Overdue(admission, log, lease_ms, say).reap,
        replay=admission.replay,
        tell=admission.tell,
        say=say,
        lease_ms=lease_ms,
        log_ms=settings.log_delay_s * 1000,
        readings={},
        looks={},
        used=set(),
    )
    return Clerk(books, directory, Telemetry(settings.stage), [])
