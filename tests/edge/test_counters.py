"""A closure counts from when somebody first saw the loss, and from nothing that was before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.core.errors import StoreRebuilding
from shared.core.policies import policy
from shared.core.pricing import Worst
from shared.edge.admission import Admission, Ask, Bound, Unprojected
from shared.edge.counters import Counters, connect
from shared.edge.settings import ValkeySettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from cdk.local.valkey import Valkey

OPEN, CLOSURE = "{acme}:open", "{acme}:closure"
ASK = Ask("acme", ("key:acme-k1", "org:acme"), "r1", 60, (Bound("m", Worst(5, 0, 0)),))


@pytest.fixture
def client(valkey: Valkey) -> Iterator[redis.Redis]:
    """A client that reads text, as the books have it."""
    settings = ValkeySettings(valkey.host, valkey.port, tls=False, user="", cache="")
    with connect(settings, None) as opened:
        yield opened


@pytest.fixture
def counters(client: redis.Redis) -> Counters:
    """The store as the books see it."""
    return Counters(client)


def told(admission: Admission) -> None:
    """Tell the store of both scopes, one of which has a budget."""
    admission.tell("acme", "key:acme-k1", 1, policy({}))
    admission.tell("acme", "org:acme", 1, policy({"budget": {"total_nano": 9}}))
    admission.tell("acme", "model:m", 1, policy({}))


def test_the_first_request_after_a_loss_begins_the_closure(
    admission: Admission, client: redis.Redis, counters: Counters
) -> None:
    """By the store's clock; those that follow, and who keeps the books, find it."""
    before = counters.now()
    with pytest.raises(Unprojected):
        admission.admit(ASK)
    mark = str(client.get(CLOSURE))
    assert before <= int(mark) <= counters.now()
    told(admission)
    for _ in range(2):
        with pytest.raises(StoreRebuilding):
            admission.admit(ASK)
    assert counters.close("acme", before - 1) == mark == client.get(CLOSURE)


def test_who_is_open_is_not_marked(admission: Admission, client: redis.Redis) -> None:
    """Whether the caller is known or not."""
    admission.open_new("acme")
    with pytest.raises(Unprojected):
        admission.admit(ASK)
    told(admission)
    assert admission.admit(ASK).held == 5
    assert not client.exists(CLOSURE)


def test_opening_a_new_one_ends_what_its_first_requests_saw(
    admission: Admission, client: redis.Redis, counters: Counters
) -> None:
    """Or a loss, much later, would be taken for one of long ago."""
    client.set(CLOSURE, 5)
    admission.open_new("acme")
    assert not client.exists(CLOSURE)
    client.set(CLOSURE, 5)
    counters.open_new("acme")
    assert not client.exists(CLOSURE)


@pytest.mark.parametrize(("opened", "whole"), [(True, 0), (False, 6)], ids=["stands beside", "is older"])
def test_the_mark_of_a_closure_that_is_over_counts_for_nothing(
    client: redis.Redis, counters: Counters, whole: int, *, opened: bool
) -> None:
    """A backup that was made in the middle of a closure is put in place, or of an open organization beside a mark."""
    client.set(CLOSURE, 5)
    if opened:
        client.set(OPEN, 1)
    began = counters.now()
    mark = counters.close("acme", whole)
    assert int(mark) >= began
    assert counters.close("acme", whole) == mark
    assert not client.exists(OPEN)
