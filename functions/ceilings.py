"""The ceiling of an organization: the most that it may spend, whatever budget its own administrators give it.

Only administrators of the first organization, who operate the deployment, set it. It lies beside the organization's own
budget, in the record that the policy is made of, where no other edit touches it; the lower of both counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from functions.usd import told_budget, usd
from shared.core.errors import BadRequest, Forbidden
from shared.edge.directory import FIRST_ORG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functions.registry import Change, Item
    from functions.requests import Budget
    from functions.visit import Visit

RECORD = "org"  # the sort key of an organization's own limits and budget


def find(visit: Visit, org: str) -> Item:
    """Return the record that has the ceiling of `org`, or what stands for it."""
    return visit.control.registry.find(org, RECORD) or {"pk": org, "sk": RECORD}


def put(visit: Visit, org: str, wanted: Budget) -> Item:
    """Replace the ceiling of `org`, from the next request on; returns the record.

    Raises:
        Forbidden: the caller is no operator.
        Stale: it is not the version that was asked for.
        StoreUnavailable: the Directory or Valkey cannot be reached; the message says what holds.
    """
    if visit.org != FIRST_ORG:
        raise Forbidden(f"The ceiling is set by administrators of the organization {FIRST_ORG}.")
    ceiling = wanted.given()

    def tell(old: Item | None, _new: Item) -> Change:
        before = told_budget((old or {}).get("ceiling", {}))
        line = visit.change("ceiling.put", org, before, told_budget(ceiling))
        return line._replace(concerned=frozenset({org, visit.org}))

    edited = visit.control.registry.edit(
        org,
        RECORD,
        lambda old: {**old, "ceiling": ceiling},
        tell,
        version=visit.version(),
        fresh={"pk": org, "sk": RECORD},
    )
    visit.control.projection.tell(edited)
    return edited


def respected(record: Item, budget: Mapping[str, int]) -> None:
    """Let a budget pass that is not above the ceiling, if `record` has one; a period without a budget is not.

    Raises:
        BadRequest: it is; `param` names the period.
    """
    ceiling: Mapping[str, int] = record.get("ceiling", {})
    for name, amount in budget.items():
        if amount > ceiling.get(name, amount):
            field = f"{name.removesuffix('_nano')}_usd"
            raise BadRequest(
                f"The field '{field}' is above the ceiling of {usd(ceiling[name])} US dollars, which administrators of "
                f"the organization {FIRST_ORG} set. Send at most that, or ask them.",
                param=field,
            )


def shown(record: Item) -> dict[str, Any]:
    """Render the ceiling; its version is that of the organization's limits and budget."""
    ceiling = told_budget(record.get("ceiling", {}))
    return {"object": "ceiling", "id": record["pk"], "ceiling": ceiling, "version": record.get("version", 0)}
