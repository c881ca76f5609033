"""Which targets may serve a model, best first."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shared.core.catalog import Kind, Model, Provider, Target
from shared.core.errors import BadRequest, UnknownModel, UpstreamUnavailable

if TYPE_CHECKING:
    from collections.abc import Collection

    from shared.core.catalog import Catalog

_SHOWN = 64  # characters of a name that came from outside


class Candidate(NamedTuple):
    """A target together with its provider: `adapter_for(provider.dialect, kind)(request, *candidate, moment)`."""

    target: Target
    provider: Provider


def find(name: str, catalog: Catalog) -> Model:
    """Return the model called `name`.

    Raises:
        UnknownModel: there is none.
    """
    model = catalog.models.get(name)
    if model is None:
        raise unknown(name)
    return model


def unknown(name: str) -> UnknownModel:
    """Say that there is no such model; also for one that the key may not use."""
    shown = ascii(name[:_SHOWN])[1:-1] + ("..." if len(name) > _SHOWN else "")
    return UnknownModel(
        f"The model '{shown}' does not exist or you do not have access to it. GET /v1/models lists those you may use.",
        param="model",
    )


def candidates(name: str, kind: Kind, catalog: Catalog, configured: Collection[str]) -> list[Candidate]:
    """List who can serve the model called `name`, best first; never empty.

    A stand-in serves chat models of which no own provider is `configured`, and never follows one that is: what it makes
    up must not be taken for a real answer.

    Raises:
        UnknownModel: there is no such model.
        BadRequest: it is not of this kind.
        UpstreamUnavailable: nobody that could serve it has credentials.
    """
    model = find(name, catalog)
    if model.kind != kind:
        raise BadRequest(f"The model '{name}' is of kind {model.kind}; this path serves {kind} models.", param="model")
    own = [Candidate(target, catalog.providers[target.provider]) for target in model.targets]
    found = [candidate for candidate in own if candidate.provider.name in configured]
    if not found and kind == "chat":
        found = [Candidate(Target(provider.name, name), provider) for provider in _stand_ins(catalog, configured)]
    if not found:
        raise UpstreamUnavailable(f"No credentials are configured for {_names(own)}, which serves the model '{name}'.")
    return found


def _stand_ins(catalog: Catalog, configured: Collection[str]) -> list[Provider]:
    return [provider for provider in catalog.providers.values() if provider.stand_in and provider.name in configured]


def _names(own: list[Candidate]) -> str:
    return " or ".join(candidate.provider.name for candidate in own)
