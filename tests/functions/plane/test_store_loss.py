"""An organization that wants to be served while the store is away: answered, written down, and nobody else is."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from shared.core import events, journal
from shared.core.pricing import NANO
from shared.edge.store import COMMAND_SECONDS
from tests.fakes.line import Line
from tests.fakes.patience import wait_longer
from tests.functions.conftest import eventually
from tests.functions.plane.acts import BREAKS_OFF
from tests.functions.plane.rig import KEY, encoded, item, well
from tests.functions.plane.test_gateway import refused
from tests.functions.plane.test_journal import written
from tests.functions.plane.test_money import COST, SPEND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdk.local.valkey import Valkey
    from shared.edge.admission import Ask
    from tests.functions.plane.rig import Rig
    from tests.functions.plane.upstream import Request, Wire

SERVE = {"on_store_loss": "serve"}


@pytest.fixture
def line(rig: Rig) -> Iterator[Line]:
    """A relay in front of the store."""
    relay = Line(int(rig.environment["VALKEY_PORT"]))
    yield relay
    relay.stop()


@pytest.fixture
def far(rig: Rig, line: Line) -> Rig:
    """A gateway behind the relay; its key has a budget of one nano-dollar, which refuses everything."""
    rig.valkey.set("{default}:open", 1)
    rig.aws.item = item(budget={"total_nano": 1})
    return rig.behind(line.port)


@pytest.fixture
def freeze(store_server: Valkey) -> Iterator[Callable[[int], None]]:
    """Send the server itself a signal."""
    pid = store_server.child.process.pid
    yield lambda number: os.kill(pid, number)
    os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("stream", [False, True])
def test_a_stopped_store_stops_nobody_who_wants_to_be_served(far: Rig, line: Line, *, stream: bool) -> None:
    """No limit, no budget; the line says what it cost and that the store did not hear of it. Others get their 503."""
    assert refused(far.chat(identity=SERVE), 429, "insufficient_quota")
    line.stop()
    far.gateway.admission.drop()
    client = far.chat(stream=stream, identity=SERVE)
    assert client.status == 200
    assert "x-ratelimit-limit-requests" not in client.headers
    [said] = written(far, events.USAGE)
    assert (said["stored"], said["cost"], said["key"]) == ("no", COST, KEY)
    assert far.lines[-1]["settled"] is False
    for chosen in ("", "refuse", "Serve"):
        other = far.chat(stream=stream, identity={"on_store_loss": chosen})
        refused(other, 503, "store_unavailable")
        assert other.headers["retry-after"] == "1"
    assert len(far.upstream.requests) == 1
    assert len(written(far, events.USAGE)) == 1


def test_it_is_written_down_before_a_provider_hears_of_it(far: Rig, line: Line) -> None:
    """At worst, and more for a further try that may be billed as well: should the process die, that is charged."""
    far.aws.item = item()
    far.chat()
    assert not written(far, events.RESERVED)
    line.stop()
    far.gateway.admission.drop()
    before: list[int] = []

    def note(wire: Wire, request: Request) -> None:
        before.append(len(written(far, events.RESERVED)))
        wire.close() if len(before) == 1 else well(wire, request)

    far.upstream.default = note
    assert far.chat(stream=False, fields={"max_tokens": 10}, identity=SERVE).status == 200
    first, second = written(far, events.RESERVED)
    assert before == [1, 2]
    assert (first["stored"], second["stored"], first["key"]) == ("no", "no", KEY)
    assert second["held"] == 2 * first["held"] > 0


def test_what_costs_nothing_is_not_written_down(far: Rig, line: Line) -> None:
    """The lists of models, say."""
    line.stop()
    far.gateway.admission.drop()
    assert far.call("GET", "/v1/models", identity=SERVE).status == 200
    assert not written(far, events.RESERVED)


def test_with_the_store_nothing_is_marked_and_every_limit_holds(far: Rig) -> None:
    """Wanting to be served changes nothing while the store answers: a revoked key is refused at once."""
    far.aws.item = item()
    assert far.chat(identity=SERVE).status == 200
    assert "stored" not in written(far, events.USAGE)[0]
    far.edit(revoked=True)
    refused(far.chat(identity=SERVE), 401, "invalid_api_key")


def test_a_caller_who_has_changed_is_still_served(far: Rig, line: Line) -> None:
    """Its record is read anew when the store calls it out of date, and what the organization wants stays known."""
    far.chat()
    far.edit(version=3, role="service")
    admit, asked = far.gateway.admission.admit, []

    def lose(ask: Ask, **how: Any) -> Any:
        asked.append(ask.who.identity)
        if len(asked) > 1:
            line.stop()
            far.gateway.admission.drop()
        return admit(ask, **how)

    far.gateway.admission.admit = lose  # type: ignore[method-assign]
    assert far.chat(identity=SERVE).status == 200
    assert len(set(asked)) == len(asked) == 2


def test_books_that_are_rebuilt_are_waited_for(far: Rig) -> None:
    """The store answers, a budget applies, and what was spent is being read: that ends by itself."""
    far.aws.item = item(budget={"total_nano": NANO})
    far.valkey.delete("{default}:open")
    refused(far.chat(identity=SERVE), 503, "store_rebuilding")


def test_a_broken_answer_is_charged_as_it_is_with_the_store(far: Rig, line: Line) -> None:
    """By what was heard and the longest prompt, and by all that the answer might have cost if nothing was."""
    far.aws.item = item()
    far.upstream.script = [BREAKS_OFF]
    far.chat(fields={"max_tokens": 50})
    line.stop()
    far.gateway.admission.drop()
    far.upstream.script = [BREAKS_OFF]
    far.chat(fields={"max_tokens": 50}, identity=SERVE)
    counted, uncounted = written(far, events.USAGE)
    assert counted["cost"] == uncounted["cost"] > COST


def test_a_frozen_store_books_it_once_when_it_thaws(rig: Rig, freeze: Callable[[int], None]) -> None:
    """It hears admission and settlement late, in whichever order, and then the books: it is charged once, all told."""
    rig.valkey.set("{default}:open", 1)
    rig.aws.item = item(budget={"total_nano": NANO})
    assert rig.chat().status == 200
    wait_longer(rig.gateway.admission, COMMAND_SECONDS)
    freeze(signal.SIGSTOP)
    assert rig.chat(identity=SERVE).status == 200
    freeze(signal.SIGCONT)
    wait_longer(rig.gateway.admission)
    assert rig.chat().status == 200
    said = [line for line in written(rig, events.USAGE) if line.get("stored")]
    found = journal.read(json.dumps(said[0]), "default")
    assert isinstance(found, events.Usage)
    for _ in range(2):
        rig.gateway.admission.replay(found)
    assert len(said) == 1
    assert [use["cost"] for use in rig.usage()] == [str(COST)] * 3
    assert rig.valkey.hgetall(SPEND)[b"c:t"] == str(3 * COST).encode()
    assert b"r:t" not in rig.valkey.hgetall(SPEND)
    assert rig.valkey.zcard("{default}:holds") == 0


def test_a_slow_store_that_comes_back_hears_of_it_at_once(far: Rig, line: Line) -> None:
    """Its answer to the admission came too late: the settlement gives back what it holds, and charges what it cost."""
    far.aws.item = item(budget={"total_nano": NANO})
    assert far.chat().status == 200

    def recover(wire: Wire, request: Request) -> None:
        wait_longer(far.gateway.admission)
        line.flows.set()
        far.upstream.default(wire, request)

    wait_longer(far.gateway.admission, COMMAND_SECONDS)
    line.flows.clear()
    far.upstream.script = [recover]
    assert far.chat(identity=SERVE).status == 200
    assert [use["cost"] for use in far.usage()] == [str(COST)] * 2
    assert far.valkey.hgetall(SPEND)[b"c:t"] == str(2 * COST).encode()
    assert b"r:t" not in far.valkey.hgetall(SPEND)
    assert far.valkey.zcard("{default}:holds") == 0


def test_an_ensemble_is_served_as_well(far: Rig, line: Line) -> None:
    """Each of its members is a request like any other."""
    far.aws.others = [encoded({"pk": "default", "sk": "org", "version": 1})]
    line.stop()
    asked = {"models": ["gpt-4o", "both"], "messages": [{"role": "user", "content": "Hello"}], "strategy": "vote"}
    assert far.call("POST", "/api/ai/ensemble", asked, identity=SERVE).status == 200
    assert {said["stored"] for said in written(far, events.USAGE)} == {"no"}


def test_a_request_that_was_refused_is_not_charged_when_the_store_thaws(
    rig: Rig, freeze: Callable[[int], None]
) -> None:
    """The store hears of its admission late, and nobody settles it; the line says that it has cost nothing."""
    rig.valkey.set("{default}:open", 1)
    rig.aws.item = item(budget={"total_nano": NANO})
    assert rig.chat().status == 200
    rig.lines.clear()
    wait_longer(rig.gateway.admission, COMMAND_SECONDS)
    freeze(signal.SIGSTOP)
    refused(rig.chat(), 503, "store_unavailable")
    freeze(signal.SIGCONT)
    eventually(lambda: rig.valkey.zcard("{default}:holds"))
    assert int(rig.valkey.hgetall(SPEND)[b"r:t"]) > 0
    [said] = written(rig, events.USAGE)
    assert (said["cost"], said["outcome"], "stored" in said) == (0, "store_unavailable", False)
    found = journal.read(json.dumps(said), "default")
    assert isinstance(found, events.Usage)
    wait_longer(rig.gateway.admission)
    rig.valkey.zadd("{default}:holds", {found.request_id: 1})  # its time has run out
    rig.valkey.hset(f"{{default}}:hold:{found.request_id}", "expires", 1)
    eventually(lambda: rig.gateway.admission.reap("default", told=lambda *_: {found.request_id: found}))
    assert rig.valkey.hgetall(SPEND)[b"c:t"] == str(COST).encode()
    assert b"r:t" not in rig.valkey.hgetall(SPEND)
