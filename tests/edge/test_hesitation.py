"""A store that hesitates for longer than a call may take, or has closed the connection, is asked once more.

The scripts that are asked again answer by the request's id: whichever of the two calls it hears, and when, counts once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.core.catalog import Tier
from shared.core.errors import StoreUnavailable
from shared.core.limits import Standing
from shared.edge.admission import Admission, Ask, Further, Grant
from shared.edge.store import COMMAND_SECONDS, Unanswered
from tests.edge.projecting import projected
from tests.fakes.patience import patiently, wait_longer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdk.local.valkey import Valkey
    from tests.fakes.line import Line

KEY = "default-abcdefghijkl"
NONE = Standing(0, 0, 0)
GRANT = Grant(NONE, NONE, 0, budgeted=False, day="2026-11-21", month="2026-11")
ASK = Ask("default", (f"key:{KEY}",), "one", 60)
USED: dict[str, str | int] = {"outcome": "ok", "prompt": 3, "completion": 4}


@pytest.fixture
def remote(line: Line) -> Iterator[Admission]:
    """The scripts, through the relay; the key may call thrice a minute, the scripts are loaded."""
    opened = Admission(patiently("127.0.0.1", line.port))
    projected(opened, KEY, version=1, limits=Tier(requests_per_minute=3))
    opened.admit(ASK._replace(request_id="first"))
    opened.settle(ASK._replace(request_id="first"), GRANT, 0, USED)
    yield opened
    opened.drop()


@pytest.fixture
def hesitates(line: Line, remote: Admission) -> Callable[[], None]:
    """Have the answer to the next call come late, when the call is made again."""
    connection: Any = remote._store._connection
    connect = connection.connect

    def again() -> None:  # the first call was given up
        wait_longer(remote)
        line.flows.set()
        connect()

    def begin() -> None:
        wait_longer(remote, COMMAND_SECONDS)
        line.flows.clear()
        line.said.clear()
        connection.connect = again

    return begin


def test_an_admission_counts_once(remote: Admission, line: Line, hesitates: Callable[[], None], valkey: Valkey) -> None:
    """Both calls are heard, and the second is answered as the first one was."""
    hesitates()
    assert remote.admit(ASK).requests.remaining == 1
    assert line.names() == ["admit", "HELLO", "admit"]
    assert valkey.client().zcard("{default}:holds") == 1
    assert remote.admit(ASK._replace(request_id="two")).requests.remaining == 0


def test_a_settlement_is_charged_once(
    remote: Admission, line: Line, hesitates: Callable[[], None], valkey: Valkey
) -> None:
    """And known to have been made."""
    remote.admit(ASK)
    hesitates()
    remote.settle(ASK, GRANT, 7, USED)
    assert line.names() == ["settle", "HELLO", "settle"]
    assert valkey.client().hget(f"{{default}}:spend:key:{KEY}", "c:t") == b"7"
    assert valkey.client().zcard("{default}:holds") == 0


def test_a_connection_that_was_closed_is_replaced_under_a_call(remote: Admission, line: Line, valkey: Valkey) -> None:
    """While its command is on the way."""
    connection: Any = remote._store._connection
    send, cuts = connection.send_packed_command, ["once"]

    def cut(command: Any, **how: Any) -> None:
        if connection._sock and cuts:
            cuts.pop()
            line.cut()
        send(command, **how)

    connection.send_packed_command = cut
    assert remote.admit(ASK).requests.remaining == 1
    assert valkey.client().zcard("{default}:holds") == 1


def test_what_was_called_and_cannot_be_reached_again_may_have_heard(remote: Admission, line: Line) -> None:
    """Who could not even be called has heard nothing."""
    connection: Any = remote._store._connection
    send = connection.send_packed_command

    def vanish(command: Any, **how: Any) -> None:
        line.stop()
        send(command, **how)

    connection.send_packed_command = vanish
    with pytest.raises(Unanswered):
        remote.admit(ASK)
    with pytest.raises(StoreUnavailable) as refused:
        remote.admit(ASK)
    assert not isinstance(refused.value, Unanswered)


def test_what_adds_up_is_not_asked_again(remote: Admission, line: Line, hesitates: Callable[[], None]) -> None:
    """Money for a further try would be reserved twice."""
    remote.admit(ASK)
    hesitates()
    with pytest.raises(StoreUnavailable):
        remote.topup(ASK, Further(0, 1, 0, 0, 0))
    assert line.names() == ["topup"]
