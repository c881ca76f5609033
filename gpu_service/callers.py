"""Checks who calls, before anything else is looked at: the shared token, an identity token, or this machine alone."""

from __future__ import annotations

import hmac
import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_service.guard import is_open, stranger
from shared.core.errors import Unauthorized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_service.identity import Identities
    from gpu_service.settings import Settings


class Callers:
    """Lets through who may call."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._expected = settings.token.encode()
        self._identities: Identities | None = None
        if settings.identity is not None:
            from gpu_service.identity import Identities  # noqa: PLC0415 - dear to load, and seldom asked for

            self._identities = Identities(settings.identity)

    async def check(self, shown: Sequence[bytes], peer: str | None) -> None:
        """Let one request pass by its `Authorization` headers; `peer` is the address that it came from.

        functions-framework chooses the address to listen on itself, so a service that nobody guards looks at `peer`.

        Raises:
            Unauthorized: no token, a wrong one, or more than one.
            Forbidden, IdentityUnknown: as `Identities.check` says.
        """
        if is_open(self._settings):
            if peer is not None and not _is_this_machine(peer):
                raise Unauthorized(stranger())
            return
        if not self._expected and self._identities is None:
            return  # the platform has checked
        scheme, _, token = shown[0].partition(b" ") if len(shown) == 1 else (b"", b"", b"")
        token = token.strip() if scheme.lower() == b"bearer" else b""
        if token and self._expected and hmac.compare_digest(token, self._expected):
            return
        if not token or self._identities is None:
            kind = "the token it was started with" if self._identities is None else "an identity token for it"
            raise Unauthorized(
                f"This service needs 'Authorization: Bearer <token>' with {kind}.",
                headers={"www-authenticate": "Bearer"},
            )
        await self._identities.check(token.decode("latin-1"))


@lru_cache
def _is_this_machine(peer: str) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    return bool((getattr(address, "ipv4_mapped", None) or address).is_loopback)
