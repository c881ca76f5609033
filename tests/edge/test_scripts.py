"""`admit.lua`, `settle.lua` and `project.lua` at their edges, in one scope, on a real Valkey.

Time is the store's. The tests move it by making what is stored older, and hold it still by an entry that lies ahead:
the clock of a script never stands before the last admission.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.core.catalog import Tier
from shared.core.errors import RateLimited, Unauthorized
from shared.core.limits import HOUR, MINUTE, Standing
from shared.edge.admission import Admission, Ask, Grant, Unprojected
from tests.edge.projecting import projected
from tests.fakes.patience import patiently

if TYPE_CHECKING:
    from cdk.local.valkey import Valkey

KEY = "default-abcdefghijkl"
PLACE, LOG, LEASES = (f"{{default}}:{kind}:key:{KEY}" for kind in ("policy", "rate", "leases"))
USAGE, COUNTERS = "{default}:usage", "{default}:counters"
MICRO = 1_000_000
Store = Any  # a Valkey client: redis-py's own types allow for None and str where neither can come
NONE = Standing(0, 0, 0)
GRANT = Grant(NONE, NONE, 0, budgeted=False, day="2026-11-21", month="2026-11")
USED: dict[str, str | int] = {"outcome": "ok", "prompt": 3, "completion": 4}


def ask(request: str, *, lease: float = 60) -> Ask:
    """Return the question whether a request of the key may pass."""
    return Ask("default", (f"key:{KEY}",), request, lease)


def project(
    admission: Admission, limits: Tier, version: int = 1, *, revoked: bool = False, expires_at: int = 0
) -> bool:
    """Write the key with `limits` into the store."""
    return projected(admission, KEY, version=version, revoked=revoked, expires_at=expires_at, limits=limits)


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
        assert admission.admit(ask("r")).requests.remaining == 0
    else:
        with pytest.raises(RateLimited):
            admission.admit(ask("r"))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ages=st.lists(st.sampled_from([3700.0, 60.000001, 60.0, 59.999999, 30.0, 0.0]), max_size=40))
def test_the_edge_is_found_in_a_log_of_any_length(valkey: Valkey, ages: list[float]) -> None:
    """However many entries have left the window and however many not, exactly those inside are counted."""
    client, admission = valkey.client(), Admission(patiently(valkey.host, valkey.port))
    client.delete(LOG)
    project(admission, Tier(requests_per_minute=1))
    hold_clock(client, *sorted(ages, reverse=True), 0)

    with pytest.raises(RateLimited) as refused:
        admission.admit(ask("r"))

    assert refused.value.details["used"] == sum(age < MINUTE for age in ages) + 1
    admission.drop()
    client.close()


def test_limits_by_presets_of_the_past_do_not_count(valkey: Valkey, admission: Admission) -> None:
    """They are resolved anew, unless the caller has just done so and another version has undone it meanwhile."""
    later = Admission(patiently(valkey.host, valkey.port), presets="later")
    project(admission, Tier(requests_per_minute=3))
    with pytest.raises(Unprojected):
        later.admit(ask("r"))
    assert later.admit(ask("r"), any_presets=True).requests.limit == 3

    project(later, Tier(requests_per_minute=4))
    assert later.admit(ask("s")).requests.limit == 4
    later.drop()


def test_the_wait_it_names_is_true(admission: Admission, client: Store) -> None:
    """A refusal says when the next slot opens; a moment before, there is none; then, there is."""
    project(admission, Tier(requests_per_minute=3))
    hold_clock(client, 50, 40, 30, 0)

    with pytest.raises(RateLimited) as refused:
        admission.admit(ask("r"))
    assert refused.value.retry_after == 20  # the third from the end leaves: 4 are counted, 3 may be

    client.delete(LOG)
    hold_clock(client, 70, 60.000001, 60, 49, 20)  # the same log as it looks then, its clock not held
    client.lpop(LOG, 3)
    client.rpush(LOG, int(client.lindex(LOG, -1)) + 20 * MICRO)
    with pytest.raises(RateLimited):
        admission.admit(ask("r"))


def test_the_longest_wait_decides(admission: Admission, client: Store) -> None:
    """With several limits reached the refusal names the one that opens last."""
    project(admission, Tier(requests_per_minute=1, requests_per_hour=2, concurrency=1))
    hold_clock(client, 100, 0)

    with pytest.raises(RateLimited) as refused:
        admission.admit(ask("r"))

    assert refused.value.details["rule"] == "requests_per_hour"
    assert refused.value.details["used"] == 2
    assert refused.value.retry_after == HOUR - 100


def test_a_refusal_writes_nothing(admission: Admission, client: Store) -> None:
    """Refused by window, concurrency, revocation, age or as unknown: not a byte and not a lifetime changes."""
    admission.open_new("default")
    project(admission, Tier(requests_per_minute=2, requests_per_hour=50, concurrency=9))
    for number in range(2):
        admission.admit(ask(f"r{number}"))
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
            admission.admit(ask("more"))
        assert contents(client) == before

    client.delete(PLACE)
    before = contents(client)
    with pytest.raises(Unprojected):
        admission.admit(ask("more"))
    assert contents(client) == before


def test_an_admission_whose_answer_was_lost_counts_once(admission: Admission, client: Store) -> None:
    """The same request id again is told the same, even at the limit, and nothing is added."""
    project(admission, Tier(requests_per_minute=1, concurrency=1))
    first = admission.admit(ask("r")).requests
    before = contents(client)

    again = admission.admit(ask("r")).requests

    assert (again.limit, again.remaining) == (first.limit, first.remaining) == (1, 0)
    assert contents(client) == before


def test_a_clock_set_back_opens_nothing(admission: Admission, client: Store) -> None:
    """Entries from the future keep counting, and the log stays in order."""
    project(admission, Tier(requests_per_minute=3))
    clock = hold_clock(client, 1, 0)

    admission.admit(ask("r"))
    with pytest.raises(RateLimited):
        admission.admit(ask("s"))

    assert [int(stamp) for stamp in client.lrange(LOG, 0, -1)] == [clock - MICRO, clock, clock]


def test_a_full_minute_of_the_largest_tier_takes_little_memory(admission: Admission, client: Store) -> None:
    """60,000 admissions fit into 700 kB; the 60,001st is refused; what has left the window leaves the log."""
    project(admission, Tier(requests_per_minute=60_000))
    hold_clock(client, *(120 for _ in range(1000)), *(59 - i / 1100 for i in range(59_999)), 0)
    with pytest.raises(RateLimited) as refused:
        admission.admit(ask("over"))
    assert refused.value.details["used"] == 60_000
    assert client.memory_usage(LOG, samples=0) < 700_000

    client.lpop(LOG, 1001)
    client.lpush(LOG, *(1 for _ in range(5000)))
    admission.admit(ask("fits"))
    assert client.llen(LOG) == 60_000


def test_every_key_of_passing_things_passes(admission: Admission, client: Store) -> None:
    """The log outlives its longest limited window by little; leases last as the longest; a settlement, half an hour."""
    project(admission, Tier(requests_per_minute=10, requests_per_hour=100, concurrency=10))
    admission.admit(ask("long", lease=500))
    admission.admit(ask("short", lease=5))
    admission.settle(ask("short"), GRANT, 0, USED)

    assert HOUR * 1000 < client.pttl(LOG) <= HOUR * 1000 + 1000
    assert 490_000 < client.pttl(LEASES) <= 500_000
    assert 0 < client.pttl("{default}:settled:short") <= 1_800_000
    assert client.pttl(PLACE) == -1


def test_settles_once(admission: Admission, client: Store) -> None:
    """The first settlement ends the lease and books; the second changes nothing, whatever it says."""
    project(admission, Tier(concurrency=1))
    admission.admit(ask("r"))

    assert admission.settle(ask("r"), GRANT, 0, USED)
    before = contents(client)
    assert not admission.settle(ask("r"), GRANT, 0, {**USED, "outcome": "other", "prompt": 1000})

    assert contents(client) == before
    assert client.zcard(LEASES) == 0
    [(_, event)] = client.xrange(USAGE)
    assert (event[b"outcome"], event[b"prompt"], event[b"completion"], event[b"seq"]) == (b"ok", b"3", b"4", b"1")
    assert client.hgetall(COUNTERS) == {
        b"requests:ok": b"1", b"prompt_tokens:ok": b"3", b"completion_tokens:ok": b"4"
    }  # fmt: skip


def test_a_late_settlement_still_books(admission: Admission, client: Store) -> None:
    """Use is use, also after the lease ran out and was purged."""
    project(admission, Tier(concurrency=1))
    admission.admit(ask("late"))
    client.zadd(LEASES, {"late": 1})
    admission.admit(ask("next"))

    assert client.zrange(LEASES, 0, -1) == [b"next"]
    assert admission.settle(ask("late"), GRANT, 0, USED)
    assert client.xlen(USAGE) == 1
    assert client.zrange(LEASES, 0, -1) == [b"next"]


def test_an_older_projection_never_replaces_a_newer_one(admission: Admission) -> None:
    """No reader that was slower than the writer undoes a revocation; the same version may be written again."""
    project(admission, Tier(), 2, revoked=True)

    assert not project(admission, Tier(), 1)
    with pytest.raises(Unauthorized):
        admission.admit(ask("r"))
    assert project(admission, Tier(), 2)
    assert project(admission, Tier(), 3)
    admission.admit(ask("r"))


def test_a_broken_projection_is_as_good_as_none(admission: Admission, client: Store) -> None:
    """A hash with a field missing asks to be projected anew, and can be."""
    project(admission, Tier())
    client.hdel(PLACE, "rpm")

    with pytest.raises(Unprojected):
        admission.admit(ask("r"))
    assert project(admission, Tier())
    admission.admit(ask("r"))
