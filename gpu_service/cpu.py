"""How many cores this process may really use: inside a container the machine's number is a lie."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


def cores(quota: Path = QUOTA) -> int:
    """Give the smaller of the cores that the scheduler allows and those that the control group pays for; at least 1."""
    return max(1, min(_allowed(), _paid(quota)))


def _allowed() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _paid(quota: Path) -> int:
    """Read cgroup v2's `<microseconds|max> <period>`; a share of a core counts as one."""
    try:
        limit, period = quota.read_text(encoding="ascii").split()
        return math.ceil(int(limit) / int(period))
    except (OSError, ValueError):  # no control group, or "max": no limit
        return _allowed()
