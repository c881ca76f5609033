"""The local Valkey behaves as the serverless one does, and keeps what it was told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import redis

from cdk.local.child import LocalError
from cdk.local.valkey import start, valkey_server

if TYPE_CHECKING:
    from pathlib import Path


def test_one_node_owns_every_slot_and_refuses_two_in_one_script(tmp_path: Path) -> None:
    """A script over two hash tags fails here as it fails on the serverless cache."""
    with valkey_server(tmp_path) as valkey, valkey.client() as client:
        client.eval("return redis.call('SET', KEYS[1], ARGV[1])", 1, "{a}:x", "1")
        with pytest.raises(redis.ResponseError, match="same slot"):
            client.eval("return 1", 2, "{a}:x", "{b}:x")
        assert client.execute_command("CLUSTER INFO")["cluster_slots_ok"] == "16384"


def test_counters_survive_a_restart_on_another_port(tmp_path: Path) -> None:
    """The append-only file and the slots come back with the folder."""
    for expected in (1, 2):
        with valkey_server(tmp_path) as valkey, valkey.client() as client:
            assert client.incr("{org}:counter") == expected


def test_it_listens_on_loopback_only_and_leaves_no_process(tmp_path: Path) -> None:
    """Neither the port of the clients nor the bus of the cluster is open to the network."""
    with valkey_server(tmp_path) as valkey, valkey.client() as client:
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
        process = valkey.child.process
        assert process.poll() is None
    assert process.poll() is not None


def test_damaged_data_is_one_sentence_and_stays_as_it_is(tmp_path: Path) -> None:
    """A folder that Valkey cannot read is named, with what to do, and not overwritten."""
    with valkey_server(tmp_path) as valkey, valkey.client() as client:
        client.set("{org}:x", "1")
    (damaged,) = (tmp_path / "appendonlydir").glob("*.manifest")
    damaged.write_text("this is not a manifest\n")
    with pytest.raises(LocalError, match="move that folder away") as refusal:
        asyncio.run(start(tmp_path))
    assert str(tmp_path) in str(refusal.value)
    assert damaged.read_text() == "this is not a manifest\n"
