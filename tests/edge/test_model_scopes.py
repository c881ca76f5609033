"""A model's own limits and budget in the scripts, beside those of the other models that may serve the same request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.core.breakers import Choice
from shared.core.catalog import Tier
from shared.core.errors import BudgetExhausted, Forbidden, RateLimited, TargetsResting, UnpricedModel
from shared.core.policies import policy
from shared.core.pricing import Worst
from shared.core.shares import Share
from shared.edge.admission import Admission, Ask, Bound, Further

if TYPE_CHECKING:
    from cdk.local.valkey import Valkey

KEY, ORG, ALIAS = "key:default-abcdefghijkl", "org:default", "alias:any"
CHOICE = Choice(("openai:m", "openai:n"), (1, 1), models=(1, 2))
Store = Any  # a Valkey client: redis-py's own types allow for None and str where neither can come


@pytest.fixture
def client(valkey: Valkey, admission: Admission) -> Store:
    """A client to look behind the scripts; the books are open, and nothing is limited."""
    opened = valkey.client()
    opened.set("{default}:open", 1)
    allow(admission, KEY, version=0)
    return opened


def allow(admission: Admission, scope: str, limits: Tier | None = None, version: int = 1, **record: Any) -> None:
    """Give a scope limits or, in nano-dollars, a budget in all."""
    budget = {"budget": {"total_nano": record.pop("total")}} if "total" in record else {}
    assert admission.tell("default", scope, version, policy({**budget, **record}, limits or Tier()))


def ask(request: str, m: int = 10, n: int = 6, **more: Any) -> Ask:
    """Return the question whether a request for an alias of the models m and n may pass, which cost so much at most."""
    bounds = (Bound("m", Worst(m, 0, m)), Bound("n", Worst(n, 0, n)))
    fields: dict[str, Any] = {"models": bounds, "choice": CHOICE, **more}
    return Ask("default", (KEY, ORG, ALIAS), request, fields.pop("lease", 60), **fields)


def used(**costs: int) -> dict[str, Any]:
    """Return what is told of a request that has asked these models, at these costs, with a token for each."""
    shares = [Share(cost, 1, cost, 0, 0, name) for name, cost in costs.items()]
    return {"outcome": "ok", "prompt": sum(costs.values()), "completion": 0, "models": shares}


def spent(client: Store, scope: str) -> dict[str, int]:
    """What a scope has spent (c) and reserved (r) in all."""
    found = client.hgetall(f"{{default}}:spend:{scope}")
    return {field: int(found[name]) for field in "cr" if (name := f"{field}:t".encode()) in found}


@pytest.mark.parametrize(
    "limits",
    [{"total": 9}, {"limits": Tier(tokens_per_minute=9)}, {"blocked_until": 2**40}, {"disabled": True}],
    ids=["budget", "tokens", "blocked", "disabled"],
)
def test_a_model_that_is_not_able_leaves_it_to_the_others(
    admission: Admission, client: Store, limits: dict[str, Any]
) -> None:
    """It is told, nothing is held for it, and the next is asked first."""
    allow(admission, "model:m", **limits)
    allow(admission, "model:n", total=100)
    grant = admission.admit(ask("a"))
    assert [seen.state for seen in grant.seen] == ["spent", "closed"]
    assert (grant.first, [one.spent for one in grant.models], grant.held) == (1, [True, False], 6)
    assert (spent(client, "model:m"), spent(client, "model:n")) == ({}, {"r": 6})
    assert admission.admit(ask("a"))[2:7] == grant[2:7]
    assert admission.admit(ask("a")).models == grant.models


def test_when_all_are_spent_the_one_that_is_able_first_is_named(admission: Admission, client: Store) -> None:
    """With its own wait: m opens within the minute, n never; nothing is written."""
    allow(admission, "model:m", Tier(requests_per_minute=1))
    allow(admission, "model:n", total=5)
    assert admission.admit(ask("a")).first == 0
    before = {key: client.dump(key) for key in client.keys("*")}
    with pytest.raises(RateLimited, match="The model 'm' may make 1 requests per minute") as refused:
        admission.admit(ask("b"))
    told = refused.value.details
    assert (told["scope"], told["model"], told["rule"]) == ("model", "m", "requests_per_minute")
    assert 55 <= (refused.value.retry_after or 0) <= 60
    allow(admission, "model:m", version=2, total=9)
    with pytest.raises(BudgetExhausted, match="The total budget of the model 'm' is"):
        admission.admit(ask("b"))
    allow(admission, "model:m", Tier(requests_per_minute=1), version=3)
    client.delete("{default}:policy:model:m")
    allow(admission, "model:m", Tier(requests_per_minute=1), version=1)
    assert {key: client.dump(key) for key in client.keys("*")} == before


def test_all_blocked_is_forbidden(admission: Admission, client: Store) -> None:
    """As one that is asked for by name."""
    assert client.ping()
    for scope in ("model:m", "model:n"):
        allow(admission, scope, blocked_until=2**40)
    with pytest.raises(Forbidden, match="The model of this request is blocked"):
        admission.admit(ask("a"))


def test_spent_and_resting_together_say_what_ends_first(admission: Admission, client: Store) -> None:
    """Nobody is left: m has no money for ever, and the one target of n rests for a while; or m has a place sooner."""
    seconds, _ = client.time()
    client.hset("{default}:target:openai:n", "until", (seconds + 300) * 1000)
    allow(admission, "model:m", total=9)
    with pytest.raises(TargetsResting):
        admission.admit(ask("a"))
    allow(admission, "model:m", Tier(requests_per_minute=1), version=2)
    admission.admit(ask("a"))
    with pytest.raises(RateLimited):
        admission.admit(ask("b"))


def test_what_the_caller_cannot_afford_with_one_it_may_with_another(admission: Admission, client: Store) -> None:
    """The dear one is left out, and of the key no more is held than the other may cost; tokens likewise."""
    allow(admission, KEY, total=7)
    grant = admission.admit(ask("a"))
    assert (grant.held, [one.spent for one in grant.models]) == (6, [True, False])
    assert spent(client, KEY) == {"r": 6}
    with pytest.raises(BudgetExhausted) as refused:
        admission.admit(ask("b"))
    assert refused.value.details["scope"] == "key"
    allow(admission, KEY, Tier(tokens_per_minute=7), version=2)
    assert [one.spent for one in admission.admit(ask("c")).models] == [True, False]


def test_one_without_a_price_is_left_out_where_a_budget_applies(admission: Admission, client: Store) -> None:
    """And refused by name if there is no other."""
    assert client.ping()
    allow(admission, KEY, total=100)
    unpriced, priced = Bound("m", Worst(0, 0, 1), priced=False), Bound("n", Worst(6, 0, 1))
    assert [one.spent for one in admission.admit(ask("a", models=(unpriced, priced))).models] == [True, False]
    with pytest.raises(UnpricedModel, match="'m'"):
        admission.admit(ask("b", models=(unpriced,), choice=Choice(("openai:m",), (1,), models=(1,))))


def test_each_pays_for_itself(admission: Admission, client: Store) -> None:
    """Whoever was asked, its own cost; whoever was not, nothing: its place and its tokens are free again."""
    for scope in ("model:m", "model:n", ALIAS):
        allow(admission, "model:any" if scope == ALIAS else scope, Tier(1, 0, 10), total=100)
    grant = admission.admit(ask("a"))
    assert [spent(client, scope) for scope in (ALIAS, "model:m", "model:n")] == [{"r": 10}, {"r": 10}, {"r": 6}]
    assert admission.settle(ask("a"), grant, 4, used(n=4))
    assert [spent(client, scope) for scope in (ORG, ALIAS, "model:m", "model:n")] == [{"c": 4}, {"c": 4}, {}, {"c": 4}]
    allow(admission, "model:any", version=2)
    assert admission.admit(ask("b")).first == 0
    counted = [client.hget(f"{{default}}:tokencounts:{scope}", "sum") for scope in ("model:m", "model:n")]
    assert counted == [b"10", b"4"]
    with pytest.raises(RateLimited):
        admission.admit(ask("c"))
    [(_, event)] = client.xrange("{default}:usage")
    assert event[b"models"] == b"4 1 4 0 0 n"


def test_an_alias_with_limits_of_its_own_refuses(admission: Admission, client: Store) -> None:
    """They are everybody's who asks for it, whoever answers."""
    assert client.ping()
    allow(admission, "model:any", Tier(requests_per_minute=1))
    admission.admit(ask("a"))
    with pytest.raises(RateLimited) as refused:
        admission.admit(ask("b"))
    assert (refused.value.details["scope"], refused.value.details["model"]) == ("model", "any")


def test_what_runs_out_of_time_is_charged_to_each_until_it_is_known_better(admission: Admission, client: Store) -> None:
    """Each its own reservation; a settlement that comes late corrects all of them."""
    for scope in ("model:m", "model:n"):
        allow(admission, scope, total=100)
    late = ask("a", lease=0.001)
    grant = admission.admit(late)
    while not admission.reap("default"):
        pass
    scopes = (ORG, "model:m", "model:n")
    assert [spent(client, scope) for scope in scopes] == [{"c": 10}, {"c": 10}, {"c": 6}]
    assert admission.settle(late, grant, 3, used(n=3))
    assert [spent(client, scope) for scope in scopes] == [{"c": 3}, {"c": 0}, {"c": 3}]
    told = [event[b"models"].decode() for _, event in client.xrange("{default}:usage")]
    assert told == ["10 1 0 0 0 m\n6 1 0 0 0 n", "-10 -1 0 0 0 m\n-3 0 3 0 0 n"]


def test_a_further_try_takes_money_and_tokens_of_its_own_model(admission: Admission, client: Store) -> None:
    """All or nothing; of the other model nothing more is held."""
    allow(admission, "model:m", Tier(tokens_per_minute=20), total=20)
    allow(admission, KEY, Tier(tokens_per_minute=25), version=2, total=100)
    admission.admit(ask("a"))
    for refused in (
        Further(0, 10, 10, 11, 10),
        Further(0, 10, 10, 10, 11),
        Further(0, 91, 10, 10, 10),
        Further(0, 1, 16, 1, 1),
    ):
        assert not admission.topup(ask("a"), refused)
    assert admission.topup(ask("a"), Further(0, 10, 10, 10, 10))
    assert [spent(client, scope)["r"] for scope in (KEY, "model:m")] == [20, 20]
    counted = [int(client.hget(f"{{default}}:tokencounts:{scope}", "sum")) for scope in (KEY, "model:m")]
    assert counted == [20, 20]
    assert admission.topup(ask("a"), Further(1, 0, 0, 6, 6))
    assert not admission.topup(ask("never"), Further(0, 0, 0, 0, 0))


def test_headers_tell_of_the_model_that_has_most_left(admission: Admission, client: Store) -> None:
    """For that one decides when the next request is refused; what all share counts as ever."""
    assert client.ping()
    allow(admission, "model:m", Tier(requests_per_minute=3))
    allow(admission, "model:n", Tier(requests_per_minute=8))
    assert admission.admit(ask("a")).requests[:2] == (8, 7)
    allow(admission, KEY, Tier(requests_per_minute=5), version=2)
    assert admission.admit(ask("b")).requests[:2] == (5, 4)
    allow(admission, KEY, version=3)
    allow(admission, "model:n", version=2)
    assert admission.admit(ask("c")).requests[0] == 0
