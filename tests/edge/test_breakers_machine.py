"""Breakers, latencies and load of targets against a model on a real Valkey; and bugs that it must find."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared.core.breakers import Choice, Result
from shared.core.catalog import Resilience, Tier
from shared.core.errors import TargetsResting
from shared.core.limits import Standing
from shared.core.policies import policy
from shared.edge.admission import Admission, Ask, Grant
from shared.edge.report import Report
from tests.edge.breakers_model import FAILURES, PROBE, REST, Request, Target
from tests.edge.looking import find, run

if TYPE_CHECKING:
    from cdk.local.valkey import Valkey

KEY = "key:default-abcdefghijkl"
NAMES = ("a", "b", "c")
WEIGHTS = {"a": 1, "b": 2, "c": 3}
RULES = Resilience(breaker_failures=FAILURES, breaker_rest=REST)
STEP = 10  # seconds: time moves in steps so large that the machine's own slowness is none
USED: dict[str, str | int] = {"outcome": "ok", "prompt": 1, "completion": 1}
MILLION = 1_000_000
GRANT = Grant(NONE := Standing(0, 0, 0), NONE, 0, budgeted=False, day="2026-11-21", month="2026-11")


class Machine(RuleBasedStateMachine):
    """Requests that try one or more of three targets, in every order of things that can happen to them."""

    admission: Admission
    client: Any  # redis-py's own types allow for None and str where neither can come

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.ids = count()
        self.targets = {name: Target() for name in NAMES}
        self.live: dict[str, Request] = {}
        assert self.admission.tell("default", KEY, 1, policy({}, Tier()))

    @rule(
        order=st.permutations(NAMES).flatmap(lambda order: st.integers(1, 3).map(lambda size: tuple(order[:size]))),
        strategy=st.sampled_from(["", "", "fastest", "least_loaded"]), among=st.integers(1, 3),
        lease=st.sampled_from([25, 305]), times=st.integers(1, 2),
    )  # fmt: skip
    def admit(self, *, order: tuple[str, ...], strategy: Any, among: int, lease: int, times: int) -> None:
        """Ask for a place, some times in a row."""
        for _ in range(times):
            self._admit(str(next(self.ids)), order, strategy, min(among, len(order)), lease)

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Ask again what was granted: the answer was lost on the way. It is the same, and nothing changes."""
        if not self.live:
            return
        name = data.draw(st.sampled_from(sorted(self.live)))
        known = self.live[name]
        grant = self.admission.admit(self._ask(name, known.order, "", 0, known.lease))
        assert known.order[grant.first] == known.first

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """End a request, with results of some tries on any of its targets."""
        if not self.live:
            return
        name = data.draw(st.sampled_from(sorted(self.live)))
        request = self.live.pop(name)
        tried = st.tuples(st.sampled_from(request.order), st.booleans(), st.sampled_from([0, 100_000, 400_000]))
        self._settle(name, request, data.draw(st.lists(tried, max_size=3)))

    @rule(data=st.data(), good=st.booleans())
    def finish(self, data: st.DataObject, good: bool) -> None:  # noqa: FBT001 - drawn by name
        """End a request that has asked its first target only."""
        if self.live:
            name = data.draw(st.sampled_from(sorted(self.live)))
            request = self.live.pop(name)
            self._settle(name, request, [(request.first, good, 200_000)])

    @rule(place=st.sampled_from(NAMES), times=st.integers(1, FAILURES))
    def fail(self, place: str, times: int) -> None:
        """Have requests fail on one target."""
        target = place
        for _ in range(times):
            name = str(next(self.ids))
            if self._admit(name, (target,), "", 1, 305):
                self._settle(name, self.live.pop(name), [(target, False, 0)])

    @rule(place=st.sampled_from(NAMES))
    def outage(self, place: str) -> None:
        """Have a target fail until it rests, and a request find out that it is back: others may be under way still."""
        self.fail(place, FAILURES)
        self.tick(REST // STEP)
        name = str(next(self.ids))
        if self._admit(name, (place,), "", 1, 305):
            self._settle(name, self.live.pop(name), [(place, True, 0)])

    @rule(steps=st.sampled_from([1, 2, 5, 6, 7, 40, 180]))
    def tick(self, steps: int) -> None:
        """Let time pass: everything stored grows older; whose lease has run out is reaped."""
        seconds = steps * STEP
        for name, target in self.targets.items():
            target.age(seconds)
            self._age(f"{{default}}:target:{name}", seconds)
        for request in self.client.zrange("{default}:holds", 0, -1):
            self.client.zincrby("{default}:holds", -seconds * 1000, request)
            self.client.hincrby(f"{{default}}:hold:{request.decode()}", "expires", -seconds * 1000)
        for known in self.live.values():
            known.lease -= seconds
        overdue = [name for name, known in self.live.items() if known.lease <= 0]
        assert self.admission.reap("default") == len(overdue)
        for name in overdue:
            self._let_go(name, self.live.pop(name))

    @invariant()
    def agrees(self) -> None:
        """What is stored of each target is the model's."""
        for name, target in self.targets.items():
            found = {k.decode(): v.decode() for k, v in self.client.hgetall(f"{{default}}:target:{name}").items()}
            assert ("until" in found) == (target.rest is not None)
            assert found.get("probe", "") == target.probe
            assert int(found.get("fails", 0)) == target.fails
            assert int(found.get("epoch", 0)) == target.epoch
            assert int(found.get("busy", 0)) == target.busy
            assert int(found.get("latency:whole", 0)) == target.latency

    def _admit(self, name: str, order: tuple[str, ...], strategy: Any, among: int, lease: int) -> bool:
        states = {target: self.targets[target].state(name) for target in order}
        waits = [self.targets[target].waits(name) for target in order]
        usable = [target for target in order if states[target] != "open"]
        try:
            grant = self.admission.admit(self._ask(name, order, strategy, among, lease))
        except TargetsResting as resting:
            wait = resting.retry_after or 0
            assert (usable, min(waits) - 5 <= wait <= min(waits)) == ([], True)
            return False
        assert [seen.state for seen in grant.seen] == list(states.values())
        for seen, target in zip(grant.seen, order, strict=True):
            assert (seen.busy, seen.latency) == (
                self.targets[target].busy,
                self.targets[target].known_latency() / MILLION,
            )
        first = usable[0]
        chosen = [target for target in usable if strategy and order.index(target) < among]
        if first in chosen:
            first = min(chosen, key=lambda target: self.targets[target].rank(name, strategy, WEIGHTS[target]))
        assert order[grant.first] == first
        probes = [target for target in order if states[target] == "probe"]
        for target in probes:
            self.targets[target].probe, self.targets[target].probe_left = name, min(PROBE, lease)
        epochs = {target: self.targets[target].epoch for target in order}
        self.targets[first].busy += 1
        self.targets[first].kept = 1800
        self.live[name] = Request(order, first, probes, epochs, lease)
        return True

    def _settle(self, name: str, request: Request, tries: list[tuple[str, bool, int]]) -> None:
        told: list[tuple[str, str]] = []
        expected = []
        for target, good, latency in tries:
            change = self.targets[target].result(name, good, latency, request.epochs[target])
            expected += [(target, change)] if change else []
        results = [Result(request.order.index(target), good, latency / MILLION) for target, good, latency in tries]
        report = Report(results, RULES, False, lambda target, state, _failures: told.append((target, state)))
        ask = self._ask(name, request.order, "", 0, 60)
        assert self.admission.settle(ask, GRANT, 0, USED, report)
        assert not self.admission.settle(ask, GRANT, 0, USED, report)
        assert told == expected
        self._let_go(name, request)

    def _let_go(self, name: str, request: Request) -> None:
        first = self.targets[request.first]
        first.busy = max(0, first.busy - 1)
        for target in request.probes:
            if self.targets[target].probe == name:
                self.targets[target].probe = ""

    def _ask(self, name: str, order: tuple[str, ...], strategy: Any, among: int, lease: int) -> Ask:
        weights = tuple(WEIGHTS[target] for target in order)
        return Ask("default", (KEY,), name, lease, choice=Choice(order, weights, strategy, among))

    def _age(self, place: str, seconds: int) -> None:
        left = self.client.pttl(place) - seconds * 1000
        if left <= 0:
            self.client.delete(place)
            return
        for field in ("until", "last", "probe_ends", "seen:whole"):
            if self.client.hexists(place, field):
                self.client.hincrby(place, field, -seconds * 1000)
        self.client.pexpire(place, left)


def test_the_scripts_do_what_the_model_says(valkey: Valkey) -> None:
    """Any order of admissions, results, crashes and passing time: they never disagree."""
    run(Machine, valkey, 40)


PLANTED = {
    "two probes": ("admit", "local free = math.max(rested, taken)", "local free = rested"),
    "a probe that lasts for ever": ("admit", "and tonumber(found[3]) or 0", "and 9e15 or 0"),
    "a stale latency": ("admit", "math.abs(milliseconds - found[7]) < STALE", "true"),
    "weights ignored": ("admit", "/ ARGV[#ARGV - 2 * count + number]", "/ 1"),
    "a breaker that opens late": ("settle", "failed >= failures", "failed > failures"),
    "successes forgotten": ("settle", 'if found[3] then redis.call("HDEL", place, "fails", "last") end', ""),
    "failures of long ago": ("settle", "milliseconds - found[4] <= rest", "true"),
    "results from before": ("settle", "tonumber(found[5] or 0) == (epochs[number] or 0)", "true"),
    "anybody closes": ("settle", "if found[2] == ARGV[1] and good", "if good"),
    "a probe kept": ("settle", 'if redis.call("HGET", target(number), "probe") == ARGV[1] then', "if false then"),
    "a load that leaks": ("settle", '"busy", -1', '"busy", 0'),
}  # fmt: skip


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(valkey: Valkey, bug: str) -> None:
    """The machine is worth something: each of these slips, made on purpose, makes it disagree."""
    find(Machine, valkey, *PLANTED[bug])
