"""One connection to Valkey and the scripts that run over it; every failure of the store is a `StoreUnavailable`."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
from hiredis import pack_command
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import NoScriptError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from shared.core.errors import StoreUnavailable
from shared.edge.outage import WAITED_SECONDS, Outage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_pack: Any = pack_command  # its stub allows for one argument; redis-py's own way to it takes 20 µs more

CONNECT_SECONDS = 1.0
COMMAND_SECONDS = 0.25
IDLE_SECONDS = 50.0  # of wall time; NAT forgets a silent connection after 350 s
RETRY_SECONDS = 1.0  # what a client is told when the store does not answer


class Unanswered(StoreUnavailable):
    """The store was called and has not answered in time: nobody knows whether it has done it, or will yet."""


class Script:
    """One `.lua` file beside this one, called by its digest."""

    def __init__(self, name: str) -> None:
        self.source = Path(__file__).with_name(f"{name}.lua").read_bytes()
        self.digest = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()


class Store:
    """Commands and scripts over one connection."""

    def __init__(self, connection: redis.Connection, clock: Callable[[], float] = time.time) -> None:
        """`clock` is wall time; nothing that is counted hangs on it."""
        self._connection: Any = connection  # redis-py leaves most of its methods without types
        self._clock = clock
        self._used = 0.0  # when the open connection was used last; 0.0: none is open
        self._waited = 0.0  # seconds, for nothing, since it answered last
        self._outage: Outage | None = None

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[str | int], *, again: bool = False) -> Any:  # noqa: ANN401 - its own
        """Run a script, in one round trip where the server knows it.

        One that answers the same when it is asked `again` is called once more, over a new connection, where the store
        hesitates or has closed the old one.

        Raises:
            StoreUnavailable: it could not run.
            Unanswered: nobody knows whether it did.
        """
        call = (script.digest, len(keys), *keys, *arguments)
        try:
            return self._evaluated(script, call)
        except Unanswered as lost:
            if not again or self._outage:
                raise
            try:
                return self._evaluated(script, call)
            except StoreUnavailable as error:
                raise lost from error

    def _evaluated(self, script: Script, call: Sequence[str | int]) -> Any:  # noqa: ANN401 - its own
        try:
            return self.call("EVALSHA", *call)
        except NoScriptError:  # a new or flushed server
            self.call("SCRIPT", "LOAD", script.source)
            return self.call("EVALSHA", *call)

    def drop(self) -> None:
        """Close the connection; the next call opens another."""
        if self._outage:
            self._outage.end()
        self._used, self._waited, self._outage = 0.0, 0.0, None
        self._connection.disconnect()

    def _lose(self, seconds: float) -> None:
        """Close the connection after a failure that took so long."""
        self._used = 0.0
        self._connection.disconnect()
        self._waited += seconds
        if self._waited >= WAITED_SECONDS:
            self._outage = Outage(self._reach)

    def call(self, *command: str | int | bytes) -> Any:  # noqa: ANN401 - the command's
        """Make one round trip; after a failure the connection goes: a late answer might be taken for the next one's.

        Where the store has been waited for in vain it is not called before it has answered to a thread that tries.

        Raises:
            StoreUnavailable: the store cannot be reached.
            Unanswered: it does not answer, or with an error.
        """
        if self._outage and not self._is_reached(self._outage):
            raise _unavailable(StoreUnavailable)
        if self._used and self._is_stale():
            self.drop()
        kind: type[StoreUnavailable] = StoreUnavailable
        began = time.monotonic()
        try:
            if not self._used:
                self._connection.connect()
            kind = Unanswered
            self._connection.send_packed_command([_pack(command)])
            answer = self._connection.read_response()
        except NoScriptError:
            raise
        except (redis.RedisError, OSError) as error:
            self._lose(time.monotonic() - began)
            raise _unavailable(kind) from error
        self._used, self._waited = self._clock(), 0.0
        return answer

    def _is_reached(self, outage: Outage) -> bool:
        """Tell whether an outage is over; the connection is open and used by nobody else then."""
        if not outage.is_over():
            return False
        self._waited, self._outage = 0.0, None
        return True

    def _reach(self) -> None:
        """Find out whether the store answers; raises where it does not."""
        try:
            self._connection.send_packed_command([_pack(("PING",))])
            self._connection.read_response()
        except BaseException:
            self._connection.disconnect()
            raise
        self._used = self._clock()

    def _is_stale(self) -> bool:
        """Nobody knows what became of a connection after a freeze; on a sound one nothing waits to be read."""
        if self._clock() - self._used > IDLE_SECONDS:
            return True
        try:
            return bool(self._connection.can_read())
        except redis.ConnectionError:
            return True


def _unavailable(kind: type[StoreUnavailable]) -> StoreUnavailable:
    return kind(
        "The gateway cannot count this request now, so it does not serve it. Please try again.",
        retry_after=RETRY_SECONDS,
    )


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
