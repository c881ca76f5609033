"""`GET /api/ai/status`: what works now, for people and for the pages that they look at.

It says nothing of callers and money, and answers on while the store is down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from shared.core.errors import StoreUnavailable, UpstreamUnavailable

if TYPE_CHECKING:
    from collections.abc import Collection

    from functions.plane import Gateway
    from shared.core.catalog import Catalog

State = Literal["available", "resting", "unconfigured", "unavailable"]

_KNOWN_AS = {"anthropic": "claude"}  # by the name of its models, as people know them


def status(org: str, gateway: Gateway) -> dict[str, Any]:
    """Return `status` (`ok`, `degraded`, `down`), the state of each agent and of each provider under `models`.

    A provider rests while every target of it does, after failures; a stand-in is shown as `simulated` is: by its name.
    """
    try:
        resting: set[str] | None = _resting(org, gateway)
    except StoreUnavailable:
        resting = None  # nobody is admitted now, whatever the providers could do
    try:
        configured: Collection[str] = gateway.providers.configured()
    except UpstreamUnavailable:
        configured = ()
    models = {
        _KNOWN_AS.get(name, name): _state(name, gateway.catalog, configured, resting or set())
        for name in gateway.catalog.providers
    }
    usable = [state for state in models.values() if state == "available"]
    served: State = "available" if usable and resting is not None else "unavailable"
    agents: dict[str, State] = {
        "orchestrator": "available" if resting is not None else "unavailable",
        "router": served,
        "ensemble": served,
    }
    well = "resting" not in models.values()
    verdict = "down" if served == "unavailable" else "ok" if well else "degraded"
    return {"status": verdict, "agents": agents, "models": models}


def _state(provider: str, catalog: Catalog, configured: Collection[str], resting: Collection[str]) -> State:
    if provider not in configured:
        return "unconfigured"
    targets = _targets(catalog, provider)
    return "resting" if targets and all(target in resting for target in targets) else "available"


def _resting(org: str, gateway: Gateway) -> set[str]:
    targets = sorted({target for name in gateway.catalog.providers for target in _targets(gateway.catalog, name)})
    waits = gateway.admission.resting(org, targets)
    return {target for target, wait in zip(targets, waits, strict=True) if wait > 0}


def _targets(catalog: Catalog, provider: str) -> set[str]:
    served = (target for model in catalog.models.values() for target in model.targets)
    return {target.id for target in served if target.provider == provider}
