"""The document with an identity provider's keys, over the gateway's own HTTP client."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shared.core.errors import UpstreamFailed
from shared.edge.http import Http
from shared.edge.jwks import LARGEST, PATIENCE_SECONDS, JwksUnavailableError
from shared.providers.adapter import HttpRequest

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

_OK = 200


def fetch(url: str, tls: Callable[[], ssl.SSLContext] | None = None) -> bytes:
    """Return what `url` serves: over verified TLS, with no redirect followed, in a bounded time and size.

    Raises:
        JwksUnavailableError: it does not serve that.
    """
    address = urlsplit(url)
    if address.scheme != "https" or not address.hostname:
        raise JwksUnavailableError("The keys of an identity provider are fetched over https only.")
    http = Http(tls=tls)
    try:
        with http.post(HttpRequest(url, {"accept": "application/json"}, b"", "GET"), PATIENCE_SECONDS) as answer:
            if answer.head.status != _OK:
                raise JwksUnavailableError(f"The identity provider answered with status {answer.head.status}.")
            return answer.whole(LARGEST)
    except UpstreamFailed as error:
        cause = type(error.__cause__ or error).__name__
        raise JwksUnavailableError(f"The identity provider cannot be reached: {cause}.") from error
    finally:
        http.drop()
