"""A gateway in steps: what one does to the store and the log for a request, with a chance to interfere after each."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from shared.core import journal
from shared.core.errors import BudgetExhausted
from shared.core.policies import policy
from shared.core.pricing import Worst
from shared.core.shares import Share
from shared.edge.admission import Admission, Ask, Bound, Unprojected, unstored
from tests.books.rig import ORG, DeathError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.edge.admission import Grant
    from tests.books.rig import Paper

BUDGET: Final = 60_000  # nano-dollars of the team
WORST: Final = 1_000
COST: Final = 300
LEASE: Final = 0.25
SPARE: Final = 700  # nano-dollars that the other model might cost
PAYING: Final = {"org": ORG, "key": "acme-k1", "user": "ann", "team": "red", "alias": "a"}
SHARED: Final = ("key:acme-k1", "user:ann", "team:red", "org:acme", "alias:a")
SCOPES: Final = (*SHARED, "model:m", "model:n")
MODELS: Final = (Bound("m", Worst(WORST, 0, 0)), Bound("n", Worst(SPARE, 0, 0)))
USED: Final[dict[str, Any]] = {
    **PAYING, "event": "usage.v1", "outcome": "ok", "prompt": 1, "completion": 2,
    "models": [Share(COST, 1, 1, 2, 0, "m"), Share(0, 0, 0, 0, 0, "n")],
}  # fmt: skip
TEAM: Final[dict[str, Any]] = {"sk": "team#red", "version": 1, "budget": {"total_nano": BUDGET}}
ANN: Final[dict[str, Any]] = {"sk": "user#ann", "version": 1, "role": "developer"}
STEPS: Final = ("admitted", "reserved", "called", "noted", "settled")
_NUMBER = itertools.count()


class Till(NamedTuple):
    """Serves requests of one team for an alias of two models, each for COST by the first, by the real scripts."""

    admission: Admission
    paper: Paper

    def request(self, meanwhile: Callable[[str], None] = lambda _step: None, *, lease: float = LEASE) -> bool:
        """Serve one; `meanwhile` is called after each step, and may raise DeathError. Tells whether it lived."""
        ask = Ask(ORG, SHARED, f"r{next(_NUMBER)}", lease, MODELS)
        grant = self._admit(ask)
        ends = int((self.admission._clock() + lease) * 1000)
        try:
            meanwhile("admitted")
            held: dict[str, Any] = {"held": grant.held, "models": {"m": WORST, "n": SPARE}, "ends": ends}
            self.paper.written.append(journal.reserved(PAYING, ask.request_id, grant.day, **held))
            meanwhile("reserved")
            meanwhile("called")  # the provider has answered
            self.paper.written.append(journal.used(USED, ask.request_id, grant.day, COST))
            meanwhile("noted")
            self.admission.settle(ask, grant, COST, USED)
            meanwhile("settled")
        except DeathError:
            return False
        return True

    def unstored(self, *, admitted: bool = False, settled: bool = False, dies: bool = False) -> None:
        """Serve one without the store, which may have `admitted` it without an answer, or have been back in the end."""
        ask = Ask(ORG, SHARED, f"r{next(_NUMBER)}", LEASE, MODELS)
        grant = unstored(ask, int(self.admission._clock() * 1000))
        if admitted:
            self._admit(ask)
        ends = int((self.admission._clock() + LEASE) * 1000)
        held: dict[str, Any] = {"held": grant.held, "models": {"m": WORST, "n": SPARE}, "ends": ends}
        self.paper.written.append(journal.reserved(PAYING, ask.request_id, grant.day, **held, stored=grant.stored))
        if dies:
            return
        self.paper.written.append(journal.used(USED, ask.request_id, grant.day, COST, stored=grant.stored))
        if settled:
            self.admission.settle(ask, grant, COST, USED)

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
