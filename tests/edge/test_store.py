"""Nobody waits for a store that cannot be reached, but for the first who finds that out; and it is back when it is."""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from shared.core.errors import StoreUnavailable
from shared.edge import outage
from shared.edge.store import COMMAND_SECONDS, CONNECT_SECONDS, Store, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

    from cdk.local.valkey import Valkey


@pytest.fixture
def freeze(valkey: Valkey) -> Iterator[Callable[[int], None]]:
    """Send the server a signal."""
    pid = valkey.child.process.pid
    yield lambda number: os.kill(pid, number)
    os.kill(pid, signal.SIGCONT)


@pytest.fixture
def line(valkey: Valkey) -> redis.Connection:
    """A connection to the server."""
    return connect(valkey.host, valkey.port)


@pytest.fixture
def sent(line: Any) -> list[str]:
    """On which threads commands were sent."""
    found: list[str] = []
    send = line.send_packed_command

    def note(command: Any, **how: Any) -> None:
        found.append(threading.current_thread().name)
        send(command, **how)

    line.send_packed_command = note
    return found


@pytest.fixture
def store(line: redis.Connection) -> Iterator[Store]:
    """The store over that connection."""
    made = Store(line)
    yield made
    made.drop()


def failures(store: Store, sent: list[str]) -> int:
    """Call a store that does not answer, until it is left alone; returns how often that was."""
    for number in range(20):
        before = sent.count("MainThread")
        with pytest.raises(StoreUnavailable):
            store.call("PING")
        if sent.count("MainThread") == before:
            return number
    raise AssertionError("it is never left alone")


def answered(store: Store) -> bool:
    """Call until there is an answer: each call waits a moment for the one who tries."""
    for _ in range(200):
        try:
            return bool(store.call("PING") == b"PONG")
        except StoreUnavailable:
            continue
    return False


def test_a_frozen_server_is_waited_for_thrice_and_no_more(
    store: Store, sent: list[str], freeze: Callable[[int], None]
) -> None:
    """Then nothing is sent to it for requests; a thread tries, and finds it when it thaws."""
    assert answered(store)
    freeze(signal.SIGSTOP)
    most = outage.WAITED_SECONDS / COMMAND_SECONDS + 1
    assert 1 < failures(store, sent) <= most
    asked = sent.count("MainThread")
    for _ in range(5):
        with pytest.raises(StoreUnavailable) as refused:
            store.call("PING")
        assert refused.value.retry_after == 1
    assert sent.count("MainThread") == asked
    freeze(signal.SIGCONT)
    assert answered(store)
    assert "outage" in sent


def test_what_hesitates_for_a_moment_is_not_left_alone(
    store: Store, sent: list[str], freeze: Callable[[int], None]
) -> None:
    """One slow answer, or two, and the very next request is served."""
    answered(store)
    freeze(signal.SIGSTOP)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            store.call("PING")
    freeze(signal.SIGCONT)
    store._connection.socket_timeout = 5.0  # a busy machine is no outage
    assert store.call("PING") == b"PONG"
    assert set(sent) == {"MainThread"}


def test_packets_that_vanish_cost_one_wait(valkey: Valkey) -> None:
    """Nobody answers a connection at all; when somebody does, it is the store again."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):  # what waits there already lets no more in: the system drops what comes
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        line = connect(*listener.getsockname())
        line.socket_connect_timeout = outage.WAITED_SECONDS
        assert outage.WAITED_SECONDS < CONNECT_SECONDS
        store = Store(line)
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                store.call("PING")
        assert store._outage
        line.port = valkey.port  # the way is free again
        assert answered(store)
        store.drop()


def test_whatever_goes_wrong_while_it_tries_ends_nothing(
    store: Store, sent: list[str], line: Any, freeze: Callable[[int], None]
) -> None:
    """A login whose credentials cannot be had, say: it is tried again, and no process stays without the store."""
    wrong = [KeyError("no credentials")]
    send = line.send_packed_command

    def fail(command: Any, **how: Any) -> None:
        if threading.current_thread().name == "outage" and wrong:
            raise wrong.pop()
        send(command, **how)

    line.send_packed_command = fail
    freeze(signal.SIGSTOP)
    failures(store, sent)
    freeze(signal.SIGCONT)
    assert answered(store)
    assert not wrong


def test_who_gives_up_leaves_no_thread(store: Store, sent: list[str], freeze: Callable[[int], None]) -> None:
    """A connection that is dropped in an outage is opened by the next call."""
    answered(store)
    freeze(signal.SIGSTOP)
    failures(store, sent)
    store.drop()
    assert "outage" not in {thread.name for thread in threading.enumerate()}
    freeze(signal.SIGCONT)
    assert answered(store)
