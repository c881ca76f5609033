"""Judges a round: the provider's log against the budget, the ledger, the counters and the functions' logs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from shared.core import periods, shares
from shared.core.events import EXPIRED, USAGE
from tests.e2e.hammer import truth
from tests.e2e.hammer.world import ORG

if TYPE_CHECKING:
    from tests.e2e.hammer.clients import Outcome
    from tests.e2e.hammer.world import World


class Round(NamedTuple):
    """What is known when all is quiet. Money is nano-dollars; `rows` are the ledger's charges by request id."""

    budget: int
    key: str
    outcomes: list[Outcome]
    spent: dict[str, int]  # by tag, as the provider's log has it
    rows: dict[str, list[dict[str, Any]]]

    def charged_to(self, request_id: str) -> list[dict[str, Any]]:
        """Return the charges of a request, and of the members of its ensemble."""
        return [row for known, rows in self.rows.items() if known.partition(".")[0] == request_id for row in rows]

    @property
    def truth(self) -> int:
        """What the provider has counted, all tries included."""
        return sum(self.spent.values())

    @property
    def charged(self) -> int:
        """What the ledger has charged."""
        return sum(map(_cost, self.rows.values()))


def gathered(world: World, key: str, budget: int, outcomes: list[Outcome]) -> Round:
    """Read the provider's log and the ledger."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for item in world.clerk.books.ledger._query(ORG, "begins_with(sk, :from)", {":from": "usage#"}):
        if item["key"] == key:
            rows.setdefault(item["request_id"], []).append(item)
    return Round(budget, key, outcomes, truth.spent(world.calls()), rows)


def judge(world: World, found: Round) -> None:
    """Check everything that must hold after any round.

    Raises:
        AssertionError: something does not.
    """
    assert found.truth <= found.charged <= found.budget
    _every_request_is_charged(found)
    _refusals_reach_nobody(found)
    _ledger_and_counters_agree(world, found)
    _lines_agree(world, found)


def judge_models(world: World, limits: dict[str, tuple[int, int]]) -> None:
    """Check that each model was charged all that the provider has counted for it, and stayed within its budget.

    `limits` are what it had spent before, and what it may have spent in the end.

    Raises:
        AssertionError: one was not, or has not.
    """
    counted = truth.by_model(world.calls())
    for model, (before, limit) in limits.items():
        after = world.spend(f"model:{model}").get("c:t", 0)
        assert before + counted.get(model, 0) <= after <= limit, (model, before, counted, after, limit)


def _every_request_is_charged(found: Round) -> None:
    """Each is charged what the provider counted, or more where not all was heard; of some only the sum is known."""
    seen = {outcome.tag: outcome for outcome in found.outcomes}
    known = {tag: seen[tag].request_id for tag in found.spent if seen[tag].request_id}
    for tag, request_id in known.items():
        rows = found.charged_to(request_id)
        assert _cost(rows) >= found.spent[tag], (seen[tag], found.spent[tag], rows)
        if seen[tag].code == "" and not any(row.get("estimated") for row in rows):
            assert _cost(rows) == found.spent[tag], (seen[tag], found.spent[tag], rows)
    unheard = sum(cost for tag, cost in found.spent.items() if tag not in known)
    told = set(known.values())
    others = sum(_cost(rows) for name, rows in found.rows.items() if name.partition(".")[0] not in told)
    assert others >= unheard


def _refusals_reach_nobody(found: Round) -> None:
    refused = {outcome.tag for outcome in found.outcomes if outcome.code in {"insufficient_quota", "store_rebuilding"}}
    assert not refused & found.spent.keys()


def _ledger_and_counters_agree(world: World, found: Round) -> None:
    ledger, day = world.clerk.books.ledger, world.clerk.books.counters.today()
    scopes = [f"key:{found.key}", f"org:{ORG}", *(f"model:{name}" for name in _models(found))]
    wanted = [(scope, period) for scope in scopes for period in periods.periods(day)]
    sums = ledger.spent(ORG, wanted)
    for scope in scopes:
        counted = {name: nano for name, nano in world.spend(scope).items() if nano}
        booked = {f"c:{period}": sums[scope, period].cost for period in periods.periods(day)}
        assert counted == {name: nano for name, nano in booked.items() if nano}, (scope, counted, booked)
    assert sums[f"key:{found.key}", "t"].cost == found.charged


def _models(found: Round) -> set[str]:
    return {share.model for rows in found.rows.values() for row in rows for share in shares.read(row.get("models", ""))}


def _lines_agree(world: World, found: Round) -> None:
    """What the gateway has written of a request's cost is what the ledger has.

    But where the process died between the line and the store, which then charges all that was held.
    """
    for line in (world.stack.logs / "gateway.log").read_text().splitlines():
        said = json.loads(line) if line.startswith("{") else {}
        rows = found.rows.get(said.get("request_id", ""))
        if rows and said.get("settled"):
            assert said["cost_nano"] == _cost(rows), (said, rows)
        elif rows and said["event"] == USAGE:
            assert said["cost"] == _cost(rows) or (rows[-1]["outcome"] == EXPIRED and said["cost"] <= _cost(rows))


def _cost(rows: list[dict[str, Any]]) -> int:
    return sum(int(row["cost"]) for row in rows)
