"""The benchmarks of the service run to their end; what they measure is for a quiet machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench import memory, tuning

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_tuning_is_compared_with_fixed_settings(model_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Moments instead of minutes: two processes, four phases each, a line per setting, the ratio."""
    assert model_dir.exists()
    tuning.main(1, 0.25, (8,), (0,))

    told = capsys.readouterr().out
    assert all(f"  {name} " in told for name in ("auto-tuned", "8 rows, 0 ms"))
    assert told.count("auto-tuned / best fixed (8 rows, 0 ms), ") == 2
    assert "a core less" in told


def test_memory_is_watched_over_requests_of_all_kinds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Forty requests: answered, refused or hung up on, and the sizes tell growth."""
    seen = memory.soak(40, memory.models(tmp_path), tmp_path / "cache")
    memory.report("here", seen)

    assert sum(seen.answers.values()) == 40
    assert seen.answers[200] > 20
    assert len(seen.sizes) == 40
    assert 0.5 < seen.ratio < 2
    assert "last quarter / second quarter" in capsys.readouterr().out


def test_growth_is_told_from_standing() -> None:
    """A thousand bytes a request are seen as that; none are none."""
    grows = memory.Soak(sizes=[(count, 10**8 + 1000 * count) for count in range(0, 20_000, 500)])
    stands = memory.Soak(sizes=[(count, 10**8) for count in range(0, 20_000, 500)])

    assert (round(grows.slope), stands.slope, stands.ratio) == (1000, 0, 1)
    assert grows.ratio > 1.07
