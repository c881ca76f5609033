"""The store's only user can run our scripts, and can neither empty nor reconfigure the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis

from cdk.local.valkey import valkey_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

USER, PASSWORD = "nexus", "only-for-this-test"
SCRIPT = """
redis.call('HSET', KEYS[1], 'state', 'active')
redis.call('ZADD', KEYS[2], tonumber(redis.call('TIME')[1]), 'request')
redis.call('XADD', KEYS[3], 'MAXLEN', '~', 10, '*', 'tokens', 1)
redis.call('SET', KEYS[4], 1, 'EX', 60)
return redis.call('HGET', KEYS[1], 'state')
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, of_type: Callable[[str], dict[str, Any]]) -> Iterator[redis.Redis]:
    """A connection of the deployed user, on a real Valkey."""
    [user] = of_type("ElastiCache::User").values()
    directory: Path = tmp_path_factory.mktemp("valkey")
    with valkey_server(directory) as server:
        with server.client() as root:
            ask(root, f"ACL SETUSER {USER} >{PASSWORD} {user['Properties']['AccessString']}")
        with redis.Redis(host=server.host, port=server.port, username=USER, password=PASSWORD) as connection:
            yield connection


def ask(client: redis.Redis, command: str) -> object:
    """Send a command of words."""
    answer: object = client.execute_command(*command.split())  # type: ignore[no-untyped-call]
    return answer


def test_a_script_does_all_that_ours_do(client: redis.Redis) -> None:
    """Hashes, sorted sets, streams, expiry and the store's clock work, by text and by digest."""
    keys = ["{default}:key", "{default}:leases", "{default}:usage", "{default}:settled"]
    assert client.eval(SCRIPT, 4, *keys) == b"active"
    assert client.evalsha(client.script_load(SCRIPT), 4, *keys) == b"active"


@pytest.mark.parametrize("command", ["CLUSTER SLOTS", "CLUSTER SHARDS", "CLUSTER NODES", "COMMAND", "INFO", "PING"])
def test_a_cluster_client_finds_its_way(client: redis.Redis, command: str) -> None:
    """What clients ask for on connecting is answered."""
    assert ask(client, command)


@pytest.mark.parametrize(
    "command", ["FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG GET *", "MONITOR", "ACL LIST", "SHUTDOWN"]
)
def test_nothing_can_empty_or_spy_on_the_store(client: redis.Redis, command: str) -> None:
    """A stolen credential cannot erase counters, read every tenant's keys' names, or change the server."""
    with pytest.raises(redis.exceptions.NoPermissionError):
        ask(client, command)
