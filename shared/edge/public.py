"""Names to addresses for hosts that somebody else chose: only such as nobody reaches from inside alone.

The address that was looked at is the one that is connected to: a name that means something else a moment later, so that
a check ahead of it would have seen another address, leads nowhere either.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from shared.core.addresses import is_public
from shared.edge.resolver import Resolver

if TYPE_CHECKING:
    from collections.abc import Callable


class PrivateAddressError(OSError):
    """The host has no address that may be connected to."""


class PublicResolver(Resolver):
    """Knows public addresses, and those of this machine where `loopback` says so: in a local run."""

    def __init__(self, lookup: Callable[[str, int], list[tuple[Any, ...]]] | None = None, *, loopback: bool) -> None:
        super().__init__(lookup)
        self._loopback = loopback

    def addresses(self, host: str, port: int, seconds: float) -> list[tuple[Any, ...]]:
        """List what `host` may be reached at, as a resolver does.

        Raises:
            PrivateAddressError: it has no such address.
            TimeoutError, OSError, ValueError: as a resolver.
        """
        found = [one for one in super().addresses(host, port, seconds) if self._allows(str(one[4][0]))]
        if not found:
            raise PrivateAddressError(f"{host} has no public address.")
        return found

    def _allows(self, address: str) -> bool:
        return is_public(address) or (self._loopback and ipaddress.ip_address(address).is_loopback)
