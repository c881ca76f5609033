"""The promised latency is kept by taking away much when it is missed and adding little while it holds."""

from __future__ import annotations

from gpu_service.batching.tuning import Tuner


def feed(tuner: Tuner, seconds: float, *, start: float, windows: int, refused: bool = False) -> None:
    """Let rows that take `seconds` come for some windows of one second, and others be `refused`."""
    for number in range(windows * 40):
        if refused:
            tuner.refused()
        tuner.saw(seconds, start + number / 40)


def test_a_missed_target_takes_much_and_a_kept_one_gives_little() -> None:
    """Down by a quarter a second while late, up by a twentieth while well in time, within bounds."""
    tuner = Tuner(1.0)
    before = tuner.share
    feed(tuner, 1.5, start=10, windows=3)
    late = tuner.share
    assert late < 0.8 * before
    assert tuner.p95 == 1.5

    feed(tuner, 0.5, start=20, windows=3)
    assert late < tuner.share < late + 0.25
    feed(tuner, 0.5, start=30, windows=100, refused=True)
    assert 0.85 < tuner.share < 1
    feed(tuner, 9.0, start=200, windows=100)
    assert 0 < tuner.share <= 0.1


def test_near_the_target_nothing_moves() -> None:
    """Between eight and nine tenths of the target is where it should be: an answer takes more than its row."""
    tuner = Tuner(1.0)
    before = tuner.share
    feed(tuner, 0.85, start=10, windows=20, refused=True)
    assert tuner.share == before

    feed(tuner, 0.95, start=40, windows=3)
    assert tuner.share < before


def test_an_idle_service_proves_nothing() -> None:
    """Where all are let in, low latencies give back what was taken, and no more: the next crowd would be late."""
    tuner = Tuner(1.0)
    before = tuner.share
    feed(tuner, 0.1, start=10, windows=50)
    assert tuner.share == before

    feed(tuner, 1.5, start=100, windows=3)
    feed(tuner, 0.1, start=110, windows=50)
    assert before <= tuner.share < before + 0.05


def test_one_crowd_is_one_reason() -> None:
    """A thousand late rows within one second are punished once: what was let in before cannot be undone."""
    tuner = Tuner(1.0)
    before = tuner.share
    for number in range(1000):
        tuner.saw(5.0, 10 + number / 1000)

    assert 0.7 * before < tuner.share < before


def test_it_may_be_told_to_stay() -> None:
    """Without tuning it watches, and moves nothing."""
    tuner = Tuner(1.0, moves=False)
    before = tuner.share
    feed(tuner, 9.0, start=10, windows=5)

    assert tuner.share == before
    assert tuner.p95 == 9.0
