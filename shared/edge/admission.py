"""The two round trips: `admit` before the provider is called, `settle` after it; each is one script in Valkey.

Also `project`, which tells Valkey what the Directory says of a key. All keys of a script share the hash tag `{org}`.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import NoScriptError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from shared.core.errors import StoreUnavailable, Unauthorized
from shared.core.limits import HOUR, MINUTE, Standing, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.core.catalog import Tier

CONNECT_SECONDS = 1.0
COMMAND_SECONDS = 0.25
IDLE_SECONDS = 50.0  # of wall time; NAT forgets a silent connection after 350 s
SETTLED_SECONDS = 1800  # twice the longest life of an invocation: no settle comes later than that
USAGE_EVENTS = 10_000  # about; what the stream keeps until it is drained
RETRY_SECONDS = 1.0  # what a client is told when the store does not answer

_MICRO = 1_000_000


class Unprojected(Exception):  # noqa: N818 - a state of the store, to be mended and not to be shown
    """Valkey knows nothing of this key: it is new, or the cache was flushed. Project it and ask again."""


class Admission:
    """The scripts, over one connection. Every failure of the store is a `StoreUnavailable`."""

    def __init__(
        self, connection: redis.Connection, clock: Callable[[], float] = time.time, *, presets: str = ""
    ) -> None:
        """`clock` is wall time; limits hang on the store's own clock and not on this one.

        `presets` is the `limits.fingerprint` of those that limits are resolved with: a key that was projected with
        others, before the catalog was changed, counts as unprojected.
        """
        self._presets = presets
        self._connection: Any = connection  # redis-py leaves most of its methods without types
        self._clock = clock
        self._used = 0.0  # when the open connection was used last; 0.0: none is open
        self._admit = _Script("admit")
        self._settle = _Script("settle")
        self._project = _Script("project")

    def admit(self, key_id: str, request_id: str, lease: float, *, any_presets: bool = False) -> Standing:
        """Decide on a request, and hold one of the key's concurrent slots for `lease` seconds at most.

        Asked again with the same `request_id` it answers the same and counts nothing. With `any_presets`, limits that
        were resolved with others do too: two versions of a deployment would else undo each other's projections.

        Raises:
            Unprojected: nothing is known of the key, or only by presets of the past.
            Unauthorized: it is revoked, or has expired.
            RateLimited: one of its limits is reached. Nothing was written.
            StoreUnavailable: the script could not run.
        """
        names = _Names(key_id)
        lease_ms = max(1, round(lease * 1000))
        keys = [names.key, names.rate, names.leases]
        presets = "" if any_presets else self._presets
        verdict, *facts = self._run(self._admit, keys, [request_id, lease_ms, MINUTE * _MICRO, HOUR * _MICRO, presets])
        match verdict:
            case b"admitted":
                limit, remaining, reset = facts
                return Standing(limit, remaining, reset / _MICRO)
            case b"refused":
                scope, limit, used, wait = facts
                raise refusal(scope.decode(), limit, used, wait / _MICRO, self._clock())
            case b"unprojected":
                raise Unprojected
            case _:
                raise Unauthorized(f"This API key {'is revoked' if verdict == b'revoked' else 'has expired'}.")

    def settle(self, key_id: str, request_id: str, usage: Mapping[str, str | int]) -> bool:
        """End the lease and book `usage`: a `usage.v1` event with `outcome`, `prompt`, `completion` among its fields.

        Returns whether this was the first settlement of the request; the others change nothing.

        Raises:
            StoreUnavailable: the script could not run. It may be tried again.
        """
        names = _Names(key_id)
        keys = [names.settled(request_id), names.leases, names.usage, names.counters]
        event = [part for pair in usage.items() for part in pair]
        counts = [usage["outcome"], usage["prompt"], usage["completion"]]
        return bool(self._run(self._settle, keys, [request_id, SETTLED_SECONDS, USAGE_EVENTS, *counts, *event]))

    def project(self, key_id: str, *, version: int, revoked: bool, expires_at: int, tier: str, limits: Tier) -> bool:
        """Tell Valkey what the Directory says; returns False, and changes nothing, where it knows a newer version.

        `expires_at` is in epoch seconds, 0 for never; `limits` are resolved, 0 for none.

        Raises:
            StoreUnavailable: the script could not run.
        """
        fields = {
            "state": "revoked" if revoked else "active",
            "expires_at": expires_at,
            "tier": tier,
            "rpm": limits.requests_per_minute,
            "rph": limits.requests_per_hour,
            "tpm": limits.tokens_per_minute,
            "concurrency": limits.concurrency,
            "presets": self._presets,
        }
        arguments = [version, *(part for pair in fields.items() for part in pair)]
        return bool(self._run(self._project, [_Names(key_id).key], arguments))

    def ping(self) -> None:
        """Find out whether the store answers.

        Raises:
            StoreUnavailable: it does not.
        """
        self._call("PING")

    def drop(self) -> None:
        """Close the connection; the next call opens another."""
        self._used = 0.0
        self._connection.disconnect()

    def _run(self, script: _Script, keys: list[str], arguments: list[str | int]) -> Any:  # noqa: ANN401 - the script's
        call = (script.digest, len(keys), *keys, *arguments)
        try:
            return self._call("EVALSHA", *call)
        except NoScriptError:  # a new or flushed server
            self._call("SCRIPT", "LOAD", script.source)
            return self._call("EVALSHA", *call)

    def _call(self, *command: str | int | bytes) -> Any:  # noqa: ANN401 - the command's
        """Make one round trip; after a failure the connection goes: a late answer might be taken for the next one's."""
        if self._used and self._is_stale():
            self.drop()
        try:
            self._connection.send_command(*command)
            answer = self._connection.read_response()
        except NoScriptError:
            raise
        except (redis.RedisError, OSError) as error:
            self.drop()
            raise StoreUnavailable(
                "The gateway cannot count this request now, so it does not serve it. Please try again.",
                retry_after=RETRY_SECONDS,
            ) from error
        self._used = self._clock()
        return answer

    def _is_stale(self) -> bool:
        """Nobody knows what became of a connection after a freeze; on a sound one nothing waits to be read."""
        if self._clock() - self._used > IDLE_SECONDS:
            return True
        try:
            return bool(self._connection.can_read())
        except redis.ConnectionError:
            return True


def connect(
    host: str, port: int, *, tls: bool = False, credentials: Callable[[], tuple[str, str]] | None = None
) -> redis.Connection:
    """Return a connection that opens when first used, and never waits or tries longer than it says above.

    `credentials` gives user and password (an IAM token) each time it is opened. One connection, not a client with a
    pool: a process serves one request at a time, and the pool would double the CPU of each call.
    """
    return (redis.SSLConnection if tls else redis.Connection)(
        host=host,
        port=port,
        credential_provider=_Credentials(credentials) if credentials else None,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=COMMAND_SECONDS,
        retry=Retry(NoBackoff(), 0),
        protocol=3,
        # each of these would cost a new connection a round trip of its own
        driver_info=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )


class _Credentials(CredentialProvider):
    def __init__(self, source: Callable[[], tuple[str, str]]) -> None:
        self._source = source

    def get_credentials(self) -> tuple[str, str]:
        return self._source()


class _Script:
    """One `.lua` file beside this one, called by its digest."""

    def __init__(self, name: str) -> None:
        self.source = Path(__file__).with_name(f"{name}.lua").read_bytes()
        self.digest = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()


class _Names:
    """What one API key's keys are called in Valkey; its organization is the part before the last dash."""

    def __init__(self, key_id: str) -> None:
        tag = f"{{{key_id.rpartition('-')[0]}}}"
        self._tag = tag
        self.key = f"{tag}:key:{key_id}"
        self.rate = f"{tag}:rate:{key_id}"
        self.leases = f"{tag}:leases:{key_id}"
        self.usage = f"{tag}:usage"
        self.counters = f"{tag}:counters"

    def settled(self, request_id: str) -> str:
        return f"{self._tag}:settled:{request_id}"
