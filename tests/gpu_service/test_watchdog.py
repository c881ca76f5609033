"""When the watchdog tells, forgives and ends the process."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from gpu_service.batching.limits import Patience
from gpu_service.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Iterable

LEAVES = """
import signal, sys, time
from gpu_service import watchdog
watchdog._FORCE = {force}
signal.signal(signal.SIGTERM, {handler})
watchdog.leave(0.1)
time.sleep(90)
"""


class Fleet:
    """Two models, of which those in `hung` have a run that does not end."""

    def __init__(self) -> None:
        self.hung: list[str] = []
        self.forgiven: list[float] = []
        self.abandoned: list[str] = []

    def stuck(self, _now: float) -> list[str]:
        """Tell which."""
        return self.hung

    def forgive(self, seconds: float) -> None:
        """Remember."""
        self.forgiven.append(seconds)

    def abandon(self, models: Iterable[str]) -> None:
        """Remember."""
        self.abandoned += models


@pytest.fixture
def fleet() -> Fleet:
    """One in which all is well."""
    return Fleet()


def watchdog(fleet: Fleet, left: list[None]) -> Watchdog:
    """One with ten seconds of grace, which has just looked at second 100."""
    found = Watchdog(fleet, Patience(grace=10), lambda: left.append(None))  # type: ignore[arg-type]
    found._looked = 99.0
    found.look(100)
    return found


def looks(dog: Watchdog, seconds: Iterable[float]) -> None:
    """Look at these times, a second apart from the last look each."""
    for second in seconds:
        dog.look(second)


def test_what_stays_stuck_ends_the_process(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """After ten seconds, once, and the requests of that model are told before."""
    left: list[None] = []
    dog = watchdog(fleet, left)
    fleet.hung = ["slow"]
    looks(dog, range(101, 111))
    assert not left
    looks(dog, [111])

    told: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert left == [None]
    assert dog.left
    assert fleet.abandoned == ["slow"]
    assert [(one["event"], one["models"]) for one in told] == [("stuck", ["slow"]), ("leaving", ["slow"])]


def test_what_recovers_does_not(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """Nine seconds, and nine again after a pause: the time is counted anew."""
    left: list[None] = []
    dog = watchdog(fleet, left)
    for begin in (101, 111):
        fleet.hung = ["slow"]
        looks(dog, range(begin, begin + 9))
        fleet.hung = []
        looks(dog, [begin + 9])

    events = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert not left
    assert events == ["stuck", "recovered"] * 2


def test_a_process_that_stood_still_blames_nobody(fleet: Fleet) -> None:
    """Stopped or frozen for a minute: all runs are forgiven that time, and a second's delay is nothing."""
    dog = watchdog(fleet, [])
    looks(dog, [102, 163])

    assert fleet.forgiven == [60]


@pytest.mark.parametrize(
    ("handler", "force", "status"),
    [("lambda *_: sys.exit(7)", 80, 7), ("lambda *_: time.sleep(90)", 0.1, 1), ("signal.SIG_IGN", 0.1, 1)],
)
def test_leaving_is_polite_and_then_is_not(handler: str, force: float, status: int) -> None:
    """SIGTERM first; a process that hangs even then ends with the place where it hangs on stderr."""
    program = LEAVES.format(handler=handler, force=force)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=75, check=False)

    assert done.returncode == status
    assert ("most recent call first" in done.stderr) == (status == 1)
