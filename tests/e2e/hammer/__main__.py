"""`python -m tests.e2e.hammer --seconds 600 --seed 7`: strike for so long; say what was spent and charged."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from shared.core.pricing import usd
from tests.e2e.hammer import rounds
from tests.e2e.hammer.world import running

if TYPE_CHECKING:
    from tests.e2e.hammer.verdict import Round

PLANS = (
    rounds.CALM,
    rounds.WILD,
    rounds.TIGHT,
    rounds.SEVERAL,
    rounds.MODELS,
    rounds.WILD_AND_TIGHT,
    rounds.FLUSHED,
    rounds.FLUSHED_AND_ALONE,
)

BROKEN = frozenset({500, 502, 504})


def main() -> None:
    """Strike, one round after the other, each with another seed; the first whose money is not right ends it."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.hammer", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", default="1")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), os.getpid()) as world:
        end = time.monotonic() + asked.seconds
        for number, plan in enumerate(itertools.cycle(PLANS)):
            began = time.monotonic()
            if began > end:
                break
            found = rounds.struck(world, plan, f"{asked.seed} {number}")
            if not plan.faults and any(outcome.status in BROKEN for outcome in found.outcomes):
                sys.exit(f"{plan.name}: nothing was broken on purpose, and yet {_told(found)}")
            print(f"{plan.name:<15}{time.monotonic() - began:5.1f} s  {_told(found)}", flush=True)


def _told(found: Round) -> str:
    ended = Counter(outcome.code or "ok" if outcome.status else "unheard" for outcome in found.outcomes)
    how = ", ".join(f"{count} {name}" for name, count in ended.most_common())
    return f"budget {usd(found.budget)}, charged {usd(found.charged)}, spent {usd(found.truth)}: {how}"


if __name__ == "__main__":
    main()
