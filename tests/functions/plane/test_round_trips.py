"""Round trips of the gateway to Valkey, counted at the socket: two for a request, what else there can be, and when.

The authorizer makes none: it cannot even load a client (`tests/architecture/test_weight.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.core.pricing import NANO
from tests.fakes.line import Line
from tests.functions.plane.acts import CUT
from tests.functions.plane.rig import KEY, item

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.functions.plane.rig import Rig


@pytest.fixture
def line(rig: Rig) -> Iterator[Line]:
    """A relay in front of the store."""
    relay = Line(int(rig.environment["VALKEY_PORT"]))
    yield relay
    relay.stop()


@pytest.fixture
def far(rig: Rig, line: Line) -> Rig:
    """A gateway of a new process, behind the relay; its key has a budget."""
    rig.valkey.script_flush()
    rig.valkey.set("{default}:open", 1)
    rig.aws.item = item(budget={"total_nano": NANO})
    return rig.behind(line.port)


@pytest.fixture
def warm(far: Rig, line: Line) -> Rig:
    """The same when it has served once."""
    far.chat()
    line.said.clear()
    return far


REQUESTS: dict[str, dict[str, Any]] = {
    "a stream": {},
    "a whole answer": {"stream": False},
    "several answers": {"stream": False, "fields": {"n": 3}},
    "of a user in a team": {"identity": {"user": "ann", "team": "blue", "models": "both,gpt-4o", "secret": "00"}},
}


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_request_takes_two(warm: Rig, line: Line, kind: str) -> None:
    """One before the provider is asked, one after, over the one connection; whatever number of scopes there is."""
    if "identity" in REQUESTS[kind]:
        warm.edit(budget={"total_nano": NANO}, user="ann", team="blue", models=["both", "gpt-4o"])
    warm.chat(**REQUESTS[kind])
    line.said.clear()
    for _ in range(3):
        assert warm.chat(**REQUESTS[kind]).status == 200
    assert line.names() == ["admit", "settle"] * 3
    assert line.connections == 1


def test_embeddings_and_lists_take_two(warm: Rig, line: Line) -> None:
    """The same for all that is admitted."""
    warm.call("POST", "/v1/embeddings", {"model": "org/embed", "input": "Hi"})
    line.said.clear()
    assert warm.call("POST", "/v1/embeddings", {"model": "org/embed", "input": "Hi"}).status == 200
    assert warm.call("GET", "/v1/models").status == 200
    assert line.names() == ["admit", "settle"] * 2


def test_a_refusal_takes_one(warm: Rig, line: Line) -> None:
    """There is nothing to settle; a request that is wrong takes none."""
    assert warm.chat(fields={"max_tokens": 10**6}).status == 429
    assert warm.chat(fields={"temperature": 99}).status == 400
    assert line.names() == ["admit"]


def test_failures_that_are_not_billed_take_no_more(warm: Rig, line: Line) -> None:
    """A provider that refuses costs nothing, so that there is nothing to reserve for the next try."""
    warm.upstream.script = [lambda wire, _request: wire.answer(b"{}", "500 Internal Server Error")]
    assert warm.chat(stream=False, fields={"max_tokens": 9}).status == 200
    assert line.names() == ["admit", "settle"]


def test_a_further_try_after_one_that_may_be_billed_takes_one_more(warm: Rig, line: Line) -> None:
    """It is reserved for, where a budget applies."""
    for _ in range(2):  # the first has the script loaded
        line.said.clear()
        warm.upstream.script = [CUT]
        assert warm.chat(stream=False, fields={"max_tokens": 9}).status == 200
    assert line.names() == ["admit", "topup", "settle"]


def test_a_new_connection_takes_one_more(warm: Rig, line: Line) -> None:
    """Once in the life of a process, and after a loss."""
    warm.gateway.admission.drop()
    warm.chat()
    assert line.names() == ["HELLO", "admit", "settle"]
    assert line.connections == 2


def test_who_is_not_known_takes_one_for_each_scope_and_one_to_ask_again(warm: Rig, line: Line) -> None:
    """The first request of a caller, or after an edit; the others of the same team find it known."""
    warm.valkey.delete(f"{{default}}:policy:key:{KEY}")
    warm.chat()
    assert line.names() == ["admit", "project", "admit", "settle"]


def test_a_store_without_the_scripts_takes_two_more_for_each(far: Rig, line: Line) -> None:
    """A first request to an empty store pays for everything at once; this is all that there can be."""
    far.chat()
    assert line.names() == [
        "HELLO", "HGET", "project", "SCRIPT", "project",  # which catalog is live
        "admit", "SCRIPT", "admit", *["project"] * 3,  # nothing is known of the key, its organization and the model
        "admit", "settle", "SCRIPT", "settle",
    ]  # fmt: skip


def test_what_needs_no_admission_takes_none(warm: Rig, line: Line) -> None:
    """Health is not asked of the store, but where that is the question."""
    warm.call("GET", "/health")
    assert line.names() == []
    warm.call("GET", "/health/ready")
    assert line.names() == ["PING"]
