"""`/admin/limits/{scope}` and `/admin/budgets/{scope}`: how fast, and for how much. Edits act on the next request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router
from msgspec.structs import asdict

from functions import ceilings
from functions.registry import Unknown
from functions.requests import Budget, Limits
from functions.scopes import Scope, scope
from functions.usd import told_budget, usd
from functions.visit import answer
from shared.core import periods
from shared.core.catalog import Tier
from shared.core.errors import StoreUnavailable
from shared.core.limits import ENDPOINTS, resolve
from shared.edge.aws import AwsError

if TYPE_CHECKING:
    from functions.registry import Change, Item
    from functions.visit import Visit

router = Router()  # type: ignore[no-untyped-call]
_TAGS = ["limits and budgets"]


def _visit() -> Visit:
    visit: Visit = router.context["visit"]
    return visit


@router.get(
    "/admin/limits/<name>", tags=_TAGS, summary="Look at the limits of key:ID, user:ID, team:ID, model:NAME, org"
)
def _limits(name: str) -> Response[str]:
    visit = _visit()
    known = scope(visit, name)
    return answer(_shown_limits(visit, known, _record(visit, known)))


@router.put(
    "/admin/limits/<name>", tags=_TAGS, summary="Replace the limits of a scope, or the preset of tier:NAME, class:NAME"
)
def _limit(name: str, wanted: Limits) -> Response[str]:
    visit = _visit()
    known = scope(visit, name)
    edited = _put(visit, known, "limits", wanted.given())
    if known.kind == "tier":
        visit.control.projection.retell(visit.org, known.text.removeprefix("tier:"))
    else:
        visit.control.projection.tell(edited)
    return answer(_shown_limits(visit, known, edited))


@router.get(
    "/admin/budgets/<name>", tags=_TAGS, summary="Look at the budget of key:ID, user:ID, team:ID, model:NAME, org"
)
def _budget(name: str) -> Response[str]:
    visit = _visit()
    known = _with_budget(visit, name)
    record = _record(visit, known)
    return answer(_shown_budget(known, record) | {"spent": _spent(visit, known, record.get("before_nano", 0))})


@router.put("/admin/budgets/<name>", tags=_TAGS, summary="Replace the budget of a scope, in US dollars")
def _budgeted(name: str, wanted: Budget) -> Response[str]:
    visit = _visit()
    known = _with_budget(visit, name)
    edited = _put(visit, known, "budget", wanted.given())
    visit.control.projection.tell(edited)
    return answer(_shown_budget(known, edited))


def _spent(visit: Visit, known: Scope, before: int) -> dict[str, str]:
    """Return what was booked today, this month and ever; what was spent in the last minute may be missing.

    Ever is since somebody else had spent `before` nano-dollars under the same id.
    """
    day = periods.day_at(int(visit.control.now() * 1000))
    names = [f"org:{visit.org}" if known.kind == "org" else known.text]
    if known.kind == "model":  # or an alias of this name
        names.append(f"alias:{known.text.removeprefix('model:')}")
    named = {"daily": periods.daily(day), "monthly": periods.monthly(day), "total": periods.TOTAL}
    try:
        wanted = [(name, period) for name in names for period in named.values()]
        found = visit.control.ledger.spent(visit.org, wanted)
    except AwsError as error:
        raise StoreUnavailable("The ledger cannot be read now. Please try again.", retry_after=1) from error
    spent = {label: sum(found[name, period].cost for name in names) for label, period in named.items()}
    spent["total"] = max(0, spent["total"] - before)
    return {f"{label}_usd": usd(nano) for label, nano in spent.items()}


def _with_budget(visit: Visit, name: str) -> Scope:
    known = scope(visit, name)
    if known.kind in {"tier", "class"}:
        raise Unknown("scope", "A budget is of org, key:ID, user:ID, team:ID or model:NAME.")
    return known


def _record(visit: Visit, known: Scope) -> Item:
    found = visit.control.registry.find(visit.org, known.sort_key)
    record = known.fresh(visit.org) if found is None or found.get("deleted") else found
    if record is None:
        raise Unknown(known.kind)
    return record


def _put(visit: Visit, known: Scope, field: str, value: dict[str, int]) -> Item:
    def tell(old: Item | None, new: Item) -> Change:
        before = _audited((old or {}).get(field, {}), field)
        return visit.change(f"{field}.put", known.text, before, _audited(new[field], field))

    def change(old: Item) -> Item:
        if field == "budget":
            ceilings.respected(old, value)
        return {**old, field: value}

    return visit.control.registry.edit(
        visit.org,
        known.sort_key,
        change,
        tell,
        version=visit.version(),
        fresh=known.fresh(visit.org),
    )


def _audited(value: dict[str, int], field: str) -> dict[str, Any]:
    return told_budget(value) if field == "budget" else dict(value)


def _shown_limits(visit: Visit, known: Scope, record: Item) -> dict[str, Any]:
    """Render the scope's own limits, and for keys, tiers and endpoints those that hold; 0 is unlimited."""
    own = record.get("limits", {})
    told = {"object": "limits", "scope": known.text, "limits": own, "version": record.get("version", 0)}
    if known.kind == "class":
        preset = Tier(requests_per_minute=ENDPOINTS[known.text.removeprefix("class:")])
        return {**told, "effective": asdict(resolve(preset, own))}
    tier = {"key": record.get("tier"), "tier": known.text.removeprefix("tier:")}.get(known.kind)
    if tier is None:
        return told
    preset = visit.control.projection.tiers[tier]
    edited = record if known.kind == "tier" else visit.control.registry.find(visit.org, f"tier#{tier}")
    return {**told, "effective": asdict(resolve(resolve(preset, (edited or {}).get("limits", {})), own))}


def _shown_budget(known: Scope, record: Item) -> dict[str, Any]:
    budget = told_budget(record.get("budget", {}))
    told = {"object": "budget", "scope": known.text, "budget": budget, "version": record.get("version", 0)}
    return {**told, "ceiling": told_budget(record.get("ceiling", {}))} if known.kind == "org" else told
