"""Where providers' credentials may go: a catalog that is pushed sends them to no other place than the deployed one.

Who administers the gateway need not know the keys of its providers, and must not get them by having them sent away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from shared.core.catalog import Catalog, Provider


def misled(pushed: Catalog, *known: Catalog) -> Provider | None:
    """Return a provider that would get at a new place what opens others in the catalogs that are `known`.

    A credential that none of those uses may go anywhere: it was not entrusted to anybody yet.
    """
    places: dict[str, set[str]] = {}
    for provider in (one for catalog in known for one in catalog.providers.values()):
        places.setdefault(_credential(provider), set()).update(_places(provider))
    for provider in pushed.providers.values():
        credential = _credential(provider)
        if credential and not _places(provider) <= places.get(credential, _places(provider)):
            return provider
    return None


def _credential(provider: Provider) -> str:
    """Name what opens a provider, and would open it for whoever is shown it; "" if that is nothing."""
    if provider.secret or provider.identity is None:
        return provider.secret
    named = provider.identity  # without an audience, tokens are for the very place that they are sent to
    return f"{named.service_account} for {named.audience}" if named.audience else ""


def _places(provider: Provider) -> set[str]:
    url = urlsplit(provider.base_url)
    return set(filter(None, (url.netloc and f"{url.scheme}://{url.netloc}", provider.base_url_env)))
