"""What became of requests, by outcome, provider and model: every split of it adds up to what was spent."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from shared.core import durations
from shared.core.events import CORRECTION, EXPIRED, FIRST, Usage
from shared.core.shares import Share, corrected
from shared.edge.booking import SERVED, Served, Sum, served, totals
from tests.fakes.books import DAY, NOON, usage

if TYPE_CHECKING:
    from shared.edge.ledger import Ledger

ORG = "acme"
MODELS = ("a", "b#c", "d:e")
DAYS = ("2026-10-31", "2026-11-01", "2026-11-02")
AMOUNT = st.integers(0, 10**12)


@st.composite
def settled(draw: st.DrawFn) -> Usage:
    """A request that was settled once, with any models asked until one answered, or none did."""
    asked = draw(st.lists(st.sampled_from(MODELS), unique=True))
    shares = tuple(Share(draw(AMOUNT), 1, draw(AMOUNT), 5, 1, model) for model in asked)
    whole = Sum(*map(sum, zip(*(share[:-1] for share in shares), strict=True))) if shares else Sum()
    return usage(
        day=draw(st.sampled_from(DAYS)),
        outcome=draw(st.sampled_from(["ok", "client_gone", "timeout"])),
        provider=draw(st.sampled_from(["openai", "acme"])) if asked else "",
        served=asked[-1] if asked else "",
        ms=draw(st.integers(0, 10**6)),
        cost=whole.cost,
        prompt=whole.prompt,
        completion=whole.completion,
        cached=whole.cached,
    )._replace(models=shares)


@st.composite
def charged(draw: st.DrawFn) -> list[Usage]:
    """The same, or one that ran out of time first, at the price of all that it might have asked, and settled late."""
    late = draw(settled())
    if draw(st.booleans()):
        return [late]
    held = tuple(Share(draw(AMOUNT), 1, 0, 0, 0, model) for model in MODELS)
    nobody: dict[str, Any] = {"provider": "", "served": "", "prompt": 0, "completion": 0, "cached": 0, "ms": 0}
    cost = draw(AMOUNT)
    first = late._replace(outcome=EXPIRED, cost=cost, models=held, **nobody)
    models = corrected(late.models, {share.model: share for share in held})
    return [first, late._replace(seq=CORRECTION, cost=late.cost - cost, held=cost, models=models)]


@given(st.lists(charged()))
def test_every_split_adds_up_to_the_nano_dollar(requests: list[list[Usage]]) -> None:
    """By outcome, provider and model, by day, and by the models' own shares, of days, months and all of time."""
    charges = [charge for request in requests for charge in request]
    found: dict[tuple[str, str], Counter[str]] = {}
    for charge in charges:
        for total, added in totals(charge):
            found.setdefault((total.kind, total.period), Counter()).update(added)
    for (kind, period), added in found.items():
        if kind == SERVED:
            org = found["org", period]
            assert {name: added[name] for name in Sum._fields if name != "errors"} == {
                name: org[name] for name in Sum._fields if name != "errors"
            }
    for kind in {kind for kind, _ in found}:
        days = sum((found.get((kind, f"d:{day}"), Counter()) for day in DAYS), start=Counter())
        assert +days == +Counter(found[kind, "t"])
    final = [request[-1] for request in requests]
    org = found.get(("org", "t"), Counter())
    assert org["errors"] == sum(charge.outcome == "timeout" for charge in final)
    model, bad = found.get(("model", "t"), Counter()), "timeout"
    assert model["cost"] == sum(share.cost for charge in charges for share in charge.models)
    spent = [share for charge in charges for share in charge.models]
    assert model["requests"] == sum(share.requests for share in spent)
    answered = sum(charge.outcome != bad and bool(charge.served) for charge in final)
    assert model["requests"] - model["errors"] == answered


@given(charged())
def test_what_is_counted_for_ever_never_falls(request: list[Usage]) -> None:
    """All but the cost, and that does not either with what was taken back."""
    for charge in request:
        for total, added in totals(charge):
            if total.kind == SERVED:
                assert added["cost"] + added.get("refunded", 0) >= 0
                assert all(added[name] >= 0 for name in added if name != "cost")
                one = served(total.name, added)
                assert (one.provider, one.model) in {(charge.provider, charge.served), ("", "")}
                assert sum(one.buckets.values()) == (charge.seq == FIRST and charge.outcome != EXPIRED)
                assert one.outcome == EXPIRED or one.spent.cost >= 0


def test_the_ledger_tells_what_became_of_the_requests_of_days_and_of_all(ledger: Ledger) -> None:
    """Durations in buckets that add up, and nothing that a budget is told of."""
    ledger.begin(ORG, NOON)
    cursor = ledger.cursor(ORG)
    assert cursor
    late = {"request_id": "late", "cost": 9}
    charges = [usage(ms=100), usage(ms=100), usage(ms=9), usage(outcome="timeout", day="2026-11-20")]
    assert ledger.book(ORG, cursor, [*charges, usage(**late, outcome=EXPIRED, provider="", served="")], "5-0")
    cursor = ledger.cursor(ORG)
    assert cursor
    assert ledger.book(ORG, cursor, [usage(**late | {"seq": 2, "cost": -4, "held": 9}, ms=77)], "6-0")
    nobody = Served(EXPIRED, "", "", Sum(0, 1, 3, 5, 1, 1), 9)
    buckets = {durations.bucket(100): 2, durations.bucket(9): 1}
    good = Served("ok", "openai", "gpt-4o-mini", Sum(3005, 3, 12, 20, 4), 0, 209, buckets)
    bad = Served("timeout", "openai", "gpt-4o-mini", Sum(1000, 1, 3, 5, 1, 1), 0, 12, {durations.bucket(12): 1})
    assert list(ledger.served(ORG, DAY, DAY)) == [nobody, good]
    assert list(ledger.served_ever(ORG)) == [nobody, good, bad]
    again = ledger.cursor(ORG)
    assert again
    assert not [scope for scope in again.due if scope.startswith(SERVED)]
