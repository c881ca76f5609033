"""The client side of the scripts: how many round trips, and what a slow, broken, new or lost store does to them."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from shared.core.breakers import Choice
from shared.core.catalog import Tier
from shared.core.errors import RateLimited, StoreUnavailable
from shared.core.events import Usage
from shared.core.limits import Standing, scopes
from shared.core.policies import policy
from shared.core.pricing import Worst
from shared.core.shares import Share
from shared.edge.admission import Admission, Ask, Bound, Grant, connect
from shared.edge.store import COMMAND_SECONDS
from tests.edge.projecting import projected
from tests.fakes.patience import patiently, wait_longer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdk.local.valkey import Valkey
    from tests.fakes.line import Line

KEY = "default-abcdefghijkl"
USED: dict[str, str | int] = {"outcome": "ok", "prompt": 3, "completion": 4}
NONE = Standing(0, 0, 0)
GRANT = Grant(NONE, NONE, 0, budgeted=False, day="2026-11-21", month="2026-11")


def ask(request: str, key: str = KEY) -> Ask:
    """Return the question whether a request of a key may pass."""
    return Ask(key.partition("-")[0], (f"key:{key}",), request, 60)


@pytest.fixture
def remote(line: Line) -> Iterator[Admission]:
    """The scripts, through the relay; the key is known there and unlimited, the scripts are loaded."""
    opened = Admission(patiently("127.0.0.1", line.port))
    projected(opened, KEY, version=1, limits=Tier())
    opened.admit(ask("first"))
    opened.settle(ask("first"), GRANT, 0, USED)
    yield opened
    opened.drop()


def test_a_request_takes_exactly_two_round_trips(line: Line, remote: Admission) -> None:
    """One before, one after, over the one connection; a new connection costs one more."""
    line.said.clear()
    for number in range(5):
        remote.admit(ask(f"r{number}"))
        remote.settle(ask(f"r{number}"), GRANT, 0, USED)
    assert (len(line.said), line.connections) == (10, 1)

    remote.drop()
    remote.admit(ask("more"))
    assert (len(line.said), line.connections) == (12, 2)


def test_a_server_without_the_scripts_gets_them(line: Line, remote: Admission, valkey: Valkey) -> None:
    """After a failover or SCRIPT FLUSH the call still works, and only that one takes longer."""
    valkey.client().script_flush()
    line.said.clear()

    remote.admit(ask("r"))
    remote.admit(ask("s"))

    assert len(line.said) == 3 + 1


def test_a_silent_store_is_given_up_soon_and_its_late_answer_never_taken(line: Line, remote: Admission) -> None:
    """Twice a command's time, no third try; what arrives afterwards belongs to connections that are gone."""
    projected(remote, KEY, version=2, limits=Tier(requests_per_minute=9))
    line.flows.clear()
    line.said.clear()

    wait_longer(remote, COMMAND_SECONDS)

    with pytest.raises(StoreUnavailable) as failure:
        remote.admit(ask("lost"))
    assert failure.value.retry_after == 1
    assert line.names() == ["admit", "HELLO"]

    wait_longer(remote)
    line.flows.set()
    assert remote.admit(ask("next")).requests.remaining == 7  # the lost one was counted, its answer is not this one
    assert remote.settle(ask("next"), GRANT, 0, USED) is True


def test_a_connection_that_broke_while_idle_is_replaced(line: Line, remote: Admission) -> None:
    """The store, or something on the way, hung up between two requests: nobody notices."""
    line.cut()
    while line.connections == 1:  # until the other side has seen it, too: it may take a moment
        with suppress(StoreUnavailable):
            remote.admit(ask("r"))

    assert remote.settle(ask("r"), GRANT, 0, USED)


def test_a_connection_that_was_silent_for_long_is_not_trusted(line: Line) -> None:
    """After a freeze nobody knows what became of it: the next call opens another at once."""
    now = [1000.0]
    admission = Admission(patiently("127.0.0.1", line.port), clock=lambda: now[0])
    admission.ping()
    now[0] += 49
    admission.ping()
    assert line.connections == 1
    now[0] += 51
    admission.ping()
    assert line.connections == 2
    admission.drop()


def test_nonsense_from_the_store_is_its_failure(line: Line, remote: Admission) -> None:
    """What is no answer of the protocol is a 503, and the next call is clean."""
    line.spoil = True
    with pytest.raises(StoreUnavailable):
        remote.admit(ask("r"))

    line.spoil = False
    assert remote.settle(ask("r"), GRANT, 0, USED)


@pytest.mark.parametrize("loss", ["refused", "wrong type", "short of memory"])
def test_every_failure_of_the_store_is_one_error(line: Line, remote: Admission, valkey: Valkey, loss: str) -> None:
    """Gone, filled with something else, or short of memory: a StoreUnavailable, a 503 with a hint when to retry."""
    client = valkey.client()
    match loss:
        case "refused":
            line.stop()
            remote.drop()
        case "wrong type":
            client.delete(f"{{default}}:policy:key:{KEY}")
            client.set(f"{{default}}:policy:key:{KEY}", "text")
        case _:
            client.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable) as failure:
            remote.admit(ask("r"))
    finally:
        client.config_set("maxmemory", 0)
    assert (failure.value.status, failure.value.retry_after) == (503, 1)


def test_short_of_memory_nothing_is_half_done(remote: Admission, valkey: Valkey) -> None:
    """The script does not start rather than stop in the middle: neither log nor lease was written."""
    projected(remote, KEY, version=2, limits=Tier(requests_per_minute=9))
    client = valkey.client()
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable):
            remote.admit(ask("r"))
    finally:
        client.config_set("maxmemory", 0)

    assert client.llen(f"{{default}}:rate:key:{KEY}") == 0
    assert client.zscore(f"{{default}}:leases:key:{KEY}", "r") is None


def test_many_at_once_never_exceed_the_limit(valkey: Valkey) -> None:
    """Eight clients with 20 tries each and a limit of 50: 50 pass, and never more than 7 at a time."""
    projected(Admission(patiently(valkey.host, valkey.port)), KEY, version=1, limits=Tier(50, 0, 0, 7))
    passed: list[str] = []
    peak: list[int] = []

    def work(name: int) -> None:
        admission, client = Admission(patiently(valkey.host, valkey.port)), valkey.client()
        for number in range(20):
            request = f"{name}-{number}"
            with suppress(Exception):
                admission.admit(ask(request))
                passed.append(request)
                peak.append(int(client.zcard(f"{{default}}:leases:key:{KEY}")))
                admission.settle(ask(request), GRANT, 0, USED)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(passed) == 50
    assert max(peak) <= 7


def test_organizations_do_not_see_each_other(admission: Admission) -> None:
    """The same id in two of them is two keys, in two slots of the cluster."""
    projected(admission, "acme-abcdefghijkl", version=1, limits=Tier(1))
    projected(admission, "umbrella-abcdefghijkl", version=1, limits=Tier(1))

    for key in ("acme-abcdefghijkl", "umbrella-abcdefghijkl"):
        assert admission.admit(ask("r", key)).requests.remaining == 0


def test_a_new_connection_signs_in_with_fresh_credentials(valkey: Valkey) -> None:
    """An IAM token lives for minutes: each connection asks for one; a wrong one is a failure of the store."""
    client: Any = valkey.client()
    client.execute_command("ACL", "SETUSER", "app", "on", ">token-1", ">token-2", "~*", "+@all")
    tokens = ["wrong", "token-2", "token-1"]
    admission = Admission(connect(valkey.host, valkey.port, credentials=lambda: ("app", tokens.pop())))
    admission.ping()
    admission.ping()
    admission.drop()
    admission.ping()
    admission.drop()

    with pytest.raises(StoreUnavailable):
        admission.ping()
    assert tokens == []
    client.execute_command("ACL", "DELUSER", "app")


def test_an_admission_that_comes_after_its_settlement_is_taken_back(admission: Admission, valkey: Valkey) -> None:
    """Both were lost on the way and arrive in the wrong order: the settlement counts, and nothing stays held."""
    record = {"tier": "pro", "limits": {"concurrency": 1}, "budget": {"total_nano": 100}}
    admission.tell("default", f"key:{KEY}", 1, policy(record))
    client = valkey.client()
    client.set("{default}:open", 1)
    late = ask("r")._replace(models=(Bound("m", Worst(60, 0, 0)),), lease=0.05, choice=Choice(("openai:one",), (1,)))
    assert admission.settle(late, GRANT, 7, USED)
    admission.admit(late)
    spending = f"{{default}}:spend:key:{KEY}"
    assert client.hget(spending, "r:t") == b"60"
    time.sleep(0.06)
    assert admission.reap("default") == 0
    assert client.hgetall(spending) == {b"c:d:2026-11-21": b"7", b"c:m:2026-11": b"7", b"c:t": b"7"}
    assert client.zcard("{default}:holds") == client.zcard(f"{{default}}:leases:key:{KEY}") == 0
    assert client.hget("{default}:target:openai:one", "busy") is None
    assert client.xlen("{default}:usage") == 1


def test_a_replay_gives_back_what_is_held_in_every_scope(admission: Admission, valkey: Valkey) -> None:
    """Also where an endpoint stands between organization and alias, of which the journal says nothing."""
    budget = policy({"budget": {"total_nano": 100}})
    everybody = scopes("default", KEY, alias="a", endpoint="route")
    for scope in (*everybody, "model:m"):
        admission.tell("default", scope, 1, policy({}) if scope.startswith("class:") else budget)
    client = valkey.client()
    client.set("{default}:open", 1)
    grant = admission.admit(ask("r")._replace(scopes=everybody, models=(Bound("m", Worst(60, 0, 0)),)))
    shares = (Share(7, 1, 0, 0, 0, "m"),)
    used = Usage("r", 1, "default", grant.day, KEY, alias="a", outcome="ok", cost=7, models=shares)
    assert [admission.replay(used) for _ in range(2)] == [True, False]
    for scope in (f"key:{KEY}", "org:default", "alias:a", "model:m"):
        spent = client.hgetall(f"{{default}}:spend:{scope}")
        assert spent == {f"c:d:{grant.day}".encode(): b"7", f"c:m:{grant.month}".encode(): b"7", b"c:t": b"7"}
    assert client.zcard("{default}:holds") == 0


def test_a_request_of_no_model_can_be_withdrawn(admission: Admission, valkey: Valkey) -> None:
    """Its slot is free again and nobody books it; that it was made counts on."""
    everybody = scopes("default", KEY, "ann", "blue", endpoint="metrics")
    for scope in everybody:
        admission.tell("default", scope, 1, policy({"limits": {"concurrency": 1, "requests_per_minute": 3}}))
    client = valkey.client()
    client.set("{default}:open", 1)
    for remaining in (2, 1, 0):
        one = ask("r")._replace(scopes=everybody)
        assert admission.admit(one).requests.remaining == remaining
        admission.withdraw(one)
        assert not client.keys("*:leases:*")
    assert not client.exists("{default}:holds", "{default}:hold:r", "{default}:usage")
    with pytest.raises(RateLimited):
        admission.admit(ask("r")._replace(scopes=everybody))
