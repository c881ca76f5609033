"""`GET /v1/models` and `GET /v1/models/{id}`: what this caller may use and somebody serves."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from functions.visiting import admitted_if_possible
from shared.core import routing
from shared.core.catalog import entry, listing
from shared.core.errors import UpstreamUnavailable
from shared.core.wire import encode

if TYPE_CHECKING:
    from collections.abc import Collection

    from functions.plane import Gateway
    from functions.visiting import Visit
    from shared.core.catalog import Alias, Catalog, Model
    from shared.core.principals import Principal


def listed(visit: Visit) -> None:
    """Answer with all of them."""
    call = visit.call("read")
    with admitted_if_possible(call, visit):
        models = _usable(call.principal, visit.gateway)
    visit.reply.whole(encode(listing(models)))


def shown(visit: Visit) -> None:
    """Answer with one; a name that the caller may not use is unknown."""
    call = visit.call("read")
    name = unquote((visit.event.get("pathParameters") or {}).get("id") or "")
    with admitted_if_possible(call, visit):
        found = [model for model in _usable(call.principal, visit.gateway) if model.name == name]
        if not found:
            raise routing.unknown(name, visit.gateway.catalog, call.principal.may_use)
    visit.reply.whole(encode(entry(found[0])))


def _usable(principal: Principal, gateway: Gateway) -> list[Model | Alias]:
    """List what this key may use and somebody serves; all it may use while the providers' secrets cannot be read."""
    known: list[Model | Alias] = [*gateway.catalog.models.values(), *gateway.catalog.aliases.values()]
    allowed = [model for model in known if principal.may_use(model.name)]
    try:
        configured = gateway.providers.configured()
    except UpstreamUnavailable:
        return allowed
    return [model for model in allowed if _served(model, gateway.catalog, configured)]


def _served(model: Model | Alias, catalog: Catalog, configured: Collection[str]) -> bool:
    try:
        return bool(routing.candidates(model.name, model.kind, catalog, configured))
    except UpstreamUnavailable:
        return False
