"""`GET /metrics`: the figures of the caller's organization for Prometheus, which sends a key as `Authorization`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router

from functions import metric_families
from functions.admin_figures import ledger_read
from functions.exposition import CONTENT_TYPE, rendered
from functions.spans import refuse_others
from shared.core import periods
from shared.core.errors import StoreUnavailable
from shared.core.limits import of_model

if TYPE_CHECKING:
    from functions.exposition import Family
    from functions.visit import Visit

router = Router()  # type: ignore[no-untyped-call]
PATH: Final = "/metrics"


@router.get(PATH, tags=["usage"], summary="Counters and gauges in Prometheus' text format")
def _metrics() -> Response[str]:
    refuse_others(router.current_event.query_string_parameters or {}, ())
    visit: Visit = router.context["visit"]
    with ledger_read():
        families = list(metric_families.counted(visit.control.ledger.served_ever(visit.org)))
    return Response(200, CONTENT_TYPE, rendered([*families, *_now(visit)]), headers={"cache-control": "no-store"})


def _now(visit: Visit) -> list[Family]:
    """Return what only the store knows, as far as it answers."""
    control, shelf = visit.control, visit.control.shelf
    admission = control.projection.admission
    shelf.renew(visit.org, control.telemetry.note)
    scopes = [f"org:{visit.org}", *map(of_model, sorted(shelf.catalog.models))]
    targets = sorted({target.id for model in shelf.catalog.models.values() for target in model.targets})
    try:
        purses = admission.purses(visit.org, scopes, periods.day_at(int(control.now() * 1000)))
        rest = admission.resting(visit.org, targets)
    except StoreUnavailable:
        return list(metric_families.state(shelf.catalog, store=False))
    resting = dict(zip(targets, rest, strict=True))
    now = (*metric_families.budgets(purses, visit.org), *metric_families.breakers(resting))
    return [*now, *metric_families.state(shelf.catalog, store=True)]
