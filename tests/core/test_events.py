"""A usage event is read whole, or refused with the field that is wrong."""

from __future__ import annotations

import pytest

from shared.core import events
from shared.core.shares import Share

FIELDS = {
    "event": events.USAGE,
    "request_id": "r1",
    "seq": "1",
    "org": "acme",
    "key": "acme-k1",
    "user": "ann",
    "team": "",
    "alias": "a",
    "models": "1500 1 3 0 0 m",
    "day": "2026-11-21",
    "cost": "1500",
    "prompt": "3",
}
AT = 1_795_219_200_000  # 2026-11-21, UTC


def test_an_event_says_who_pays() -> None:
    """Each scope that the request has; nobody is called by an empty name."""
    used = events.usage(FIELDS, org="acme", at=AT)
    assert (used.cost, used.prompt, used.completion) == (1500, 3, 0)
    assert list(used.scopes) == [("key", "acme-k1"), ("user", "ann"), ("org", "acme"), ("alias", "a")]
    assert used.models == (Share(1500, 1, 3, 0, 0, "m"),)


def test_the_organization_is_the_streams() -> None:
    """What an event says of itself cannot charge a neighbour."""
    assert events.usage({**FIELDS, "org": "other"}, org="acme", at=AT).org == "acme"


def test_an_event_without_a_day_belongs_to_the_day_it_was_written() -> None:
    """And is the first charge, of nothing, where it does not say otherwise."""
    used = events.usage({"request_id": "r", "key": "k"}, org="acme", at=AT)
    assert (used.day, used.seq, used.cost) == ("2026-11-21", 1, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("request_id", ""),
        ("key", ""),
        ("seq", "0"),
        ("seq", "x"),
        ("cost", "1.5"),
        ("day", "2026-11-31"),
        ("cost", "9" * 30),
        ("alias", "a" * 300),
        ("models", "m"),
        ("models", "1500 1 3 0 m"),
        ("models", f"{2**63} 1 3 0 0 m"),
        ("models", "1500 1 3 0 0 " + "m" * 300),
        ("models", "\n".join(f"1 1 1 1 1 m{number}" for number in range(17))),
    ],
)
def test_a_wrong_field_is_refused(name: str, value: str) -> None:
    """Nothing is guessed where money is counted."""
    with pytest.raises(events.BrokenEventError):
        events.usage({**FIELDS, name: value}, org="acme", at=AT)


@pytest.mark.parametrize("name", ["request_id", "key"])
def test_a_missing_field_is_named(name: str) -> None:
    """It is one that has no sensible stand-in."""
    with pytest.raises(events.BrokenEventError, match=name):
        events.usage({key: value for key, value in FIELDS.items() if key != name}, org="acme", at=AT)
