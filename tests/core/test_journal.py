"""What is written of money can be read again, names nobody, and is never taken for something else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.core import events, journal, shares
from shared.core.principals import token_key_id
from shared.core.shares import Share

PAYING = {"org": "acme", "key": "acme-abcdefghijkl", "user": "ann", "team": "red", "alias": "a"}
TOKEN = {**PAYING, "key": token_key_id("acme", "pro", "ann")}
SHARES = (Share(500, 1, 3, 5, 0, "m"), Share(300, 1, 0, 0, 0, "n/1"))
BOOKED: dict[str, Any] = {
    "event": events.USAGE, **PAYING, "outcome": "ok", "prompt": 3, "completion": 5, "ms": 7, "models": SHARES,
}  # fmt: skip


def read(line: dict[str, Any]) -> Any:
    """The line, as the books get it."""
    return journal.read(json.dumps(line), "acme")


def test_a_reservation_is_read_as_it_was_written() -> None:
    """With the money, its end, and all who pay, once the user is named."""
    held = {"m": 900, "n/1": 400}
    line = read(journal.reserved(PAYING, "r1", "2026-11-21", held=900, models=held, ends=5_000))
    named = journal.Names(["bob", "ann"]).named(line)
    assert named[:5] == ("r1", "acme", "2026-11-21", 900, 5_000)
    owners = ("key:acme-abcdefghijkl", "user:ann", "team:red", "org:acme", "alias:a")
    assert named.scopes == (*owners, "model:m", "model:n/1")
    assert (named.shared, named.models) == (len(owners), held)


def test_a_settlement_is_read_as_it_was_written() -> None:
    """As the same charge that the store's stream tells of."""
    line = read(journal.used(BOOKED, "r1", "2026-11-21", 800))
    fields = {name: str(value) for name, value in BOOKED.items()} | {"models": shares.written(SHARES)}
    told = events.usage({**fields, "request_id": "r1", "day": "2026-11-21", "cost": "800"}, org="acme", at=0)
    assert journal.Names(["ann"]).named(line) == told
    assert told.models == SHARES


@pytest.mark.parametrize("paying", [PAYING, TOKEN])
def test_no_line_holds_the_id_of_a_person(paying: dict[str, str]) -> None:
    """Neither as the user nor in what stands for the key of a user with a token; the books name both."""
    lines = [
        journal.reserved(paying, "r1", "2026-11-21", held=9, models={}, ends=9),
        journal.used({**BOOKED, **paying}, "r1", "2026-11-21", 8),
    ]
    assert "ann" not in json.dumps(lines)
    for line in lines:
        named = journal.Names(["ann"]).named(read(line))
        assert (named.key, named.user) == (paying["key"], "ann")


def test_a_user_whom_nobody_knows_stays_a_pseudonym() -> None:
    """And is told apart from no user at all."""
    line = read(journal.reserved(TOKEN, "r1", "2026-11-21", held=9, models={}, ends=9))
    names = journal.Names(["bob"])
    assert names.named(line) == line
    assert not names.knows(line.user)
    assert names.knows("")


@pytest.mark.parametrize(
    "text",
    ["", "REPORT RequestId: 1", "[1]", '{"event":"request"}', '{"event":"usage.v1","org":"other","request_id":"r"}'],
)
def test_what_is_not_in_the_journal_is_passed_over(text: str) -> None:
    """Other lines of the log, and those of other organizations."""
    assert journal.read(text, "acme") is None


@pytest.mark.parametrize("change", [{"held": "much"}, {"ends": None}, {"key": None, "held": None}, {"models": 1}])
def test_a_damaged_line_is_named(change: dict[str, Any]) -> None:
    """It is money that nobody can book: no silence about it."""
    with pytest.raises(events.BrokenEventError, match="missing or wrong"):
        read({**journal.reserved(PAYING, "r1", "2026-11-21", held=9, models={}, ends=9), **change})
