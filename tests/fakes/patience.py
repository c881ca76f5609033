"""Time for a busy machine, in tests that ask what a store answers and not how soon it is given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shared.edge.store import connect

if TYPE_CHECKING:
    import redis

    from shared.edge.admission import Admission

SECONDS: Final = 10.0  # that an answer may take; what ships gives up after a quarter of one


def patiently(host: str, port: int) -> redis.Connection:
    """Return a connection as the functions have it, which waits longer."""
    line = connect(host, port)
    line.socket_connect_timeout = line.socket_timeout = SECONDS
    return line


def wait_longer(admission: Admission, seconds: float = SECONDS) -> None:
    """Have a connection that something else has made wait so long for each answer, be it open already or not."""
    line = admission._store._connection
    line.socket_connect_timeout = line.socket_timeout = seconds
    if line._sock:
        line._sock.settimeout(seconds)
