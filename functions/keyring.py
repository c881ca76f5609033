"""What is done with API keys: made, shown, revoked. The Directory is written first, Valkey is told afterwards."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from functions.key_table import KeyExists, KeyTable, UnknownKey
from shared.core import keys, limits
from shared.core.catalog import FILE, decode
from shared.core.errors import StoreUnavailable, Unauthorized
from shared.edge.admission import Admission, connect
from shared.edge.aws import SECRETS, Aws, credentials_from, valkey_login
from shared.edge.directory import KeyRecord
from shared.edge.secrets import Secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from functions.key_requests import NewKey
    from shared.core.catalog import Tier
    from shared.edge.settings import AdminSettings

DAY = 86400  # seconds
_RETRY_SECONDS = 2.0


class Keyring(NamedTuple):
    """The keys, and those who must hear of a change. `now` is in epoch seconds, `chance` gives random bytes."""

    table: KeyTable
    admission: Admission
    tiers: Mapping[str, Tier]
    pepper: Callable[[], str]
    now: Callable[[], float] = time.time
    chance: Callable[[int], bytes] = secrets.token_bytes

    def confirm(self, org: str, key_id: str) -> None:
        """Let pass who may still call: the authorizer remembers a key for a minute, time enough to make another.

        Raises:
            Unauthorized: the key is revoked, or gone.
            StoreUnavailable: the Directory cannot be reached.
        """
        try:
            revoked = self.table.get(org, key_id).revoked
        except UnknownKey:
            revoked = True
        if revoked:
            raise Unauthorized("This API key is revoked.")

    def make(self, org: str, wanted: NewKey) -> tuple[keys.Key, KeyRecord]:
        """Make a key, and return it with its record: nobody can ever see it again.

        Valkey may be down meanwhile, for a key it does not know is looked up on its first request.

        Raises:
            StoreUnavailable: the Directory cannot be reached; if it took the key all the same, nobody holds it.
        """
        key = keys.mint(org, self.chance(keys.CHANCE_BYTES))
        made = _record(key, wanted, keys.digest(self.pepper(), key), int(self.now()))
        try:
            self.table.add(made)
        except KeyExists:  # a write of ours whose answer was lost, and which boto3 repeated: 62 bits do not collide
            return self.make(org, wanted)
        self._tell(made, missed=None)
        return key, made

    def revoke(self, org: str, key_id: str) -> KeyRecord:
        """Revoke a key; done again, it only tells Valkey again.

        Raises:
            UnknownKey: there is none.
            StoreUnavailable: the Directory or Valkey cannot be reached; the message says which, and what holds.
        """
        revoked = self.table.revoke(org, key_id)
        self._tell(
            revoked,
            missed="The key is revoked in the directory, and refused within 60 seconds. Repeat this request, so that "
            "it is refused at once.",
        )
        return revoked

    def _tell(self, known: KeyRecord, *, missed: str | None) -> None:
        """Project a record into Valkey; when that fails, fail with the message `missed`, if it matters at all."""
        try:
            self.admission.project(
                known.id,
                version=known.version,
                revoked=known.revoked,
                expires_at=known.expires_at,
                tier=known.tier,
                limits=limits.resolve(self.tiers[known.tier], known.limits),
            )
        except StoreUnavailable as error:
            if missed:
                raise StoreUnavailable(missed, retry_after=_RETRY_SECONDS) from error


def shown(known: KeyRecord) -> dict[str, Any]:
    """Render a key for administrators: everything but its hash."""
    return {
        "id": known.id,
        "object": "api_key",
        "name": known.name,
        "display": keys.display(known.id, known.last4),
        "last4": known.last4,
        "role": known.role,
        "tier": known.tier,
        "team": known.team,
        "user": known.user,
        "models": list(known.models),
        "limits": dict(known.limits),
        "created_at": known.created_at,
        "expires_at": known.expires_at,
        "revoked": known.revoked,
    }


def build(settings: AdminSettings, environment: Mapping[str, str]) -> Keyring:
    """Make what `settings` describe; nothing is connected to before it is used.

    Raises:
        OSError, msgspec.DecodeError: the compiled catalog cannot be read.
    """
    credentials = credentials_from(environment)
    vault = Secrets(Aws(SECRETS, settings.aws, credentials))
    store, tiers = settings.valkey, decode(Path(settings.task_root, FILE).read_bytes()).tiers
    login = valkey_login(store, settings.aws, credentials)
    return Keyring(
        table=KeyTable.open(settings.directory_table, settings.aws),
        admission=Admission(
            connect(store.host, store.port, tls=store.tls, credentials=login), presets=limits.fingerprint(tiers)
        ),
        tiers=tiers,
        pepper=lambda: vault.get(settings.pepper_secret),
    )


def _record(key: keys.Key, wanted: NewKey, digest: str, now: int) -> KeyRecord:
    return KeyRecord(
        id=key.id,
        org=key.org,
        hash=digest,
        name=wanted.name,
        role=wanted.role,
        tier=wanted.tier,
        created_at=now,
        expires_at=now + wanted.expires_days * DAY,
        revoked=False,
        last4=key.last4,
        version=1,
        limits=wanted.limits.given(),
        models=tuple(wanted.models),
        team=wanted.team,
        user=wanted.user,
    )
