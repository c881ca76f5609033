"""One request's steps in every order, late and repeated ones too: it is charged once, and nothing stays reserved."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from shared.core import periods
from shared.core.events import Usage
from shared.core.policies import policy
from shared.core.pricing import Worst
from shared.core.shares import Share
from shared.edge.admission import Ask, Bound, Further

if TYPE_CHECKING:
    from cdk.local.valkey import Valkey
    from shared.edge.admission import Admission

KEY = "default-abcdefghijkl"
SCOPES = (f"key:{KEY}", "org:default")
ASK = Ask("default", SCOPES, "r", 60, models=(Bound("m", Worst(0, 1, 5)),), answers=1, max_tokens=10)
HELD, MORE, SETTLED = 10, 5, 4  # nano-dollars
HOLDS = range(HELD, HELD + 4 * MORE + 1, MORE)  # what a reservation may have grown to
USED: dict[str, Any] = {"outcome": "ok", "prompt": 3, "completion": 4, "key": KEY}
SHARES = (Share(SETTLED, 1, 3, 4, 0, "m"),)
STEPS = ("admit", "topup", "reap", "settle", "replay")
Store = Any  # a Valkey client: redis-py's own types allow for None and str where neither can come


@pytest.fixture
def client(valkey: Valkey) -> Store:
    """A client to look behind the scripts."""
    return valkey.client()


@pytest.mark.parametrize("second", STEPS)
def test_in_whatever_order_the_steps_arrive(admission: Admission, client: Store, second: str) -> None:
    """Each `reap` comes when the lease is over; a settlement says what it cost in the end."""
    for steps in product(STEPS, repeat=3):
        client.flushall()
        client.set("{default}:open", 1)
        for scope in (*SCOPES, "model:m"):
            admission.tell("default", scope, 1, policy({"budget": {"total_nano": 10**6}}))
        _play(admission, client, ("admit", second, *steps, "reap"))
        settled = bool({"settle", "replay"} & {second, *steps})
        for scope in (*SCOPES, "model:m"):
            found = {name.decode(): int(nano) for name, nano in client.hgetall(f"{{default}}:spend:{scope}").items()}
            assert not [name for name in found if name.startswith("r:")], (second, steps, scope)
            assert found["c:t"] in ({SETTLED} if settled else HOLDS), (second, steps, scope)
        assert client.zcard("{default}:holds") == 0


def _play(admission: Admission, client: Store, steps: tuple[str, ...]) -> None:
    grant = admission.admit(ASK)
    day = periods.day_at(client.time()[0] * 1000)
    for step in steps[1:]:
        match step:
            case "admit":
                admission.admit(ASK)
            case "topup":
                admission.topup(ASK, Further(0, MORE, 1, MORE, 1))
            case "reap":
                for request in client.zrange("{default}:holds", 0, -1):
                    client.zadd("{default}:holds", {request: 0})
                    client.hset("{default}:hold:r", "expires", 0)
                admission.reap("default")
            case "settle":
                admission.settle(ASK, grant, SETTLED, {**USED, "models": SHARES})
            case _:
                admission.replay(Usage("r", 1, "default", day=day, cost=SETTLED, **USED, models=SHARES))
