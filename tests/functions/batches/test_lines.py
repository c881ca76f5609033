"""Lines of a batch through the gateway's own pipeline: what holds for requests holds for them, to the nano-dollar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from functions.batch_lines import Asking, Job
from shared.core import batches
from tests.functions.batches.rig import lines
from tests.functions.plane.conftest import rig, upstream  # noqa: F401 - fixtures
from tests.functions.plane.rig import KEY, Rig, built, item
from tests.functions.plane.test_money import COST, SPEND

if TYPE_CHECKING:
    from shared.core.batches import Row

CALLER = {
    "key_id": KEY, "org": "default", "role": "developer", "tier": "pro", "models": "", "expires_at": "0", "user": "",
    "team": "",
}  # fmt: skip
JOB = Job("batch_1", CALLER, "192.0.2.7", 0)
NAMES = [f"l{number}" for number in range(12)]


@pytest.fixture
def asking(rig: Rig) -> Asking:  # noqa: F811 - the fixture
    """Four gateways, as the worker has eight; they do not sleep."""
    rig.valkey.set("{default}:open", 1)
    gateways = [built(rig.environment)._replace(telemetry=rig.gateway.telemetry) for _ in range(4)]
    return Asking(gateways, rig.pauses.append)


def rows(*names: str, **more: Any) -> list[Row]:
    """Lines."""
    return list(batches.read(lines(*names, **more)))


def spent(rig: Rig) -> int:  # noqa: F811 - the fixture
    """Nano-dollars that the key has spent."""
    return int(rig.valkey.hget(SPEND, "c:t") or 0)


def test_each_line_is_a_request_of_its_key(rig: Rig, asking: Asking) -> None:  # noqa: F811 - the fixture
    """Answered in its dialect, and charged to the key."""
    said = asking.ask(JOB, rows(*NAMES))
    assert {one.status for one in said.heard.values()} == {200}
    assert said.heard[3].body["choices"][0]["message"]["content"] == "Hi there"
    assert spent(rig) == len(NAMES) * COST
    assert {use["key"] for use in rig.usage()} == {KEY}


def test_lines_asked_again_are_charged_once(rig: Rig, asking: Asking) -> None:  # noqa: F811 - the fixture
    """The worker died before it had stored what they came to: it asks again, and the books know them."""
    asking.ask(JOB, rows(*NAMES))
    again = asking.ask(JOB, rows(*NAMES))
    assert {one.status for one in again.heard.values()} == {200}
    assert spent(rig) == len(NAMES) * COST
    assert len(rig.usage()) == len(NAMES)
    asking.ask(JOB._replace(turn=1), rows("l0"))  # what was waited for is another request
    assert spent(rig) == (len(NAMES) + 1) * COST


def test_a_spent_budget_is_the_lines_answer(rig: Rig, asking: Asking) -> None:  # noqa: F811 - the fixture
    """Together they never spend more, and nobody waits for money."""
    rig.aws.item = item(budget={"total_nano": 8 * COST})
    said = asking.ask(JOB, rows(*NAMES))
    codes = [one.body["error"]["code"] for one in said.heard.values() if one.status == 429]
    assert set(codes) == {"insufficient_quota"}
    assert said.wait is None
    assert 0 < spent(rig) <= 8 * COST


def test_a_limit_a_minute_makes_lines_wait(rig: Rig, asking: Asking) -> None:  # noqa: F811 - the fixture
    """Exactly as many pass as the key may ask."""
    rig.aws.item = item(limits={"requests_per_minute": 5})
    said = asking.ask(JOB, rows(*NAMES))
    assert [one.status for one in said.heard.values()] == [200] * 5
    assert said.wait is not None
    assert 5 < said.wait <= 60


def test_a_short_wait_is_made_at_once(rig: Rig, asking: Asking) -> None:  # noqa: F811 - the fixture
    """One request at a time is no reason for a message."""
    rig.aws.item = item(limits={"concurrency": 1})
    said = asking.ask(JOB, rows("a", "b"))
    assert {one.status for one in said.heard.values()} <= {200}
    assert set(rig.pauses) <= {1.0}


def test_a_revoked_key_has_no_more_answers(rig: Rig, asking: Asking) -> None:  # noqa: F811 - the fixture
    """From the next line on."""
    asking.ask(JOB, rows("a"))
    rig.edit(revoked=True)
    said = asking.ask(JOB, rows("b", "c"))
    assert [one.status for one in said.heard.values()] == [401, 401]
    assert spent(rig) == COST


def test_a_wrong_line_says_what_is_wrong(asking: Asking) -> None:
    """As it would to a client."""
    said = asking.ask(JOB, rows("a", body={"model": "nothing", "messages": []}))
    assert (said.heard[0].status, said.heard[0].body["error"]["param"]) == (400, "messages")
