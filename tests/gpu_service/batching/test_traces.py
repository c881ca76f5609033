"""Arrivals as they are made and as they are read."""

from __future__ import annotations

import pytest

from gpu_service.batching.traces import TraceError, bursts, even, poisson, read

LOG = """{"time":"2026-11-21T10:00:01.500000Z","event":"request","rows":2,"tokens":30,"total_ms":500.0,"status":200}
{"time":"2026-11-21T10:00:00Z","event":"listening","port":8080}
{"time":"2026-11-21T10:00:03.250Z","event":"request","rows":1,"tokens":7,"total_ms":250.0,"status":200}
{"time":"2026-11-21T10:00:04Z","event":"request","total_ms":1.0,"status":503}
"""


def test_the_services_own_log_is_a_trace() -> None:
    """Requests count from when they came, not from when they were answered; other lines are passed over."""
    assert read(LOG.splitlines()) == [(0.0, [15, 15]), (2.0, [7])]


def test_a_table_is_a_trace() -> None:
    """Seconds and the tokens of each row, in any order."""
    assert read(["# a comment", "", "12.5,16", "10,1,2,3"]) == [(0.0, [1, 2, 3]), (2.5, [16])]


@pytest.mark.parametrize("line", ["1", "a,b", "1,0", "1e400,5", "nan,5", "{}x", '{"event":"request","tokens":3}'])
def test_a_wrong_line_is_named(line: str) -> None:
    """The message says which one."""
    with pytest.raises(TraceError, match="Line 2 is neither"):
        read(["1,16", line])


def test_an_empty_trace_is_none() -> None:
    """There is nothing to simulate."""
    with pytest.raises(TraceError, match="no request"):
        read(["# nothing"])


def test_both_loads_have_the_rate_that_was_asked_for() -> None:
    """Within a tenth over a hundred seconds; bursts are bursts."""
    for make in (poisson, bursts):
        assert abs(len(list(make(100, 100, even(1, 5)))) - 10_000) < 1_000
    loud = sum(arrival.at % 4 < 1 for arrival in bursts(100, 100, even(1, 5)))
    assert loud > 7_000
