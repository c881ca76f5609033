"""How a state machine looks for an order of things in which scripts and model disagree, and how a bug is planted."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from shared.edge.admission import Admission
from tests.fakes.patience import patiently

if TYPE_CHECKING:
    from hypothesis.stateful import RuleBasedStateMachine

    from cdk.local.valkey import Valkey


def run(
    kind: type[RuleBasedStateMachine],
    valkey: Valkey,
    examples: int,
    *,
    admission: Admission | None = None,
    phases: tuple[Phase, ...] = tuple(Phase),
) -> None:
    """Have the machine look for it; with one phase alone the same examples come each time."""
    asked = admission or Admission(patiently(valkey.host, valkey.port))
    machine = type("Bound", (kind,), {"admission": asked, "client": valkey.client()})
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    how = settings(
        max_examples=examples, stateful_step_count=30, deadline=None, suppress_health_check=quiet, phases=phases,
        database=None, derandomize=len(phases) == 1,
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=how)


def find(kind: type[RuleBasedStateMachine], valkey: Valkey, script: str, right: str, wrong: str) -> None:
    """Write `wrong` instead of `right` in a script; the machine has to find it."""
    admission = Admission(patiently(valkey.host, valkey.port))
    planted = getattr(admission, f"_{script}")
    assert right.encode() in planted.source
    planted.source = planted.source.replace(right.encode(), wrong.encode())
    planted.digest = hashlib.sha1(planted.source, usedforsecurity=False).hexdigest()

    with pytest.raises((AssertionError, ExceptionGroup)):  # nearly all are found within a hundred examples
        run(kind, valkey, 4000, admission=admission, phases=(Phase.generate,))
