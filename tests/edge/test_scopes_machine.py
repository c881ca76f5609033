"""The scripts against a model on a real Valkey, in several scopes with limits and money; and bugs that it must find."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.edge.looking import find, run
from tests.edge.scopes_machine import Machine

if TYPE_CHECKING:
    from cdk.local.valkey import Valkey


def test_the_scripts_do_what_the_model_says(valkey: Valkey) -> None:
    """Any order of admissions, settlements, top-ups, reapings, edits and passing time: they never disagree."""
    run(Machine, valkey, 60)


PLANTED = {
    "no reservation": ("admit", "whole(model and model.amount or amount)", '"0"'),
    "a budget off by one": ("admit", "b.reserved + model.amount > b.limit", "b.reserved + model.amount > b.limit + 1"),
    "a limit off by one": ("admit", "if used >= limit then", "if used > limit then"),
    "tokens forgotten": ("admit", '"sum", whole(most - freed)', '"sum", 0'),
    "a spent model that refuses": ("admit", "if spent then return", "if lost then return"),
    "a spent model that is asked": ("admit", "if model and model.told then states", "if false then states"),
    "settled twice": ("settle", 'done = mark == "settled"', 'done = false if mark == "settled" then mark = false end'),
    "a reservation that leaks": ("settle", "whole(-given)", '"0"'),
    "another model's reservation": ("settle", "models[number] and models[number].held or reserved", "reserved"),
    "a lease that leaks": ("settle", 'redis.call("ZREM", place(number, 1), ARGV[1])', ""),
    "a late settlement lost": ("settle", "cost, seq = cost - held, 2", "do return { 0 } end"),
    "a correction that forgets models": ("settle", "model.cost - charged", "model.cost"),
    "a cost cut to the reservation": ("settle", "local charged =", "cost = math.min(cost, held) local charged ="),
    "what another model cost": ("settle", "models[number] and models[number].cost or cost", "cost"),
    "an expired lease for nothing": ("settle", "cost = held\n", "cost = 0\n"),
    "an expired lease that spares models": ("settle", "model.cost, model.asked = model.held,", "model.asked ="),
    "a place of a model that leaks": ("settle", 'redis.call("LREM", place(number, 4), -1, hold[12])', ""),
    "half a top-up": ("topup", "if limit and", "if scope.at == 2 and limit and"),
    "tokens of a further try uncounted": ("topup", "if limit > 0 and", "if false and"),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(valkey: Valkey, bug: str) -> None:
    """The machine is worth something: each of these slips, made on purpose, makes it disagree."""
    find(Machine, valkey, *PLANTED[bug])
