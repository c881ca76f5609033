"""Time of an admission in Valkey against a bare `EVALSHA return 1`, over the same connection, in the same minute.

By the number of scopes, with and without limits in each, and by the keys that are present.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from cdk.local.valkey import valkey_server
from shared.core.catalog import Tier
from shared.core.policies import policy
from shared.core.pricing import NANO, Worst
from shared.edge.admission import Admission, Ask, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdk.local.valkey import Valkey

T = TypeVar("T")

CALLS = 2000
SCOPES = (1, 4, 8)
PRESENT = (1, 10_000)  # callers that Valkey knows besides
USED: dict[str, str | int] = {"outcome": "ok", "prompt": 3, "completion": 4}


class Times(NamedTuple):
    """Microseconds of a round trip, median and 99th percentile, and how many fit into a second."""

    p50: float
    p99: float
    rate: float


def main() -> None:
    """Print a table."""
    print("Admissions, microseconds of a round trip on loopback (p50, p99), and of a bare EVALSHA in the same run")
    with tempfile.TemporaryDirectory() as folder, valkey_server(Path(folder)) as valkey:
        for present in PRESENT:
            _fill(valkey, present)
            for scopes in SCOPES:
                bare, admitted, settled = measure(valkey, scopes)
                print(
                    f"  {scopes} scopes, {present:6} callers   admit {admitted.p50:6.0f} {admitted.p99:6.0f}"
                    f"   settle {settled.p50:6.0f} {settled.p99:6.0f}   bare {bare.p50:5.0f} {bare.p99:5.0f}"
                    f"   admit/bare {admitted.p50 / bare.p50:.2f}   {admitted.rate:6.0f} admissions/s"
                )
        print(f"  memory of an active caller: {_memory(valkey):.0f} bytes")


def measure(valkey: Valkey, scopes: int) -> tuple[Times, Times, Times]:
    """Return the times of (a bare script, admit, settle), in interleaved rounds."""
    admission, client = Admission(connect(valkey.host, valkey.port)), valkey.client()
    client.set("{default}:open", 1)
    names = tuple(f"key:default-{number}" for number in range(scopes))
    for name in names:
        fields = policy({"budget": {"total_nano": 10**6 * NANO}}, Tier(10**6, 0, 0, 10**6))
        admission.tell("default", name, int(time.time()), fields)
    digest = client.script_load("return 1")
    taken: tuple[list[float], list[float], list[float]] = ([], [], [])
    for number in range(CALLS):
        asked = Ask(
            "default", names, f"{scopes}-{time.time_ns()}-{number}", 60, Worst(10, 1, 5), answers=1, max_tokens=9
        )
        grant, admitting = _timed(lambda asked=asked: admission.admit(asked))  # type: ignore[misc]
        _, settling = _timed(lambda asked=asked, grant=grant: admission.settle(asked, grant, 9, USED))  # type: ignore[misc]
        _, bare = _timed(lambda: admission._store.call("EVALSHA", digest, 1, "{default}:x"))
        for times, seconds in zip(taken, (bare, admitting, settling), strict=True):
            times.append(seconds)
    admission.drop()
    return _times(taken[0]), _times(taken[1]), _times(taken[2])


def _fill(valkey: Valkey, callers: int) -> None:
    """Make `callers` known, each with a request counted."""
    admission = Admission(connect(valkey.host, valkey.port))
    valkey.client().set("{default}:open", 1)
    for number in range(callers):
        name = f"key:default-other-{number}"
        admission.tell("default", name, 1, policy({}, Tier(600, 0, 0, 50)))
        grant = admission.admit(asked := Ask("default", (name,), f"fill-{number}", 60, Worst(10, 1, 5)))
        admission.settle(asked, grant, 9, USED)
    admission.drop()


def _memory(valkey: Valkey) -> float:
    client = valkey.client()
    name = "key:default-other-0"
    places = [f"{{default}}:{kind}:{name}" for kind in ("policy", "rate", "spend")]
    return sum(float(client.memory_usage(place) or 0) for place in places)


def _timed(act: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    found = act()
    return found, time.perf_counter() - began


def _times(seconds: list[float]) -> Times:
    ordered = sorted(seconds)
    median = ordered[len(ordered) // 2]
    return Times(median * 1e6, ordered[len(ordered) * 99 // 100] * 1e6, 1 / median)


if __name__ == "__main__":
    main()
