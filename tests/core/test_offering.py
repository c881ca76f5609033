"""What admission is told of candidates, and who is asked after its answer."""

from __future__ import annotations

from shared.core import offering
from shared.core.breakers import Seen
from shared.core.catalog import Model, Provider, Target
from shared.core.routing import Candidate, Group

PROVIDER = Provider("p", "openai")


def candidates(*names: str) -> list[Candidate]:
    """Targets by model and name: `m/a` is the target a of the model m."""
    models = {name.partition("/")[0]: Model(name.partition("/")[0], "chat", (), "me") for name in names}
    return [Candidate(Target("p", name), PROVIDER, models[name.partition("/")[0]]) for name in names]


def test_each_target_is_told_with_its_model() -> None:
    """Models are numbered in the order in which they are preferred."""
    found = candidates("m/a", "n/a", "m/b", "o/a")
    chosen = offering.choice([Group("order", found)], found, stream=False)
    assert chosen.models == (1, 2, 1, 3)
    assert [model.name for model in offering.models(found)] == ["m", "n", "o"]


def test_no_more_models_are_offered_than_can_be_booked() -> None:
    """The least preferred are left out with all their targets; a strategy chooses among those that are left."""
    found = candidates("m/a", "n/a", "m/b", "o/a", "q/a")
    kept = offering.limited(found, 2)
    assert [one.target.model for one in kept] == ["m/a", "n/a", "m/b"]
    groups = [Group("fastest", [found[1], found[3], found[0]]), Group("order", [found[2], found[4]])]
    chosen = offering.choice(groups, kept, stream=True)
    assert (chosen.targets, chosen.among) == (("p:m/a", "p:n/a", "p:m/b"), 2)


def test_who_is_spent_or_rests_is_not_asked() -> None:
    """The first one first, then those that are able."""
    found = candidates("m/a", "n/a", "o/a", "q/a")
    chosen = offering.choice([Group("order", found)], found, stream=False)
    seen = [Seen("closed"), Seen("spent"), Seen("open"), Seen("probe")]
    assert offering.turn(chosen, 3, seen) == [3, 0]
