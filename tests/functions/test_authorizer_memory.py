"""What the authorizer remembers of keys, for how long, and what guessing costs."""

from __future__ import annotations

from typing import Any

import pytest

from functions.authorizer import (
    Authorizer,
    RefusedError,
)
from functions.remembered import AGAIN_SECONDS, CACHE_ENTRIES, CACHE_SECONDS, Remembered
from shared.core import keys
from shared.edge.aws import AwsError
from tests.functions.door import KEY, OTHER, PEPPER, RECORD, Shelf, bearer, event_of


class Clock:
    """A clock that only moves when told to."""

    now = 0.0

    def __call__(self) -> float:
        """Seconds, as `time.monotonic`."""
        return self.now


def test_remembers_for_a_minute() -> None:
    """Known and unknown keys are looked up once a minute; a revocation is seen after that at the latest."""
    shelf, clock = Shelf(RECORD), Clock()
    lookup = Remembered(shelf, clock)
    for _ in range(3):
        assert lookup("default", KEY.id) == RECORD
        assert lookup("default", OTHER.id) is None
    assert len(shelf.asked) == 2
    shelf.records = {("default", KEY.id): RECORD._replace(revoked=True)}
    clock.now = CACHE_SECONDS - 0.1
    assert lookup("default", KEY.id) == RECORD
    clock.now = CACHE_SECONDS
    found = lookup("default", KEY.id)
    assert found is not None
    assert found.revoked


def test_a_rotated_key_opens_by_its_new_secret_at_once() -> None:
    """What is remembered does not shut it out; the old secret opens too while the overlap lasts."""
    shelf = Shelf(RECORD)
    lookup = Remembered(shelf, Clock())
    door = Authorizer(lookup, lambda: PEPPER, "stack", lambda: 100.0, look_again=lookup.again)
    assert door.identify(event_of(bearer(KEY))).key_id == KEY.id
    renewed = KEY._replace(secret="n" * 43)
    after: dict[str, Any] = {"hash": keys.digest(PEPPER, renewed), "previous_hash": RECORD.hash, "previous_until": 101}
    shelf.records = {("default", KEY.id): RECORD._replace(**after)}
    assert door.identify(event_of(bearer(renewed))).key_id == KEY.id
    assert door.identify(event_of(bearer(KEY))).key_id == KEY.id
    assert len(shelf.asked) == 2


def test_guessing_costs_few_reads() -> None:
    """A thousand wrong secrets in one moment make one read more in a second, and none for a key that does not exist."""
    shelf, clock = Shelf(RECORD), Clock()
    lookup = Remembered(shelf, clock)
    door = Authorizer(lookup, lambda: PEPPER, "stack", lambda: 100.0, look_again=lookup.again)
    door.identify(event_of(bearer(KEY)))
    for number in range(100):
        for key in (KEY, OTHER):
            with pytest.raises(RefusedError):
                door.identify(event_of(bearer(key._replace(secret=f"{number:043d}"))))
    assert shelf.asked.count(("default", KEY.id)) == 2
    assert shelf.asked.count(("default", OTHER.id)) == 1
    clock.now = AGAIN_SECONDS
    with pytest.raises(RefusedError):
        door.identify(event_of(bearer(KEY._replace(secret="x" * 43))))
    assert shelf.asked.count(("default", KEY.id)) == 3


def test_remembers_no_failure() -> None:
    """After an outage the next request asks again."""
    shelf = Shelf(RECORD)
    lookup = Remembered(shelf, Clock())
    shelf.broken = True
    with pytest.raises(AwsError):
        lookup("default", KEY.id)
    shelf.broken = False
    assert lookup("default", KEY.id) == RECORD


def test_remembers_a_thousand_and_no_more() -> None:
    """A flood of invented ids pushes the oldest out, one for one, and memory stays bounded."""
    shelf = Shelf(RECORD)
    lookup = Remembered(shelf, Clock())
    lookup("default", KEY.id)
    for number in range(CACHE_ENTRIES - 1):
        lookup("default", f"default-{number}")
    lookup("default", KEY.id)
    assert shelf.asked.count(("default", KEY.id)) == 1
    lookup("default", "default-one-more")
    lookup("default", KEY.id)
    assert shelf.asked.count(("default", KEY.id)) == 2
