"""Policies: a record of the Directory says the same to Valkey whoever projects it."""

from __future__ import annotations

from typing import Any

import pytest

from shared.core.catalog import Tier
from shared.core.policies import TIER_EDITS, key_policy, policy


def test_a_keys_own_limits_lie_over_its_tier() -> None:
    """What the key does not say comes from the preset; money stays exact beyond what a float could hold."""
    record = {
        "tier": "pro",
        "expires_at": 7,
        "limits": {"requests_per_minute": 3},
        "budget": {"daily_nano": 2**53 - 1},
        "blocked_until": 9,
    }
    assert policy(record, Tier(600, 0, 0, 50)) == {
        "state": "active",
        "expires_at": 7,
        "tier": "pro",
        "rpm": 3,
        "rph": 0,
        "tpm": 0,
        "concurrency": 50,
        "daily": 2**53 - 1,
        "monthly": "",
        "total": "",
        "blocked_until": 9,
        "addresses": "",
        "identity": "",
    }


def test_a_budget_of_nothing_is_a_budget() -> None:
    """Zero dollars let nothing through; that is not the same as no budget."""
    assert policy({"budget": {"total_nano": 0}})["total"] == 0


@pytest.mark.parametrize(("own", "ceiling", "counts"), [(None, 5, 5), (5, None, 5), (4, 5, 4), (6, 5, 5), (1, 0, 0)])
def test_of_budget_and_ceiling_the_lower_one_counts(own: int | None, ceiling: int | None, counts: int) -> None:
    """In each period by itself; a ceiling of nothing is one."""
    given = {"budget": own, "ceiling": ceiling}
    record = {name: {"daily_nano": nano} for name, nano in given.items() if nano is not None}
    assert policy(record)["daily"] == counts
    assert policy(record)["monthly"] == ""


@pytest.mark.parametrize("mark", ["revoked", "disabled", "deleted"])
def test_what_is_shut_is_shut(mark: str) -> None:
    """A revoked key, a disabled user and a deleted one are all refused by the same word."""
    record: dict[str, Any] = {mark: True}
    assert policy(record)["state"] == "revoked"
    assert policy({mark: False})["state"] == "active"


def test_an_edited_tier_is_newer_than_the_catalog_and_older_than_the_keys_own_word() -> None:
    """What an administrator made of the tier replaces its preset, and the version tells of both edits."""
    tiers = {"pro": Tier(600, 0, 0, 50)}
    record = {"tier": "pro", "version": 3, "limits": {"concurrency": 1}}
    edited = {"version": 2, "limits": {"requests_per_minute": 9, "concurrency": 8}}
    version, fields = key_policy(record, tiers, edited)
    assert (version, fields["rpm"], fields["concurrency"]) == (3 * TIER_EDITS + 2, 9, 1)
    assert key_policy(record, tiers, None)[0] == 3 * TIER_EDITS
    assert key_policy(record, tiers, None)[1]["rpm"] == 600
