"""Many functions at once, each with its own connection, before one target that has rested: one of them probes it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from shared.core.breakers import Choice, Result
from shared.core.catalog import Resilience, Tier
from shared.core.errors import TargetsResting
from shared.core.policies import policy
from shared.edge.admission import Admission, Ask, Grant
from shared.edge.report import Report
from tests.fakes.patience import patiently

if TYPE_CHECKING:
    from cdk.local.valkey import Valkey

KEY, PLACE = "key:default-abcdefghijkl", "{default}:target:a"
CROWD, ROUNDS = 8, 25
USED: dict[str, str | int] = {"outcome": "ok", "prompt": 1, "completion": 1}
RULES = Resilience(breaker_failures=1, breaker_rest=60)


def ask(name: str) -> Ask:
    """A request that only this target can serve."""
    return Ask("default", (KEY,), name, 60, choice=Choice(("a",), (1,)))


def test_a_crowd_has_one_probe(valkey: Valkey, admission: Admission) -> None:
    """Every time it has rested, and whatever became of the probe before: all others are told to wait."""
    client: Any = valkey.client()
    assert admission.tell("default", KEY, 1, policy({}, Tier()))
    crowd = [Admission(patiently(valkey.host, valkey.port)) for _ in range(CROWD)]
    begin = threading.Barrier(CROWD)

    def come(number: int, turn: int) -> Grant | None:
        begin.wait()
        try:
            return crowd[number].admit(ask(f"{turn}-{number}"))
        except TargetsResting:
            return None

    client.hset(PLACE, mapping={"until": 1, "epoch": 1})
    with ThreadPoolExecutor(CROWD) as threads:
        for turn in range(ROUNDS):
            grants = list(threads.map(come, range(CROWD), [turn] * CROWD))
            [(number, probe)] = [(at, grant) for at, grant in enumerate(grants) if grant]
            assert probe.seen[0].state == "probe"
            report = Report([Result(0, good=False)], RULES)
            assert crowd[number].settle(ask(f"{turn}-{number}"), probe, 0, USED, report)
            assert int(client.hget(PLACE, "epoch")) == turn + 2
            client.hset(PLACE, "until", 1)  # it has rested again
    for one in crowd:
        one.drop()
