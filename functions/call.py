"""What one request carries through the pipeline: who asks, what it may cost, what was tried, what is booked."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from shared.core import events, limits, needs, offering, pricing, principals, routing
from shared.core.chat import Chat, bounded
from shared.core.holding import Amount, Holding
from shared.core.judgements import Judgement
from shared.core.shares import Share
from shared.core.usage import Usage, total
from shared.edge.admission import Ask, Bound, Who

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from shared.core.breakers import Result
    from shared.core.catalog import Alias, Catalog, Kind, Model, Target
    from shared.core.pricing import Price, Worst
    from shared.core.principals import Action, Principal
    from shared.core.routing import Candidate
    from shared.dialects.dialect import Request
    from shared.edge.admission import Grant
    from shared.edge.asking import Granted
    from shared.edge.telemetry import Event
    from shared.providers.adapter import Adapter, Moment

LEASE_MARGIN = 5.0  # seconds that a lease outlives the invocation it belongs to


class Try(NamedTuple):
    """One exchange that may be billed, by which price, if there is one, and with whom: a target of which model."""

    adapter: Adapter
    price: Price | None
    target: str
    model: str
    thinks: bool = False  # so what was heard of it is not all that is billed
    over: bool = False  # a stream that says no more, so one without a word has cost its prompt


def price_of(candidate: Candidate, catalog: Catalog) -> Price | None:
    """Return what a target takes, None if nobody has said it."""
    return pricing.find(catalog.prices, candidate.provider.name, candidate.target.model)


@dataclass(slots=True)
class Call:
    """One request on its way, which needs a caller who may do `action`.

    `deadline` is monotonic seconds; `lease` says how many more the invocation may last; `address` is the caller's, as
    `addresses.bits` puts it; `endpoint` is one of `limits.ENDPOINTS`, "" for most.
    """

    principal: Principal
    event: Event
    deadline: float
    lease: float
    moment: Moment
    action: Action = "infer"
    address: str = ""
    endpoint: str = ""
    request: Request = field(init=False)  # once it is parsed
    ask: Ask = field(init=False)  # of admission
    grant: Grant = field(init=False)  # by admission
    targets: list[Candidate] = field(default_factory=list)  # in the order of `ask.choice`
    results: list[Result] = field(default_factory=list)  # of all tries that say something of their target
    sent: float = 0.0  # when the try under way was sent, on the clock of `perf_counter`; 0: it was not
    position: int = 0  # of the target that it asks
    unfit: set[int] = field(default_factory=set)  # positions of targets that asking again cannot mend
    hedge: float = 0.0  # seconds after which a second target is asked as well, 0 for never
    latency: float = 0.0  # of that try until the first of a stream, or all of an answer; 0: nothing has come yet
    tries: list[Try] = field(default_factory=list)  # those that may be billed, the last one included
    asked: list[str] = field(init=False, default_factory=list)  # the models of all tries that may have arrived
    alias: str = field(init=False, default="")  # what was asked for, if that is no model's own name
    holding: Holding = field(init=False)  # by admission
    replan: Callable[[], None] | None = None  # once there is a plan
    choose: Callable[[Callable[[str], bool]], Alias] | None = None  # what the model means to who may use such models
    given_up: bool = False  # by us: what breaks off then is not the target's doing

    def __post_init__(self) -> None:
        """Ask for no more than a place, until a model is asked for."""
        org, lease = self.principal.org, self.lease + LEASE_MARGIN
        self.ask = Ask(org, self._scopes(), self.event.request_id, lease, who=self._who())

    def renew(self, principal: Principal, catalog: Catalog) -> None:
        """Go on with what the Directory says of the caller now, if that is still allowed.

        Raises:
            Forbidden, UnknownModel: it is not.
        """
        self.principal = principal
        self.event.key_id = principal.key_id
        principal.require(self.action)
        request = getattr(self, "request", None)
        if request and not self.choose and not principal.may_use(request.model):
            raise routing.unknown(request.model, catalog, principal.may_use)
        self.ask = self.ask._replace(scopes=self._scopes(), who=self._who())
        if self.replan:  # a model to fall back to may be another's now
            self.replan()

    def _scopes(self) -> tuple[str, ...]:
        who = self.principal
        return limits.scopes(who.org, who.key_id, who.user, who.team, self.alias, endpoint=self.endpoint)

    def _who(self) -> Who:
        who = self.principal
        says = 2 if principals.is_token(who.key_id) else 1  # a token's user is the second scope
        return Who(says, who.identity, who.secret, self.address, who.issued_at)

    @property
    def kind(self) -> Kind:
        """What is asked for."""
        return self.request.kind

    def left(self) -> float:
        """Seconds until the answer must have ended."""
        return self.deadline - time.monotonic()

    def patience(self, target: Target) -> tuple[float, float, float]:
        """Return for how many seconds a try may last in all, may connect, and may wait for the first of a stream."""
        connect, first, total = target.timeouts.connect, target.timeouts.first_chunk, target.timeouts.total
        left = min(total, self.left())
        return left, connect, first if self.event.stream else left

    def plan(
        self, catalog: Catalog, configured: Collection[str], chance: Callable[[], float], *, fit: bool = False
    ) -> None:
        """Find the targets that can serve the request, in the order of preference, and what it may cost at most.

        `fit` lets its answers be shortened to what the caller's budgets afford.

        Raises:
            GatewayError: there are none.
        """
        self.replan = partial(self.plan, catalog, configured, chance, fit=fit)
        wanted, may_use = needs.of(self.request), self.principal.may_use
        named = self.choose(may_use) if self.choose else routing.find(self.request.model, catalog, may_use)
        found = routing.candidates(named, self.kind, catalog, configured, may_use)
        groups = routing.fitting(found, wanted)
        arranged = list(routing.arranged(groups, wanted, catalog, chance))
        self.targets = offering.limited(arranged, events.MOST_MODELS)
        self.hedge = named.serving.hedge
        self.ask = self.ask._replace(choice=offering.choice(groups, self.targets, stream=self.event.stream))
        self._weigh(catalog, fit=fit)

    def hear(self) -> None:
        """Note that the try under way has brought something."""
        self.latency = self.latency or time.perf_counter() - self.sent

    def _weigh(self, catalog: Catalog, *, fit: bool) -> None:
        """Find out what the request may cost at most with each of its models, and ask for that."""
        request, unbounded = self.request, ""
        answers = max_tokens = images = 0
        caching = False
        if isinstance(request, Chat):
            answers, max_tokens, images, caching = request.n, request.max_tokens or 0, request.images, request.caching
            unbounded = request.unbounded
        elif isinstance(request, Judgement):
            images = request.images
        weigh = partial(pricing.worst, size=request.size, n=answers, images=images, caching=caching)
        self.alias = "" if request.model in catalog.models else request.model
        self.ask = self.ask._replace(
            scopes=self._scopes(),
            models=tuple(self._bound(model, catalog, weigh) for model in offering.models(self.targets)),
            unbounded=unbounded,
            answers=answers,
            max_tokens=max_tokens,
            fit=fit,
        )

    def _bound(self, model: Model, catalog: Catalog, weigh: Callable[[list[Price]], Worst]) -> Bound:
        found = [price_of(one, catalog) for one in self.targets if one.model is model]
        searches = self.request.searches if isinstance(self.request, Judgement) else 1
        known = [price.for_searches(searches) for price in found if price]
        return Bound(model.name, weigh(known), model.max_output, priced=len(known) == len(found))

    def admitted(self, grant: Grant) -> None:
        """Take note of what admission grants."""
        self.grant = grant
        self.holding = Holding(
            {
                bound.model: Amount(one.held, one.tokens)
                for bound, one in zip(self.ask.models, grant.models, strict=True)
                if not one.spent
            }
        )

    def granted(self, model: str) -> Granted:
        """Return what was granted to one of its models."""
        return self.grant.models[self.number_of(model)]

    def number_of(self, model: str) -> int:
        """Return the position of one of its models in the question that admission was asked."""
        return [bound.model for bound in self.ask.models].index(model)

    def request_for(self, model: Model) -> Request:
        """Return the request with no longer answers than were granted to `model`, and than it can give."""
        request = self.request
        if not isinstance(request, Chat):
            return request
        most = self.granted(model.name).max_tokens
        if not most and 0 < model.max_output < (request.max_tokens or 0):
            most = model.max_output
        return bounded(request, most) if most else request

    def usage(self) -> Usage:
        """The tokens to be booked: of all tries that may be billed."""
        return total(one.adapter.usage for one in self.tries)

    def cost(self) -> int | None:
        """Nano-dollars to be booked, of all tries that may be billed; None if one has no price."""
        costs = [self._cost(one) for one in self.tries]
        return None if None in costs else sum(cost or 0 for cost in costs)

    def _cost(self, one: Try) -> int | None:
        """Charge what the provider counted; if it did not, the longest prompt and what was heard, or all that is held.

        So it is never less than what may be billed, as far as that can be known, and no guess is above what was held.
        Of whom nothing was heard: a stream that its provider ended or broke off, or told an error in, has cost its
        prompt, and so has one that lost a race. All that is held is taken where more may have been written than came:
        an answer that is not streamed, one that was waited for in vain (it may go on), or cannot be read; and where a
        model thinks, of which words say little.
        """
        if one.price is None:
            return None
        used, held = one.adapter.usage, self.granted(one.model).held
        images = getattr(self.request, "images", 0)
        if not used.estimated:
            return pricing.cost(used, one.price, images)
        if one.thinks or not (used.completion or one.over):
            return held
        longest = self.ask.models[self.number_of(one.model)].worst.tokens
        written = longest if getattr(self.request, "caching", False) else 0
        heard = Usage(longest, used.completion, cache_write=written, cache_write_long=written)
        return min(held, pricing.cost(heard, one.price, images))

    def shares(self) -> list[Share]:
        """Return what each model that it was admitted to took, also those that nobody asked."""
        return [self._share(model) for model in self.holding.models]

    def _share(self, model: str) -> Share:
        tries = [one for one in self.tries if one.model == model]
        used, cost = total(one.adapter.usage for one in tries), sum(self._cost(one) or 0 for one in tries)
        return Share(cost, int(model in self.asked), used.prompt, used.completion, used.cached, model)

    def paying(self) -> dict[str, str]:
        """Name who pays."""
        who = self.principal
        return {"org": who.org, "key": who.key_id, "user": who.user, "team": who.team, "alias": self.alias}

    def booked(self) -> dict[str, Any]:
        """Return the fields of the usage event that only the gateway knows."""
        event, used = self.event, self.event.usage
        return {
            "event": events.USAGE,
            **self.paying(),
            "models": self.shares(),
            "provider": event.provider,
            "served": event.served,
            "target": self.tries[-1].target if self.tries else "",
            "prompt": used.prompt,
            "completion": used.completion,
            "cached": used.cached,
            "outcome": event.outcome,
            "estimated": int(used.estimated),
            "ms": round((time.perf_counter() - event.started) * 1000),
        }
