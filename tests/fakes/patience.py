"""Time for a busy machine, in tests that ask what a store answers and not how soon it is given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shared.edge.aws import DYNAMODB, Aws
from shared.edge.settings import AwsSettings
from shared.edge.sigv4 import Credentials
from shared.edge.store import connect

if TYPE_CHECKING:
    import redis

    from shared.edge.admission import Admission

SECONDS: Final = 10.0  # that an answer may take; what ships gives up on Valkey after a quarter of one, on AWS after two


def patiently(host: str, port: int) -> redis.Connection:
    """Return a connection as the functions have it, which waits longer."""
    line = connect(host, port)
    line.socket_connect_timeout = line.socket_timeout = SECONDS
    return line


def dynamodb(url: str, key: str = "a") -> Aws:
    """Return a client of the DynamoDB at `url` as the functions have it, which waits longer; `key` signs."""
    return Aws(DYNAMODB, AwsSettings("us-east-1", url), lambda: Credentials(key, key), read_seconds=SECONDS)


def wait_longer(admission: Admission, seconds: float = SECONDS) -> None:
    """Have a connection that something else has made wait so long for each answer, be it open already or not."""
    line = admission._store._connection
    line.socket_connect_timeout = line.socket_timeout = seconds
    if line._sock:
        line._sock.settimeout(seconds)
