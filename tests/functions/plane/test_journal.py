"""The lines that outlive the store: out before the provider is asked, and before the store hears what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.core import events
from shared.core.pricing import NANO
from shared.core.principals import token_key_id
from tests.functions.plane.acts import BREAKS_OFF, CUT
from tests.functions.plane.rig import KEY, item, well
from tests.functions.plane.test_money import COST

if TYPE_CHECKING:
    from tests.functions.plane.rig import Rig
    from tests.functions.plane.upstream import Request, Wire


@pytest.fixture(autouse=True)
def _open(rig: Rig) -> None:
    rig.valkey.set("{default}:open", 1)


def written(rig: Rig, event: str) -> list[dict[str, Any]]:
    """The lines of one kind."""
    return [line for line in rig.lines if line["event"] == event]


def test_a_reservation_is_written_before_the_provider_is_asked(rig: Rig) -> None:
    """With all that the store holds of it."""
    rig.aws.item = item(budget={"total_nano": NANO})
    seen: list[dict[str, Any]] = []

    def look(wire: Wire, request: Request) -> None:
        seen.extend(written(rig, events.RESERVED))
        [hold] = rig.valkey.keys("{default}:hold:*")
        assert int(rig.valkey.hget(hold, "amount")) == seen[0]["held"] > COST
        assert rig.valkey.hget(hold, "day").decode() == seen[0]["day"]
        assert seen[0]["ends"] >= int(rig.valkey.hget(hold, "expires"))
        well(wire, request)

    rig.upstream.default = look
    assert rig.chat(stream=False, fields={"max_tokens": 50}).status == 200
    [line] = seen
    assert (line["key"], line["org"], line["alias"]) == (KEY, "default", "")
    assert line["models"] == {"gpt-4o": line["held"]}
    assert written(rig, events.RESERVED) == seen


def test_without_a_budget_nothing_is_written_beforehand(rig: Rig) -> None:
    """Nobody's money can be overspent, and the line that says what it cost is enough."""
    assert rig.chat().status == 200
    assert written(rig, events.RESERVED) == []
    [line] = written(rig, events.USAGE)
    assert line["cost"] == COST


def test_what_is_reserved_for_a_further_try_is_written_too(rig: Rig) -> None:
    """The second line has the sum, as the store does."""
    rig.aws.item = item(budget={"total_nano": NANO})
    rig.upstream.script = [CUT]
    assert rig.chat(stream=False, fields={"max_tokens": 10}).status == 200
    first, second = written(rig, events.RESERVED)
    [use] = rig.usage()
    assert second["held"] == 2 * first["held"] == int(use["held"])


def test_a_settlement_is_written_before_the_store_hears_of_it(rig: Rig) -> None:
    """Line and stream say the same; the line is there also where the store is not."""
    assert rig.chat(identity={"team": "blue"}).status == 200
    [line] = written(rig, events.USAGE)
    [use] = rig.usage()
    assert {name: str(line[name]) for name in use.keys() - {"seq", "held"}} == {
        name: value for name, value in use.items() if name not in {"seq", "held"}
    }

    def lose(wire: Wire, request: Request) -> None:
        rig.gateway.admission.drop()
        rig.gateway.admission._store._connection.port = 1
        well(wire, request)

    rig.upstream.script = [lose]
    assert rig.chat().status == 200
    assert rig.lines[-1]["settled"] is False
    assert written(rig, events.USAGE)[-1]["cost"] == COST


def test_what_ends_in_any_other_way_is_written_as_well(rig: Rig) -> None:
    """A stream that breaks off, and the list of models, which costs nothing."""
    rig.upstream.script = [BREAKS_OFF]
    rig.chat()
    rig.call("GET", "/v1/models")
    first, second = written(rig, events.USAGE)
    assert first["cost"] > COST
    assert first["outcome"] != "ok"
    assert second["cost"] == 0
    assert [use["request_id"] for use in rig.usage()] == [first["request_id"], second["request_id"]]


def test_no_line_names_a_person(rig: Rig) -> None:
    """A user's id may be a name; the store has it, the log has not."""
    person = {"key_id": token_key_id("default", "pro", "jane.doe"), "user": "jane.doe"}
    rig.aws.others = [item(sk="user#jane.doe", budget={"total_nano": NANO})]
    assert rig.chat(identity=person).status == 200
    assert [line["event"] for line in rig.lines] == [events.RESERVED, events.USAGE, "request"]
    assert "jane" not in str(rig.lines)
    assert rig.usage()[0]["user"] == "jane.doe"
