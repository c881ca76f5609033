"""What an admission costs Valkey, against a bare `EVALSHA return 1` and against limiting with one call for each limit.

By the number of scopes, with a limit and a budget in each, and by the callers that the store knows. All that is
compared is measured in turns, over one connection each, on one server.
"""

from __future__ import annotations

import tempfile
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from cdk.local.valkey import valkey_server
from shared.core.breakers import Choice, Result
from shared.core.catalog import Tier
from shared.core.policies import policy
from shared.core.pricing import NANO
from shared.edge.admission import Admission, Ask, connect
from shared.edge.report import Report
from tests.bench.crowding import MODELS, SHARES, Crowd, throughput

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdk.local.valkey import Valkey
    from shared.edge.admission import Grant

T = TypeVar("T")

CALLS = 1000
SCOPES = (1, 4, 8)
PRESENT = (1, 10_000, 1_000_000)  # callers that Valkey knows besides
OFTEN = 10**6  # a limit that is not reached
USED: dict[str, Any] = {"outcome": "ok", "prompt": 3, "completion": 4, "models": SHARES}


CHOICE = Choice(("openai:gpt-4o", "azure:gpt-4o"), (1, 1), models=(1, 1))  # two targets, each with its breaker
REPORT = Report((Result(0, True, 0.1),))


class Times(NamedTuple):
    """Microseconds of a round trip, median and 99th percentile."""

    p50: float
    p99: float


class Row(NamedTuple):
    """What took how long: a bare script, our two, and the calls of the library, one for each limit, together."""

    bare: Times
    admit: Times
    settle: Times
    limits: Times


def main() -> None:
    """Print the tables."""
    print("Admissions, microseconds of a round trip on loopback: p50 (p99)")
    with tempfile.TemporaryDirectory() as folder, valkey_server(Path(folder)) as valkey:
        valkey.client().config_set("appendonly", "no")  # the disk is not what is measured
        crowd = Crowd(valkey)
        for present in PRESENT:
            crowd.grow(present)
            for scopes in SCOPES:
                print(f"  {scopes} scopes, {present:7} callers   {_told(measure(valkey, scopes))}")
        print(f"  memory of a caller with {crowd.REQUESTS} requests in its window: {crowd.bytes_each:.0f} bytes")
        for scopes in SCOPES:
            asked = _known(Admission(connect(valkey.host, valkey.port)), valkey, scopes)
            alone, both = throughput(valkey, asked, USED)
            print(f"  one server, {scopes} scopes: {alone:6.0f} admissions/s; with their settlements {both:6.0f}")


def _told(row: Row) -> str:
    times = "   ".join(f"{name} {found.p50:4.0f} ({found.p99:4.0f})" for name, found in row._asdict().items())
    ratios = f"admit/bare {row.admit.p50 / row.bare.p50:.2f}   limits/admit {row.limits.p50 / row.admit.p50:.2f}"
    return f"{times}   {ratios}"


def measure(valkey: Valkey, scopes: int) -> Row:
    """Return the times of each, in interleaved rounds."""
    admission, client = Admission(connect(valkey.host, valkey.port)), valkey.client()
    asked = _known(admission, valkey, scopes)
    limiter = MovingWindowRateLimiter(RedisStorage(f"redis://{valkey.host}:{valkey.port}"))
    limit = RateLimitItemPerMinute(OFTEN)
    digest = client.script_load("return 1")
    taken: dict[str, list[float]] = {name: [] for name in Row._fields}
    for number in range(CALLS):
        one = asked._replace(request_id=f"{scopes}-{time.time_ns()}-{number}")
        grant = _timed(taken["admit"], lambda one=one: admission.admit(one))  # type: ignore[misc]
        _timed(taken["settle"], lambda one=one, grant=grant: _settle(admission, one, grant))  # type: ignore[misc]
        _timed(taken["bare"], lambda: admission._store.call("EVALSHA", digest, 1, "{default}:x"))
        assert _timed(taken["limits"], lambda: all([limiter.hit(limit, name) for name in asked.everybody]))  # noqa: C419
    admission.drop()
    return Row(**{name: _times(seconds) for name, seconds in taken.items()})


def _known(admission: Admission, valkey: Valkey, scopes: int) -> Ask:
    """Make scopes known, each with a limit and a budget; return what asks for all of them. The last is a model's."""
    valkey.client().set("{default}:open", 1)
    names = tuple(f"key:default-{number}" for number in range(scopes - 1))
    for name in (*names, "model:m"):
        fields = policy({"budget": {"total_nano": 10**6 * NANO}}, Tier(OFTEN, 0, 0, OFTEN))
        admission.tell("default", name, next(_VERSIONS), fields)
    return Ask("default", names, "", 60, MODELS, answers=1, max_tokens=9, choice=CHOICE)


_VERSIONS = count(int(time.time()))


def _settle(admission: Admission, asked: Ask, grant: Grant) -> bool:
    return admission.settle(asked, grant, 9, USED, REPORT)


def _timed(taken: list[float], act: Callable[[], T]) -> T:
    began = time.perf_counter()
    found = act()
    taken.append(time.perf_counter() - began)
    return found


def _times(seconds: list[float]) -> Times:
    ordered = sorted(seconds)
    return Times(ordered[len(ordered) // 2] * 1e6, ordered[len(ordered) * 99 // 100] * 1e6)


if __name__ == "__main__":
    main()
