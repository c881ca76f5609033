"""`admit.lua`, `settle.lua` and `project.lua` at their edges, and against a model of a few integers on a real Valkey.

Time is the store's. The tests move it by making what is stored older, and hold it still by an entry that lies ahead:
the clock of a script never stands before the last admission.
"""

from __future__ import annotations

import math
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from shared.core.catalog import Tier
from shared.core.errors import RateLimited, Unauthorized
from shared.core.limits import HOUR, MINUTE
from shared.edge.admission import Admission, Unprojected, connect

if TYPE_CHECKING:
    from cdk.local.valkey import Valkey

KEY = "default-abcdefghijkl"
PLACE, LOG, LEASES = f"{{default}}:key:{KEY}", f"{{default}}:rate:{KEY}", f"{{default}}:leases:{KEY}"
USAGE, COUNTERS = "{default}:usage", "{default}:counters"
MICRO = 1_000_000
Store = Any  # a Valkey client: redis-py's own types allow for None and str where neither can come
USED: dict[str, str | int] = {"outcome": "ok", "prompt": 3, "completion": 4}


def project(
    admission: Admission, limits: Tier, version: int = 1, *, revoked: bool = False, expires_at: int = 0
) -> bool:
    """Write the key with `limits` into the store."""
    return admission.project(KEY, version=version, revoked=revoked, expires_at=expires_at, tier="pro", limits=limits)


def contents(client: Store) -> dict[bytes, Any]:
    """All that is stored, to the byte, with the moment each key expires."""
    return {key: (client.dump(key), client.pexpiretime(key)) for key in sorted(client.keys("*"))}


def hold_clock(client: Store, *ages: float) -> int:
    """Make the log hold entries of these ages in seconds (the youngest 0, which stops the clock); returns the clock."""
    seconds, micro = client.time()
    clock: int = (seconds + 86_400) * MICRO + micro
    client.rpush(LOG, *(clock - round(age * MICRO) for age in ages))
    return clock


@pytest.fixture
def client(valkey: Valkey) -> Store:
    """A client to look behind the scripts."""
    return valkey.client()


@pytest.mark.parametrize(
    ("limits", "age", "passes"),
    [
        (Tier(requests_per_minute=2), MINUTE, True),
        (Tier(requests_per_minute=2), MINUTE - 1e-6, False),
        (Tier(requests_per_hour=2), HOUR, True),
        (Tier(requests_per_hour=2), HOUR - 1e-6, False),
    ],
)
def test_an_admission_counts_until_exactly_its_window_has_passed(
    admission: Admission, client: Store, limits: Tier, age: float, *, passes: bool
) -> None:
    """To the microsecond: at the window's length it is forgotten, one before that it counts."""
    project(admission, limits)
    hold_clock(client, age, 0)

    if passes:
        assert admission.admit(KEY, "r", 60).remaining == 0
    else:
        with pytest.raises(RateLimited):
            admission.admit(KEY, "r", 60)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ages=st.lists(st.sampled_from([3700.0, 60.000001, 60.0, 59.999999, 30.0, 0.0]), max_size=40))
def test_the_edge_is_found_in_a_log_of_any_length(valkey: Valkey, ages: list[float]) -> None:
    """However many entries have left the window and however many not, exactly those inside are counted."""
    client, admission = valkey.client(), Admission(connect(valkey.host, valkey.port))
    client.delete(LOG)
    project(admission, Tier(requests_per_minute=1))
    hold_clock(client, *sorted(ages, reverse=True), 0)

    with pytest.raises(RateLimited) as refused:
        admission.admit(KEY, "r", 60)

    assert refused.value.details["used"] == sum(age < MINUTE for age in ages) + 1
    admission.drop()
    client.close()


def test_limits_by_presets_of_the_past_do_not_count(valkey: Valkey, admission: Admission) -> None:
    """They are resolved anew, unless the caller has just done so and another version has undone it meanwhile."""
    later = Admission(connect(valkey.host, valkey.port), presets="later")
    project(admission, Tier(requests_per_minute=3))
    with pytest.raises(Unprojected):
        later.admit(KEY, "r", 60)
    assert later.admit(KEY, "r", 60, any_presets=True).limit == 3

    project(later, Tier(requests_per_minute=4))
    assert later.admit(KEY, "s", 60).limit == 4
    later.drop()


def test_the_wait_it_names_is_true(admission: Admission, client: Store) -> None:
    """A refusal says when the next slot opens; a moment before, there is none; then, there is."""
    project(admission, Tier(requests_per_minute=3))
    hold_clock(client, 50, 40, 30, 0)

    with pytest.raises(RateLimited) as refused:
        admission.admit(KEY, "r", 60)
    assert refused.value.retry_after == 20  # the third from the end leaves: 4 are counted, 3 may be

    client.delete(LOG)
    hold_clock(client, 70, 60.000001, 60, 49, 20)  # the same log as it looks then, its clock not held
    client.lpop(LOG, 3)
    client.rpush(LOG, int(client.lindex(LOG, -1)) + 20 * MICRO)
    with pytest.raises(RateLimited):
        admission.admit(KEY, "r", 60)


def test_the_longest_wait_decides(admission: Admission, client: Store) -> None:
    """With several limits reached the refusal names the one that opens last."""
    project(admission, Tier(requests_per_minute=1, requests_per_hour=2, concurrency=1))
    hold_clock(client, 100, 0)

    with pytest.raises(RateLimited) as refused:
        admission.admit(KEY, "r", 60)

    assert refused.value.details["scope"] == "requests_per_hour"
    assert refused.value.details["used"] == 2
    assert refused.value.retry_after == HOUR - 100


def test_a_refusal_writes_nothing(admission: Admission, client: Store) -> None:
    """Refused by window, concurrency, revocation, age or as unknown: not a byte and not a lifetime changes."""
    project(admission, Tier(requests_per_minute=2, requests_per_hour=50, concurrency=9))
    for number in range(2):
        admission.admit(KEY, f"r{number}", 60)
    client.zadd(LEASES, {"expired": 1})
    client.lpush(LOG, 1)
    refusals: list[tuple[Tier, dict[str, Any], type[Exception]]] = [
        (Tier(requests_per_minute=2), {}, RateLimited),
        (Tier(concurrency=2), {}, RateLimited),
        (Tier(), {"revoked": True}, Unauthorized),
        (Tier(), {"expires_at": 1}, Unauthorized),
    ]
    for version, (limits, state, error) in enumerate(refusals, 2):
        project(admission, limits, version, **state)
        before = contents(client)
        with pytest.raises(error):
            admission.admit(KEY, "more", 60)
        assert contents(client) == before

    client.delete(PLACE)
    before = contents(client)
    with pytest.raises(Unprojected):
        admission.admit(KEY, "more", 60)
    assert contents(client) == before


def test_an_admission_whose_answer_was_lost_counts_once(admission: Admission, client: Store) -> None:
    """The same request id again is told the same, even at the limit, and nothing is added."""
    project(admission, Tier(requests_per_minute=1, concurrency=1))
    first = admission.admit(KEY, "r", 60)
    before = contents(client)

    again = admission.admit(KEY, "r", 60)

    assert (again.limit, again.remaining) == (first.limit, first.remaining) == (1, 0)
    assert contents(client) == before


def test_a_clock_set_back_opens_nothing(admission: Admission, client: Store) -> None:
    """Entries from the future keep counting, and the log stays in order."""
    project(admission, Tier(requests_per_minute=3))
    clock = hold_clock(client, 1, 0)

    admission.admit(KEY, "r", 60)
    with pytest.raises(RateLimited):
        admission.admit(KEY, "s", 60)

    assert [int(stamp) for stamp in client.lrange(LOG, 0, -1)] == [clock - MICRO, clock, clock]


def test_a_full_minute_of_the_largest_tier_takes_little_memory(admission: Admission, client: Store) -> None:
    """60,000 admissions fit into 700 kB; the 60,001st is refused; what has left the window leaves the log."""
    project(admission, Tier(requests_per_minute=60_000))
    hold_clock(client, *(120 for _ in range(1000)), *(59 - i / 1100 for i in range(59_999)), 0)
    with pytest.raises(RateLimited) as refused:
        admission.admit(KEY, "over", 60)
    assert refused.value.details["used"] == 60_000
    assert client.memory_usage(LOG, samples=0) < 700_000

    client.lpop(LOG, 1001)
    client.lpush(LOG, *(1 for _ in range(5000)))
    admission.admit(KEY, "fits", 60)
    assert client.llen(LOG) == 60_000


def test_every_key_of_passing_things_passes(admission: Admission, client: Store) -> None:
    """The log outlives its longest limited window by little; leases last as the longest; a settlement, half an hour."""
    project(admission, Tier(requests_per_minute=10, requests_per_hour=100, concurrency=10))
    admission.admit(KEY, "long", 500)
    admission.admit(KEY, "short", 5)
    admission.settle(KEY, "short", USED)

    assert HOUR * 1000 < client.pttl(LOG) <= HOUR * 1000 + 1000
    assert 490_000 < client.pttl(LEASES) <= 500_000
    assert 0 < client.pttl("{default}:settled:short") <= 1_800_000
    assert client.pttl(PLACE) == -1


def test_settles_once(admission: Admission, client: Store) -> None:
    """The first settlement ends the lease and books; the second changes nothing, whatever it says."""
    project(admission, Tier(concurrency=1))
    admission.admit(KEY, "r", 60)

    assert admission.settle(KEY, "r", USED)
    before = contents(client)
    assert not admission.settle(KEY, "r", {**USED, "outcome": "other", "prompt": 1000})

    assert contents(client) == before
    assert client.zcard(LEASES) == 0
    assert [event for _, event in client.xrange(USAGE)] == [{b"outcome": b"ok", b"prompt": b"3", b"completion": b"4"}]
    assert client.hgetall(COUNTERS) == {
        b"requests:ok": b"1", b"prompt_tokens:ok": b"3", b"completion_tokens:ok": b"4"
    }  # fmt: skip


def test_a_late_settlement_still_books(admission: Admission, client: Store) -> None:
    """Use is use, also after the lease ran out and was purged."""
    project(admission, Tier(concurrency=1))
    admission.admit(KEY, "late", 60)
    client.zadd(LEASES, {"late": 1})
    admission.admit(KEY, "next", 60)

    assert client.zrange(LEASES, 0, -1) == [b"next"]
    assert admission.settle(KEY, "late", USED)
    assert client.xlen(USAGE) == 1
    assert client.zrange(LEASES, 0, -1) == [b"next"]


def test_the_stream_of_usage_is_bounded(admission: Admission, client: Store) -> None:
    """While nobody drains it, the oldest events leave near ten thousand."""
    client.eval("for i = 1, 10300 do redis.call('XADD', KEYS[1], '*', 'old', i) end", 1, USAGE)

    admission.settle(KEY, "r", USED)

    assert 10_000 <= client.xlen(USAGE) <= 10_200
    assert client.xrevrange(USAGE, count=1)[0][1][b"outcome"] == b"ok"


def test_an_older_projection_never_replaces_a_newer_one(admission: Admission) -> None:
    """No reader that was slower than the writer undoes a revocation; the same version may be written again."""
    project(admission, Tier(), 2, revoked=True)

    assert not project(admission, Tier(), 1)
    with pytest.raises(Unauthorized):
        admission.admit(KEY, "r", 60)
    assert project(admission, Tier(), 2)
    assert project(admission, Tier(), 3)
    admission.admit(KEY, "r", 60)


def test_a_broken_projection_is_as_good_as_none(admission: Admission, client: Store) -> None:
    """A hash with a field missing asks to be projected anew, and can be."""
    project(admission, Tier())
    client.hdel(PLACE, "rpm")

    with pytest.raises(Unprojected):
        admission.admit(KEY, "r", 60)
    assert project(admission, Tier())
    admission.admit(KEY, "r", 60)


STEP = 10  # seconds: time moves in steps so large that the machine's own slowness is none
limit = st.sampled_from([0, 0, 1, 2, 3, 5, 8])


class Model(RuleBasedStateMachine):
    """What the scripts promise, in a list of ages and a dictionary of leases. Seconds."""

    admission: Admission
    client: Store

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.limits, self.revoked, self.version = Tier(), False, 1
        self.log: list[int] = []
        self.log_left = 0
        self.leases: dict[str, int] = {}
        self.settled: list[str] = []
        self.ids = count()
        project(self.admission, self.limits)

    @rule(per_minute=limit, per_hour=limit, concurrency=limit, revoked=st.sampled_from([False, False, False, True]))
    def edit(self, *, per_minute: int, per_hour: int, concurrency: int, revoked: bool) -> None:
        """Change the key."""
        self.limits, self.revoked, self.version = Tier(per_minute, per_hour, 0, concurrency), revoked, self.version + 1
        assert project(self.admission, self.limits, self.version, revoked=revoked)
        assert not project(self.admission, Tier(1, 1, 1, 1), self.version - 1)

    @rule(times=st.integers(1, 4), lease=st.sampled_from([20, 60, 300]))
    def admit(self, times: int, lease: int) -> None:
        """Ask for new requests; the store and the model agree on verdict and numbers."""
        for _ in range(times):
            self._admit_one(f"r{next(self.ids)}", lease)

    @rule(lease=st.sampled_from([20, 300]), data=st.data())
    def admit_again(self, lease: int, data: st.DataObject) -> None:
        """Ask again for a request whose lease runs: it passes and counts nothing."""
        live = sorted(self.leases)
        if live and not self.revoked:
            self.admission.admit(KEY, data.draw(st.sampled_from(live)), lease)

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """Settle something admitted, live or not, or again what was settled."""
        if known := sorted({*self.leases, *self.settled}):
            request = data.draw(st.sampled_from(known))
            assert self.admission.settle(KEY, request, USED) == (request not in self.settled)
            self.leases.pop(request, None)
            self.settled = [*{*self.settled, request}]

    @rule(steps=st.sampled_from([1, 1, 2, 5, 6, 7, 30, 353, 359, 360, 361]))
    def tick(self, steps: int) -> None:
        """Let time pass: everything stored grows older."""
        seconds = steps * STEP
        self.log = [age + seconds for age in self.log]
        self.log_left -= seconds
        if self.log_left <= 0:
            self.log = []
        self.leases = {request: left - seconds for request, left in self.leases.items() if left > seconds}
        self._age(seconds)

    @invariant()
    def agrees(self) -> None:
        """The store holds what the model holds, and no more of the log than a limit needs."""
        assert self.client.llen(LOG) == len(self.log)
        assert self.client.zcount(LEASES, self._now_ms(), "+inf") == len(self.leases)
        assert self.client.xlen(USAGE) == len(self.settled)

    def _admit_one(self, request: str, lease: int) -> None:
        if self.revoked:
            with pytest.raises(Unauthorized):
                self.admission.admit(KEY, request, lease)
            return
        if expected := self._refusal():
            with pytest.raises(RateLimited) as refused:
                self.admission.admit(KEY, request, lease)
            error = refused.value
            assert (error.details["scope"], error.details["limit"], error.details["used"]) == expected[:3]
            assert error.retry_after is not None
            assert expected[3] - STEP < error.retry_after <= max(1, expected[3])
            return
        standing = self.admission.admit(KEY, request, lease)
        horizon = HOUR if self.limits.requests_per_hour else MINUTE if self.limits.requests_per_minute else 0
        if horizon:
            self.log = [*(age for age in self.log if age < horizon), 0]
            self.log_left = horizon + 1
        self.leases[request] = lease
        assert (standing.limit, standing.remaining) == self._standing()

    def _refusal(self) -> Any:
        found = []
        for scope, window in (("requests_per_minute", MINUTE), ("requests_per_hour", HOUR)):
            allowed = getattr(self.limits, scope)
            inside = [age for age in self.log if age < window]
            if allowed and len(inside) >= allowed:
                found.append((scope, allowed, len(inside), window - self.log[-allowed]))
        if self.limits.concurrency and len(self.leases) >= self.limits.concurrency:
            found.append(("concurrency", self.limits.concurrency, len(self.leases), 1))
        return max(found, key=lambda refusal: refusal[3]) if found else None

    def _standing(self) -> tuple[int, int]:
        standings = [
            (allowed, allowed - sum(age < window for age in self.log))
            for allowed, window in ((self.limits.requests_per_minute, MINUTE), (self.limits.requests_per_hour, HOUR))
            if allowed
        ]
        return min(standings, key=lambda standing: standing[1], default=(0, 0))

    def _now_ms(self) -> int:
        seconds, micro = self.client.time()
        return int(seconds * 1000 + math.ceil(micro / 1000))

    def _age(self, seconds: int) -> None:
        for place in (LOG, LEASES):
            left = self.client.pttl(place) - seconds * 1000
            if left <= 0:
                self.client.delete(place)
                continue
            self._older(place, seconds)
            self.client.pexpire(place, left)

    def _older(self, place: str, seconds: int) -> None:
        if place == LOG:
            stamps = [int(stamp) - seconds * MICRO for stamp in self.client.lrange(LOG, 0, -1)]
            self.client.delete(LOG)
            self.client.rpush(LOG, *stamps)
        else:
            for request in self.client.zrange(LEASES, 0, -1):
                self.client.zincrby(LEASES, -seconds * 1000, request)


def test_the_scripts_do_what_the_model_says(valkey: Valkey) -> None:
    """Any order of admissions, settlements, edits, revocations and passing time: store and model never disagree."""
    machine = type("Machine", (Model,), {
        "admission": Admission(connect(valkey.host, valkey.port)), "client": valkey.client()
    })  # fmt: skip
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        machine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=quiet)
    )
