"""Money in the scripts at its edges: exact to the nano-dollar, closed when in doubt, late but never lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.core import periods
from shared.core.catalog import Tier
from shared.core.errors import BudgetExhausted, Forbidden, RateLimited, StoreRebuilding, UnpricedModel
from shared.core.policies import policy
from shared.core.pricing import NANO, Worst
from shared.core.shares import Share
from shared.edge.admission import Admission, Ask, Bound, Further, Grant, Unprojected

if TYPE_CHECKING:
    from cdk.local.valkey import Valkey

KEY, ORG, MODEL = "key:default-abcdefghijkl", "org:default", "model:m"
SCOPES = (KEY, ORG)
USED: dict[str, Any] = {"outcome": "ok", "prompt": 3, "completion": 4, "key": "default-abcdefghijkl"}
Store = Any  # a Valkey client: redis-py's own types allow for None and str where neither can come


@pytest.fixture
def client(valkey: Valkey) -> Store:
    """A client to look behind the scripts; the books are open."""
    opened = valkey.client()
    opened.set("{default}:open", 1)
    return opened


def ask(request: str, *, fixed: int = 0, each: int = 1, most: int = 10, **more: Any) -> Ask:
    """Return the question whether a request may pass that costs `fixed`, and `each` per token of an answer."""
    fields: dict[str, Any] = {"answers": 1, "max_tokens": most, **more}
    bound = Bound("m", Worst(fixed, each, 5), fields.pop("ceiling", 0), fields.pop("priced", True))
    return Ask("default", SCOPES, request, fields.pop("lease", 60), models=(bound,), **fields)


def settle(admission: Admission, request: Ask, grant: Grant, cost: int) -> bool:
    """Settle a request that its model was asked for."""
    return admission.settle(request, grant, cost, {**USED, "models": [Share(cost, 1, 3, 4, 0, "m")]})


def allow(admission: Admission, scope: str = KEY, limits: Tier | None = None, version: int = 1, **nano: int) -> None:
    """Give a scope budgets, such as `daily=5`, in nano-dollars."""
    record = {"budget": {f"{period}_nano": amount for period, amount in nano.items()}}
    assert admission.tell("default", scope, version, policy(record, limits or Tier()))


@pytest.mark.parametrize("period", ["daily", "monthly", "total"])
def test_a_budget_is_spent_to_its_last_nano_dollar(admission: Admission, client: Store, period: str) -> None:
    """What exactly fits passes; one nano-dollar more is refused, says why, and writes nothing."""
    assert admission.tell("default", KEY, 1, policy({"budget": {f"{period}_nano": 20}}))
    admission.admit(ask("a"))
    before = {key: client.dump(key) for key in client.keys("*")}
    with pytest.raises(BudgetExhausted) as refused:
        admission.admit(ask("b", fixed=1))
    assert {key: client.dump(key) for key in client.keys("*")} == before
    told = refused.value.details
    assert (told["scope"], told["rule"]) == ("key", f"budget_{period}")
    assert (told["limit"], told["used"], told["reserved"]) == ("0.00000002", "0", "0.00000001")
    assert refused.value.should_retry is False
    assert (refused.value.retry_after is None) == (period == "total")
    assert admission.admit(ask("c")).held == 10


@pytest.mark.parametrize("period", ["daily", "monthly", "total"])
def test_what_others_spent_before_under_an_id_counts_in_no_total(
    admission: Admission, client: Store, period: str
) -> None:
    """Days and months that run go on; where less is counted than that, nothing is gained by it."""
    known = {"budget": {f"{period}_nano": 20}, "before_nano": 100}
    admission.tell("default", KEY, 1, policy(known))
    day = periods.day_at(client.time()[0] * 1000)
    counted = {f"c:{name}": 5 for name in (periods.daily(day), periods.monthly(day))} | {"c:t": 105}
    client.hset(f"{{default}}:spend:{KEY}", mapping=counted)
    with pytest.raises(BudgetExhausted) as refused:
        admission.admit(ask("a", fixed=6))
    assert refused.value.details["used"] == "0.000000005"
    admission.admit(ask("b", fixed=1))
    assert admission.topup(ask("b"), Further(0, 4, 0, 4, 0))
    assert not admission.topup(ask("b"), Further(0, 1, 0, 1, 0))
    client.hset(f"{{default}}:spend:{KEY}", mapping=dict.fromkeys(counted, 3))
    assert not admission.topup(ask("b"), Further(0, 6, 0, 6, 0))
    with pytest.raises(BudgetExhausted):
        admission.admit(ask("c", fixed=11))


def test_a_daily_budget_says_truly_when_the_day_ends(admission: Admission, client: Store) -> None:
    """The seconds until midnight, UTC, by the store's clock."""
    allow(admission, daily=1)
    with pytest.raises(BudgetExhausted) as refused:
        admission.admit(ask("a"))
    seconds, _ = client.time()
    assert refused.value.retry_after is not None
    assert abs((seconds + refused.value.retry_after) % 86_400) <= 2
    assert refused.value.details["resets_at"] % 86_400 <= 2  # type: ignore[operator]


def test_the_largest_budgets_are_exact(admission: Admission, client: Store) -> None:
    """Four million dollars: the last nano-dollar of them still counts."""
    allow(admission, total=4_000_000 * NANO)
    client.hset(f"{{default}}:spend:{KEY}", "c:t", 4_000_000 * NANO - 10)
    with pytest.raises(BudgetExhausted):
        admission.admit(ask("a", fixed=1))
    assert admission.admit(ask("b")).held == 10


@pytest.mark.parametrize("scope", [KEY, ORG, MODEL])
def test_every_scope_has_its_budget(admission: Admission, client: Store, scope: str) -> None:
    """Key, organization and model alike; each knows only its own spending."""
    assert client.get("{default}:open")
    allow(admission)
    allow(admission, scope, version=2, total=10)
    grant = admission.admit(ask("a"))
    with pytest.raises(BudgetExhausted) as refused:
        admission.admit(ask("b", most=1))
    assert refused.value.details["scope"] == {KEY: "key", ORG: "organization", MODEL: "model"}[scope]
    assert settle(admission, ask("a"), grant, 4)
    assert admission.admit(ask("c", most=6)).held == 6
    assert client.hget(f"{{default}}:spend:{ORG}", "c:t") == b"4"


def test_a_missing_bound_becomes_what_the_budget_affords(admission: Admission, client: Store) -> None:
    """Unset: the least of the model's ceiling, 4096 and what is left; set: lowered only where that was asked for."""
    assert client.get("{default}:open")
    allow(admission, total=100_000)
    assert admission.admit(ask("a", most=0)).models[0].max_tokens == 4096
    assert admission.admit(ask("b", most=0, ceiling=50)).models[0].max_tokens == 50
    assert admission.admit(ask("c", most=95_000, fit=True)).models[0].max_tokens == 0
    assert admission.admit(ask("d", most=5000, fit=True)).models[0].max_tokens == 100_000 - 4096 - 50 - 95_000
    for most, fit in ((0, False), (9, True), (1, False)):
        with pytest.raises(BudgetExhausted):
            admission.admit(ask("e", most=most, fit=fit))


def test_what_has_no_bound_is_refused_where_a_budget_applies(admission: Admission, client: Store) -> None:
    """By name of the field; without a budget it passes and holds nothing; what is free passes a spent budget."""
    assert client.get("{default}:open")
    allow(admission)
    assert admission.admit(ask("a", priced=False)).held == 0
    allow(admission, version=2, total=0)
    for field, unknown in (("model", {"priced": False}), ("service_tier", {"unbounded": "service_tier"})):
        with pytest.raises(UnpricedModel) as refused:
            admission.admit(ask("b", **unknown))
        assert refused.value.param == field
    assert not admission.admit(ask("c")._replace(models=())).budgeted


def test_closed_books_refuse_what_a_budget_applies_to(admission: Admission, client: Store) -> None:
    """After a loss nobody knows what was spent: until the books are open again, only who has no budget is served."""
    client.delete("{default}:open")
    allow(admission, version=1)
    with pytest.raises(Unprojected) as unknown:
        admission.admit(ask("a"))
    assert unknown.value.scopes == (ORG, MODEL)
    for scope in (ORG, MODEL):
        allow(admission, scope, version=0)
    admission.admit(ask("a"))
    allow(admission, ORG, version=2, monthly=10**12)
    with pytest.raises(StoreRebuilding) as refused:
        admission.admit(ask("b"))
    assert (refused.value.status, refused.value.code) == (503, "store_rebuilding")
    assert refused.value.retry_after
    client.set("{default}:open", 1)
    admission.admit(ask("b"))


def test_a_late_settlement_corrects_what_the_reaper_charged(admission: Admission, client: Store) -> None:
    """The whole reservation first, the difference afterwards, as two charges of one request; then never again."""
    allow(admission, total=100)
    grant = admission.admit(ask("a", lease=0.001))
    while not admission.reap("default"):
        pass
    assert client.hgetall(f"{{default}}:spend:{KEY}")[b"c:t"] == b"10"
    assert settle(admission, ask("a"), grant, 3)
    assert not settle(admission, ask("a"), grant, 3)
    assert client.hget(f"{{default}}:spend:{KEY}", "c:t") == b"3"
    charges = [(event[b"seq"], event[b"cost"], event[b"outcome"]) for _, event in client.xrange("{default}:usage")]
    assert charges == [(b"1", b"10", b"expired"), (b"2", b"-7", b"ok")]
    assert admission.reap("default") == 0


def test_a_request_that_a_flush_has_forgotten_is_charged_all_the_same(admission: Admission, client: Store) -> None:
    """Neither hold nor mark is there any more: its scopes and its day are those of the admission."""
    allow(admission, total=100)
    grant = admission.admit(ask("a"))
    client.flushall()
    assert settle(admission, ask("a"), grant, 7)
    assert client.hgetall(f"{{default}}:spend:{MODEL}") == {
        f"c:d:{grant.day}".encode(): b"7", f"c:m:{grant.month}".encode(): b"7", b"c:t": b"7"
    }  # fmt: skip


def test_money_keys_never_expire(admission: Admission, client: Store) -> None:
    """A cache that is short of memory evicts keys that have a lifetime: neither holds nor spending nor policies do."""
    allow(admission, total=100)
    admission.admit(ask("a"))
    kept = [key for key in client.keys("*") if not key.startswith((b"{default}:rate", b"{default}:leases"))]
    assert len(kept) >= 4
    assert {client.pttl(key) for key in kept} == {-1}


def test_tokens_per_minute_hold_the_most_and_give_back_the_rest(admission: Admission, client: Store) -> None:
    """Prompt and answers at most are counted until it is settled; what can never fit is not worth a retry."""
    assert client.get("{default}:open")
    allow(admission, limits=Tier(tokens_per_minute=30))
    grant = admission.admit(ask("a"))
    assert (grant.tokens.limit, grant.tokens.remaining) == (30, 15)
    with pytest.raises(RateLimited) as refused:
        admission.admit(ask("b", most=11))
    assert (refused.value.details["rule"], refused.value.details["used"]) == ("tokens_per_minute", 15)
    assert 55 <= (refused.value.retry_after or 0) <= 60
    settle(admission, ask("a"), grant, 0)
    assert admission.admit(ask("b", most=11)).tokens.remaining == 30 - 7 - 16
    with pytest.raises(RateLimited) as never:
        admission.admit(ask("c", most=26))
    assert (never.value.retry_after, never.value.should_retry) == (None, False)


def test_a_block_turns_away_until_it_ends(admission: Admission, client: Store) -> None:
    """In whichever scope: 403 until the second it names, then nothing of it is left."""
    seconds, _ = client.time()
    allow(admission)
    for until, scope in ((seconds + 60, KEY), (seconds + 60, ORG)):
        admission.tell("default", scope, 2, policy({"blocked_until": until}))
        with pytest.raises(Forbidden, match="blocked"):
            admission.admit(ask("a"))
        admission.tell("default", scope, 3, policy({"blocked_until": seconds}))
    admission.admit(ask("a"))
