"""The public keys of an identity provider: read from the one configured address, kept, and never trusted further.

What a token says decides at most *that* the keys are read again, and that once a minute: never from where.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FRESH_SECONDS = 3600.0  # of wall time
STALE_SECONDS = 86_400.0  # how long known keys serve on while the provider cannot be reached
PAUSE_SECONDS = 60.0  # between two fetches, whatever tokens say and whatever failed
LARGEST = 262_144  # bytes of the document; Entra's, with certificates, are about 20,000
MOST_KEYS = 100
PATIENCE_SECONDS = 3.0  # for the whole fetch: API Gateway waits for the authorizer


class JwksUnavailableError(Exception):
    """The keys of an identity provider cannot be had now, so nobody can say whether its tokens are good."""


class Jwks:
    """The keys of one provider; `now` is in epoch seconds, for a monotonic clock stands still in a frozen process."""

    def __init__(self, url: str, fetch: Callable[[str], bytes], now: Callable[[], float] = time.time) -> None:
        self._url = url
        self._fetch = fetch
        self._now = now
        self._keys: Mapping[str, Mapping[str, Any]] = {}
        self._read_at = self._tried_at = float("-inf")

    def find(self, kid: str) -> Mapping[str, Any] | None:
        """Return the key called `kid`, None if the provider has none.

        Raises:
            JwksUnavailableError: there are no keys young enough to tell.
        """
        age = self._now() - self._read_at
        if (kid not in self._keys or age > FRESH_SECONDS) and self._now() - self._tried_at >= PAUSE_SECONDS:
            self._renew(age)
        elif age > STALE_SECONDS:
            raise JwksUnavailableError("The identity provider could not be reached a moment ago.")
        return self._keys.get(kid)

    def _renew(self, age: float) -> None:
        self._tried_at = self._now()
        try:
            self._keys = keys_of(self._fetch(self._url))
            self._read_at = self._now()
        except JwksUnavailableError:
            if age > STALE_SECONDS:
                raise


def keys_of(document: bytes) -> dict[str, Mapping[str, Any]]:
    """Return the keys of a JWK set by their ids; what could not verify a signature here is left out.

    Raises:
        JwksUnavailableError: it is no such set.
    """
    try:
        entries = json.loads(document)["keys"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise JwksUnavailableError("The identity provider did not answer with a set of keys.") from error
    if not isinstance(entries, list) or len(entries) > MOST_KEYS:
        raise JwksUnavailableError("The identity provider did not answer with a set of keys.")
    usable = [entry for entry in entries if isinstance(entry, dict) and entry.get("use", "sig") == "sig"]
    return {entry["kid"]: entry for entry in usable if isinstance(entry.get("kid"), str)}
