"""Everything that can happen to requests of two keys and two models, on a real Valkey and in a model of it."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared.core.breakers import Choice
from shared.core.catalog import Tier
from shared.core.errors import GatewayError
from shared.core.limits import Standing
from shared.core.periods import day_at
from shared.core.policies import policy
from shared.core.pricing import Worst
from shared.core.shares import Share, read
from shared.edge.admission import Ask, Bound, Further, Grant
from tests.edge.ageing import age
from tests.edge.scopes_model import Hold, Refusal, Scope

if TYPE_CHECKING:
    from shared.edge.admission import Admission

KEYS = ("key:default-aaaaaaaaaaaa", "key:default-bbbbbbbbbbbb")
TEAM, ORG = "team:blue", "org:default"
MODELS = ("model:m", "model:n")
LIMITED = (*KEYS, TEAM, *MODELS)
LONG_AGO = "2001-02-03"
STEP = 10  # seconds: time moves in steps so large that the machine's own slowness is none
Store = Any  # a Valkey client: redis-py's own types allow for None and str where neither can come
NONE = Standing(0, 0, 0)
limit = st.sampled_from([0, 0, 1, 2, 3, 5])
money = st.sampled_from([0, 0, 5, 20, 60])


class Machine(RuleBasedStateMachine):
    """Two keys of one team, in every order of things that can happen to them."""

    admission: Admission
    client: Store

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.client.set("{default}:open", 1)
        self.scopes = {name: Scope(name.partition(":")[0]) for name in LIMITED} | {ORG: Scope("organization")}
        self.holds: dict[str, Hold] = {}
        self.booked: dict[str, int] = {}
        self.ids, self.version = count(), count(1)
        self.scopes[KEYS[0]].concurrency, self.scopes[KEYS[1]].total = 2, 60  # something to begin with
        self.scopes[MODELS[0]].total, self.scopes[MODELS[1]].rpm, self.scopes[KEYS[1]].tpm = 40, 3, 20
        for name in LIMITED:
            self._project(name)

    @rule(name=st.sampled_from(LIMITED), which=st.sampled_from(["rpm", "rph", "concurrency", "tpm"]), value=limit)
    def limits(self, *, name: str, which: str, value: int) -> None:
        """Edit a limit."""
        setattr(self.scopes[name], which, value * 10 if which == "tpm" else value)
        self._project(name)

    @rule(name=st.sampled_from(LIMITED), daily=money, total=money)
    def budget(self, *, name: str, daily: int, total: int) -> None:
        """Edit budgets."""
        self.scopes[name].daily, self.scopes[name].total = daily, total
        self._project(name)

    @rule(
        key=st.sampled_from(KEYS), names=st.permutations("mn"), most=st.integers(1, 8), times=st.integers(1, 3),
        fixed=st.lists(st.integers(0, 5), min_size=1, max_size=2), lease=st.sampled_from([15, 45, 305]),
    )  # fmt: skip
    def admit(self, *, key: str, names: list[str], fixed: list[int], most: int, lease: int, times: int) -> None:
        """Ask for a place with one model or with two, some times in a row."""
        bounds = tuple(Bound(name, Worst(cost, 1, cost)) for name, cost in zip(names, fixed, strict=False))
        targets = tuple(f"openai:{bound.model}" for bound in bounds)
        choice = Choice(targets, (1,) * len(targets), models=tuple(range(1, len(targets) + 1)))
        for _ in range(times):
            scopes, request = (key, TEAM, ORG), str(next(self.ids))
            self._admit(Ask("default", scopes, request, lease, bounds, answers=1, max_tokens=most, choice=choice))

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Ask again what was granted: the answer was lost on the way. Nothing changes."""
        if live := [hold for hold in self.holds.values() if hold.state == "live"]:
            hold = data.draw(st.sampled_from(live))
            grant = self.admission.admit(hold.ask)
            assert grant.held == hold.amount
            self._told(grant, hold)

    @rule(data=st.data(), more=st.tuples(*[st.integers(0, 9)] * 4))
    def topup(self, data: st.DataObject, more: tuple[int, int, int, int]) -> None:
        """Reserve for one more try with one of the models: all or nothing."""
        if not self.holds:
            return
        hold = self.holds[data.draw(st.sampled_from(sorted(self.holds)))]
        if not hold.today and any(self.scopes[name].daily for name in hold.reserving):
            return  # that day's counters are not modelled any more
        model = data.draw(st.sampled_from(sorted(hold.models)))
        position = [bound.model for bound in hold.ask.models].index(model.removeprefix("model:"))
        paying = self._needing(hold.reserving, model, more[0], more[2])
        counting = self._needing(hold.counting, model, more[1], more[3])
        affordable = hold.state == "live" and not any(
            [*(self._overspent(name, money, hold) for name, money in paying.items()),
             *(self._overcounted(name, tokens, hold) for name, tokens in counting.items())]
        )  # fmt: skip
        assert self.admission.topup(hold.ask, Further(position, *more)) == affordable
        if affordable:
            hold.amount += more[0]
            hold.models[model] += more[2]
            for name, money in paying.items():
                self.scopes[name].reserve(money, today=hold.today)
            for name, tokens in counting.items():
                self.scopes[name].count(hold.ask.request_id, tokens)

    def _needing(self, names: tuple[str, ...], model: str, shared: int, own: int) -> dict[str, int]:
        needs = {name: own if name == model else 0 if name in MODELS else shared for name in names}
        return {name: need for name, need in needs.items() if need}

    def _overspent(self, name: str, money: int, hold: Hold) -> bool:
        rules = {"budget_total", "budget_daily"} if hold.today else {"budget_total"}
        return any(refusal.rule in rules for refusal in self.scopes[name].refusals(money, 0))

    def _overcounted(self, name: str, tokens: int, hold: Hold) -> bool:
        scope = self.scopes[name]
        return 0 < scope.tpm < scope.counts(hold.ask.request_id) + tokens

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """Settle what was admitted: in time, late, after it was reaped, or once more."""
        if not self.holds:
            return
        request = data.draw(st.sampled_from(sorted(self.holds)))
        hold = self.holds[request]
        asked = data.draw(st.lists(st.sampled_from(sorted(hold.models)), unique=True))
        costs = {model: data.draw(st.integers(0, 20)) for model in asked}
        cost = sum(costs.values())
        day = self._today() if hold.today else LONG_AGO
        grant = Grant(NONE, NONE, hold.amount, budgeted=True, day=day, month=self._today()[:7])
        shares = [Share(spent, 1, 1, spent, 0, model.removeprefix("model:")) for model, spent in costs.items()]
        usage: dict[str, Any] = {"outcome": "ok", "prompt": len(costs), "completion": cost, "models": shares}
        assert self.admission.settle(hold.ask, grant, cost, usage) == (hold.state != "settled")
        if hold.state == "settled":
            return
        if hold.state == "live":
            for name in hold.scopes:
                self._used(name, request, hold, (len(costs), cost) if name not in MODELS else (1, costs.get(name)))
        self._end(hold, {name: costs.get(name, 0) if name in MODELS else cost for name in hold.scopes})
        hold.state = "settled"

    def _used(self, name: str, request: str, hold: Hold, used: tuple[int, int | None]) -> None:
        scope, (prompt, completion) = self.scopes[name], used
        if completion is None:
            scope.forget(request, hold.age if name in hold.rated else -1)
        elif request in scope.tokens and name in hold.counting:
            scope.tokens[request] = (scope.tokens[request][0], prompt + completion)

    @rule()
    def reap(self) -> None:
        """Charge what nobody settled."""
        overdue = {name: hold for name, hold in self.holds.items() if hold.state == "live" and hold.left <= 0}
        assert self.admission.reap("default") == len(overdue)
        for hold in overdue.values():
            self._end(hold, {name: hold.of(name) for name in hold.scopes})
            hold.state = "reaped"

    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """The function of one request dies; nobody hears of it before its lease has run out."""
        if live := [request for request, hold in self.holds.items() if hold.state == "live"]:
            self.tick(max(0, self.holds[data.draw(st.sampled_from(live))].left) // STEP + 1)
            self.reap()

    @rule(steps=st.sampled_from([1, 1, 2, 5, 6, 7, 30, 359, 360]))
    def tick(self, steps: int) -> None:
        """Let time pass: everything stored grows older."""
        seconds = steps * STEP
        for scope in self.scopes.values():
            scope.age(seconds)
        for hold in self.holds.values():
            hold.left -= seconds
            hold.age += seconds
        kinds = {"rate": 10**6, "tokens": 10**6, "leases": 1000, "tokencounts": 0}
        age(self.client, {f"{{default}}:{kind}:{name}": kinds[kind] for kind in kinds for name in self.scopes}, seconds)
        requests, at_once = self.client.zrange("{default}:holds", 0, -1), self._at_once()
        for request in requests:
            at_once.zincrby("{default}:holds", -seconds * 1000, request)
            for field, unit in (("expires", 1000), ("stamp", 10**6)):
                at_once.hincrby(f"{{default}}:hold:{request.decode()}", field, -seconds * unit)
        at_once.execute()

    @rule()
    def midnight(self) -> None:
        """A new day begins: what was today's is that of a day long ago."""
        today = self._today()
        for name, scope in self.scopes.items():
            place = f"{{default}}:spend:{name}"
            for kind in ("c", "r"):
                moved = self.client.hget(place, f"{kind}:d:{today}")
                if moved:
                    self.client.hincrby(place, f"{kind}:d:{LONG_AGO}", int(moved))
                    self.client.hdel(place, f"{kind}:d:{today}")
            scope.committed_today = scope.reserved_today = 0
        for request, hold in self.holds.items():
            hold.today = False
            if hold.state == "live":
                self.client.hset(f"{{default}}:hold:{request}", "day", LONG_AGO)

    @invariant()
    def agrees(self) -> None:
        """Every counter of money is the model's; the stream adds up to what the organization has spent."""
        asked = self._at_once().time().xrange("{default}:usage").zcard("{default}:holds")
        for name in self.scopes:
            asked.hgetall(f"{{default}}:spend:{name}")
        time, entries, holds, *spending = asked.execute()
        today = day_at(time[0] * 1000)
        for scope, found in zip(self.scopes.values(), spending, strict=True):
            spend = {k.decode(): int(v) for k, v in found.items()}
            assert (spend.get("c:t", 0), spend.get("r:t", 0)) == (scope.committed, scope.reserved)
            assert spend.get(f"c:d:{today}", 0) == scope.committed_today
            assert spend.get(f"r:d:{today}", 0) == scope.reserved_today
        events = [event for _, event in entries]
        assert sum(int(event[b"cost"]) for event in events) == self.scopes[ORG].committed
        shares = [share for event in events for share in read(event[b"models"].decode())]
        for model in MODELS:
            booked = sum(share.cost for share in shares if f"model:{share.model}" == model)
            assert booked == self.scopes[model].committed
        assert holds == sum(hold.state == "live" for hold in self.holds.values())

    def _admit(self, ask: Ask) -> None:
        most = ask.max_tokens
        worst = {f"model:{one.model}": (one.worst.of(most), one.worst.tokens + most) for one in ask.models}
        reasons = {model: self._reasons(ask, model, *most) for model, most in worst.items()}
        able = {model: most for model, most in worst.items() if not reasons[model]}
        rates = [one for name in ask.scopes for one in self.scopes[name].refusals(0, 0) if not one.is_of_size]
        expected = rates if able else [*rates, *(one for found in reasons.values() for one in found)]
        try:
            grant = self.admission.admit(ask)
        except GatewayError as refused:
            told = refused.details
            used, reserved = (_nano(told[member]) for member in ("used", "reserved"))
            assert Refusal(told["scope"], told["rule"], _nano(told["limit"]), used, reserved) in expected  # type: ignore[arg-type]
            return
        assert not expected
        self._admitted(ask, grant, able)

    def _reasons(self, ask: Ask, model: str, amount: int, tokens: int) -> list[Refusal]:
        """List why a model cannot serve: for what it has spent itself, or because the caller cannot afford it."""
        shared = (one for name in ask.scopes for one in self.scopes[name].refusals(amount, tokens) if one.is_of_size)
        return [*self.scopes[model].refusals(amount, tokens), *shared]

    def _admitted(self, ask: Ask, grant: Grant, able: dict[str, tuple[int, int]]) -> None:
        amount, tokens = (max(most) for most in zip(*able.values(), strict=True))
        hold = Hold(ask, amount, {model: money for model, (money, _) in able.items()}, int(ask.lease))
        known = [(name, self.scopes[name]) for name in hold.scopes]
        hold.reserving = tuple(name for name, scope in known if scope.daily or scope.total)
        hold.counting = tuple(name for name, scope in known if scope.tpm)
        hold.rated = tuple(name for name, scope in known if scope.rpm or scope.rph)
        assert (grant.held, grant.budgeted, grant.counted) == (amount, bool(hold.reserving), bool(hold.counting))
        self._told(grant, hold)
        for name, scope in known:
            scope.admit(ask.request_id, able.get(name, (0, tokens))[1], int(ask.lease))
            if name in hold.reserving:
                scope.reserve(hold.of(name), today=True)
        self.holds[ask.request_id] = hold

    def _told(self, grant: Grant, hold: Hold) -> None:
        """Whose model is spent is told, and not asked first."""
        spent = [f"model:{bound.model}" not in hold.models for bound in hold.ask.models]
        assert [one.spent for one in grant.models] == [seen.state == "spent" for seen in grant.seen] == spent
        assert grant.first == spent.index(False)

    def _end(self, hold: Hold, costs: dict[str, int]) -> None:
        for name, cost in costs.items():
            scope = self.scopes[name]
            scope.commit(cost - (hold.of(name) if hold.state == "reaped" else 0), today=hold.today)
            scope.leases.pop(hold.ask.request_id, None)
            if hold.state == "live" and name in hold.reserving:
                scope.reserve(-hold.of(name), today=hold.today)

    def _project(self, name: str) -> None:
        scope = self.scopes[name]
        budget = {"daily_nano": scope.daily or None, "total_nano": scope.total or None}
        fields = policy({"budget": budget}, Tier(scope.rpm, scope.rph, scope.tpm, scope.concurrency))
        assert self.admission.tell("default", name, next(self.version), fields)

    def _at_once(self) -> Store:
        """Return what sends its commands in one round trip."""
        return self.client.pipeline(transaction=False)

    def _today(self) -> str:
        return day_at(self.client.time()[0] * 1000)


def _nano(told: object) -> int:
    """Read what is money, a text in dollars, and what is a count, as whole numbers."""
    return round(float(told) * 10**9) if isinstance(told, str) else int(str(told))
