"""Limits under a crowd: eight processes, at steady load and at the edges of windows, with clocks that are wrong.

The server's own record of all commands (MONITOR) says what was asked and admitted when, by the one clock that counts.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from bisect import bisect_right
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from shared.core.catalog import Tier
from tests.edge.crowd import MICRO, SCOPE, Orders
from tests.edge.projecting import projected

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdk.local.valkey import Valkey
    from shared.edge.admission import Admission

SHORT, LONG = 0.5, 1.2  # seconds: what a minute and an hour are shortened to
LIMITS = ((SHORT, 40), (LONG, 80))
SECONDS = 1.5  # of either kind of load
SKEWS: Final = (-1.7, -0.6, -0.15, 0.0, 0.0, 0.2, 1.3, 2.6)  # of the processes' clocks, seconds
LATE = 0.25 * MICRO  # more than the store takes from the beginning of a script to the command that it records
_ASKED = re.compile(rb'(?m)^\+(\d+)\.(\d+) \[0 127[^\]]*\] "EVALSHA"')
_ADMITTED = re.compile(rb'(?m)^\+(\d+)\.(\d+) \[0 lua\] "RPUSH" "\{default\}:rate:[^"]*" "(\d+)"')


class Record(NamedTuple):
    """Microseconds by the server: when it was asked, when it let pass, and what the scripts took that moment for."""

    asked: list[int]
    passed: list[int]
    stamps: list[int]


@contextmanager
def watching(valkey: Valkey) -> Iterator[list[bytes]]:
    """Keep what the server records of all commands for the length of the block, at the end of which it is complete."""
    kept: list[bytes] = []
    with socket.create_connection((valkey.host, valkey.port)) as line:
        line.sendall(b"MONITOR\r\n")
        assert line.recv(5) == b"+OK\r\n"

        def keep() -> None:
            while data := line.recv(1 << 16):
                kept.append(data)

        thread = threading.Thread(target=keep)
        thread.start()
        yield kept
        with valkey.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
        thread.join()


def crowded(valkey: Valkey, admission: Admission, right: str = "", wrong: str = "") -> Record:
    """Let the crowd in; return what the server has recorded."""
    limits = Tier(requests_per_minute=LIMITS[0][1], requests_per_hour=LIMITS[1][1])
    assert projected(admission, SCOPE.partition(":")[2], version=1, limits=limits)
    admission.drop()
    orders = Orders(valkey.port, SHORT, LONG, SECONDS, SKEWS, right, wrong)
    command = [sys.executable, "-m", "tests.edge.crowd", json.dumps(orders._asdict())]
    with watching(valkey) as kept:
        told = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
    text = b"".join(kept)
    asked = [_micro(found) for found in _ASKED.finditer(text)]
    pushed = list(_ADMITTED.finditer(text))
    sums = json.loads(told.stdout)
    assert (len(pushed), len(asked)) == (sums["admitted"], sums["admitted"] + sums["refused"])
    return Record(asked, [_micro(found) for found in pushed], [int(found[3]) for found in pushed])


def _micro(found: re.Match[bytes]) -> int:
    return int(found[1]) * MICRO + int(found[2])


def most_in_any(stamps: Sequence[int], seconds: float) -> int:
    """Count the most of `stamps`, in order, that lie within any half-open window of so many seconds."""
    width = round(seconds * MICRO)
    return max(number - bisect_right(stamps, stamp - width) + 1 for number, stamp in enumerate(stamps))


def ideal(asked: Sequence[int]) -> int:
    """Count whom a perfect limiter lets pass of those who asked at these times: everybody for whom there is room."""
    passed: list[int] = []
    for stamp in asked:
        if all(len(passed) - bisect_right(passed, stamp - round(seconds * MICRO)) < most for seconds, most in LIMITS):
            passed.append(stamp)
    return len(passed)


def judge(record: Record) -> None:
    """Hold the record against the limits."""
    late = [passed - stamp for passed, stamp in zip(record.passed, record.stamps, strict=True)]
    assert min(late) >= 0
    assert max(late) < LATE, "the moment of an admission is not the store's"
    for seconds, most in LIMITS:
        assert most_in_any(record.stamps, seconds) <= most
    assert len(record.stamps) >= 0.95 * ideal(record.asked)


def test_no_window_ever_holds_more_than_the_limit(valkey: Valkey, admission: Admission) -> None:
    """In each window of both lengths, wherever it begins; and who could be let in was, all but one in twenty."""
    record = crowded(valkey, admission)
    judge(record)
    assert len(record.asked) > 5 * len(record.stamps)  # there was a crowd
    assert [most_in_any(record.stamps, seconds) for seconds, _ in LIMITS] == [most for _, most in LIMITS]


PLANTED = {
    "fixed windows": (
        "local first = first_after(log, clock - length, scope.length)",
        "local first = first_after(log, clock - clock % length - 1, scope.length)",
    ),
    "the clients' clocks": (
        'local time = redis.call("TIME")',
        'local told = tonumber(string.match(ARGV[1], "@(%d+)")) local time = { math.floor(told / 1e6), told % 1e6 }',
    ),
    "a limit that is too low": ("if used >= limit then", "if used >= limit * 0.9 then"),
}  # fmt: skip


@pytest.mark.parametrize("bug", PLANTED)
def test_a_worse_limiter_is_found_out(valkey: Valkey, admission: Admission, bug: str) -> None:
    """Each of the usual ways to count, put into the script on purpose, breaks what must hold."""
    record = crowded(valkey, admission, *PLANTED[bug])
    with pytest.raises(AssertionError):
        judge(record)
