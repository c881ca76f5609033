"""A gateway in steps: what one does to the store and the log for a request, with a chance to interfere after each."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from shared.core import journal
from shared.core.errors import BudgetExhausted
from shared.core.policies import policy
from shared.core.pricing import Worst
from shared.edge.admission import Admission, Ask, Unprojected, unstored
from tests.books.rig import ORG, DeathError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.edge.admission import Grant
    from tests.books.rig import Paper

BUDGET: Final = 60_000  # nano-dollars of the team
WORST: Final = 1_000
COST: Final = 300
LEASE: Final = 0.25
PAYING: Final = {"org": ORG, "key": "acme-k1", "user": "ann", "team": "red", "model": "m"}
SCOPES: Final = ("key:acme-k1", "user:ann", "team:red", "org:acme", "model:m")
TEAM: Final[dict[str, Any]] = {"sk": "team#red", "version": 1, "budget": {"total_nano": BUDGET}}
ANN: Final[dict[str, Any]] = {"sk": "user#ann", "version": 1, "role": "developer"}
STEPS: Final = ("admitted", "reserved", "called", "noted", "settled")
_NUMBER = itertools.count()


class Till(NamedTuple):
    """Serves requests of one team, each for COST, by the real scripts."""

    admission: Admission
    paper: Paper

    def request(self, meanwhile: Callable[[str], None] = lambda _step: None, *, lease: float = LEASE) -> bool:
        """Serve one; `meanwhile` is called after each step, and may raise DeathError. Tells whether it lived."""
        ask = Ask(ORG, SCOPES, f"r{next(_NUMBER)}", lease, worst=Worst(WORST, 0, 0))
        usage: dict[str, Any] = {**PAYING, "event": "usage.v1", "outcome": "ok", "prompt": 1, "completion": 2}
        grant = self._admit(ask)
        ends = int((self.admission._clock() + lease) * 1000)
        try:
            meanwhile("admitted")
            self.paper.written.append(journal.reserved(PAYING, ask.request_id, grant.day, grant.held, ends))
            meanwhile("reserved")
            meanwhile("called")  # the provider has answered
            self.paper.written.append(journal.used(usage, ask.request_id, grant.day, COST))
            meanwhile("noted")
            self.admission.settle(ask, grant, COST, usage)
            meanwhile("settled")
        except DeathError:
            return False
        return True

    def unstored(self, *, admitted: bool = False, settled: bool = False) -> None:
        """Serve one without the store, which may have `admitted` it without an answer, or have been back in the end."""
        ask = Ask(ORG, SCOPES, f"r{next(_NUMBER)}", LEASE, worst=Worst(WORST, 0, 0))
        grant = unstored(ask, int(self.admission._clock() * 1000))
        if admitted:
            self._admit(ask)
        usage: dict[str, Any] = {**PAYING, "event": "usage.v1", "outcome": "ok", "prompt": 1, "completion": 2}
        self.paper.written.append(journal.used(usage, ask.request_id, grant.day, COST, stored=grant.stored))
        if settled:
            self.admission.settle(ask, grant, COST, usage)

    def spend_all(self) -> int:
        """Serve until one is refused; returns how many were served."""
        for number in range(1_000):
            try:
                self.request()
            except BudgetExhausted:
                return number
        raise AssertionError("the budget has no end")

    def _admit(self, ask: Ask) -> Grant:
        try:
            return self.admission.admit(ask)
        except Unprojected as unknown:
            for scope in unknown.scopes:
                self.admission.tell(ORG, scope, 1, policy(TEAM if scope == "team:red" else {}))
            return self.admission.admit(ask)
