"""Which catalog a process works with: the one it was deployed with, until another is pushed.

Every admission tells the version that is live, so a process in use learns of a push by its next request and has it for
the one after. One that was idle asks once before it serves: at most `STALE_SECONDS` pass, on the busiest and on the
idlest. What cannot be read leaves the catalog that there is, and a line in the log.
"""

from __future__ import annotations

import base64
import time
import zlib
from typing import TYPE_CHECKING, Any

import msgspec

from shared.core import events
from shared.core.catalog import decode
from shared.core.errors import StoreUnavailable
from shared.edge.aws import AwsError
from shared.edge.directory import BrokenRecordError
from shared.edge.names import LIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.core.catalog import Catalog
    from shared.edge.admission import Admission
    from shared.edge.directory import Directory

HOME = "default"  # the organization whose administrators push catalogs, for all
POINTER = "catalog"  # the record that says which one is live
STALE_SECONDS = 30.0
RETRY_SECONDS = 5.0  # after a catalog that could not be read
UNKNOWN = -1


def stored(number: int) -> str:
    """Return the sort key of the catalog that was pushed as `number`."""
    return f"catalog#{number:06d}"


def packed(compiled: bytes) -> str:
    """Return a compiled catalog as it is stored: a record has at most 400 KB."""
    return base64.b64encode(zlib.compress(compiled, 9)).decode()


def unpacked(text: str) -> bytes:
    """Return what `packed` was given.

    Raises:
        ValueError, zlib.error: it was not packed so.
    """
    return zlib.decompress(base64.b64decode(text, validate=True))


class Shelf:
    """The catalog at hand. Not for two threads."""

    def __init__(
        self,
        deployed: Catalog,
        environment: Mapping[str, str],
        *,
        admission: Admission,
        directory: Directory,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`environment` holds the addresses that take the place of the catalog's own; `clock` is wall time."""
        self._deployed = deployed
        self._environment = environment
        self._admission = admission
        self._directory = directory
        self._clock = clock
        self._told = UNKNOWN  # the version that is live, as far as is known here
        self._version = 0  # of the one at hand
        self._heard = 0.0  # when `_told` was
        self._not_before = 0.0
        self.catalog = self._located(deployed)

    def hear(self, version: int) -> None:
        """Take note of the version that an admission has told."""
        self._told, self._heard = version, self._clock()

    def renew(self, org: str, say: Callable[[Mapping[str, Any]], object]) -> None:
        """Have the catalog at hand be the live one, as far as the stores can be reached; `say` writes a line of log."""
        now = self._clock()
        if now - self._heard > STALE_SECONDS:
            try:
                self.hear(self._admission.live_catalog(org))
            except StoreUnavailable:
                return
        if self._told == self._version or now < self._not_before:
            return
        try:
            if self._load(org):
                say(_line("INFO", "loaded", version=self._version, name=self.catalog.version))
        except StoreUnavailable:
            self._not_before = now + RETRY_SECONDS
        except (AwsError, BrokenRecordError, KeyError, ValueError, zlib.error, msgspec.DecodeError) as error:
            self._not_before = now + RETRY_SECONDS
            say(_line("ERROR", "unreadable", version=self._told, error=type(error).__name__))

    def _load(self, org: str) -> bool:
        pointer = self._directory.item(HOME, POINTER, consistent=True) or {"version": 0, "serves": 0}
        version, number = int(pointer["version"]), int(pointer["serves"])
        if self._told < version:  # nobody has told the store, or it has forgotten
            self._admission.tell(org, LIVE, version, {"serves": number})
        self._told, other = version, version != self._version
        if other:
            self.catalog = self._located(self._read(number) if number else self._deployed)
            self._version = version
        return other

    def _read(self, number: int) -> Catalog:
        item = self._directory.item(HOME, stored(number), consistent=True) or {}
        found = decode(unpacked(item["compiled"]))
        return msgspec.structs.replace(found, tiers=self._deployed.tiers)  # limits are resolved with those everywhere

    def _located(self, catalog: Catalog) -> Catalog:
        """Put the addresses that the environment gives into the catalog's place."""
        providers = {
            name: msgspec.structs.replace(
                provider, base_url=self._environment.get(provider.base_url_env) or provider.base_url
            )
            for name, provider in catalog.providers.items()
        }
        return msgspec.structs.replace(catalog, providers=providers)


def _line(level: str, state: str, **more: str | int) -> dict[str, str | int]:
    return {"level": level, "event": events.CATALOG, "state": state, **more}
