"""Which providers can be called from here, and with which of their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from shared.core.errors import UpstreamUnavailable
from shared.edge.aws import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from functions.shelf import Shelf
    from shared.core.catalog import Provider
    from shared.edge.secrets import Secrets


class Providers:
    """Which providers can be called from here, and with which secrets."""

    def __init__(self, shelf: Shelf, secrets: Secrets, name: str) -> None:
        """`name` is that of the secret that holds a JSON object of all of theirs."""
        self._shelf = shelf
        self._secrets = secrets
        self._name = name
        self._text = ""
        self._values: dict[str, str | list[str]] = {}
        self._good: dict[str, str] = {}  # by provider: the key that took over from one that failed

    def configured(self) -> Collection[str]:
        """Name the providers whose address is known and whose secret, if they need one, is there.

        Raises:
            UpstreamUnavailable: the secrets cannot be read; nobody may step in for a provider because of that.
        """
        values = self._read(self._secrets.get)
        return {
            name
            for name, provider in self._shelf.catalog.providers.items()
            if provider.base_url and (not provider.secret or values.get(provider.secret))
        }

    def key(self, provider: Provider) -> str:
        """Return the key to call the provider with, "" if it needs none.

        Raises:
            UpstreamUnavailable: it cannot be read, or no header can carry it.
        """
        known, good = self._keys(provider, self._secrets.get), self._good.get(provider.name)
        return good if good in known else known[0]

    def another(self, provider: Provider, tried: Collection[str], *, refused: bool) -> str:
        """Return a key that is not among `tried`, "" if there is none; one that was `refused` may have been rotated.

        Raises as `key` does.
        """
        known = self._keys(provider, self._secrets.refresh if refused else self._secrets.get)
        found = next((key for key in known if key not in tried), "")
        if found:
            self._good[provider.name] = found
        return found

    def _keys(self, provider: Provider, how: Callable[[str], str]) -> list[str]:
        """List the provider's keys, best first; a secret holds one, or a list of them."""
        if not provider.secret:
            return [""]
        found = self._read(how).get(provider.secret) or ""
        keys = [key.strip() for key in ([found] if isinstance(found, str) else found)]  # pasted with the end of a line
        if not all(key.isascii() and key.isprintable() for key in keys):
            raise UpstreamUnavailable(f"The secret {provider.secret} of this gateway holds what no key can hold.")
        return keys

    def _read(self, how: Callable[[str], str]) -> dict[str, str | list[str]]:
        try:
            text = how(self._name)
            if text != self._text:
                self._text, self._values = text, msgspec.json.decode(text, type=dict[str, str | list[str]])
        except (AwsError, msgspec.DecodeError) as error:
            raise UpstreamUnavailable("The credentials of the providers cannot be read now.", retry_after=1) from error
        return self._values
