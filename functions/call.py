"""What one request carries through the pipeline: who asks, what it may cost, what was tried, what is booked."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from shared.core import events, limits, needs, pricing, principals, routing
from shared.core.chat import Chat, bounded
from shared.core.judgements import Judgement
from shared.core.usage import Usage, total
from shared.edge.admission import Ask, Who

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from shared.core.breakers import Result
    from shared.core.catalog import Alias, Catalog, Kind, Model, Target
    from shared.core.pricing import Price
    from shared.core.principals import Action, Principal
    from shared.core.routing import Candidate
    from shared.dialects.dialect import Request
    from shared.edge.admission import Grant
    from shared.edge.telemetry import Event
    from shared.providers.adapter import Adapter, Moment

LEASE_MARGIN = 5.0  # seconds that a lease outlives the invocation it belongs to


class Try(NamedTuple):
    """One exchange that may be billed, by which price, if there is one, and with whom."""

    adapter: Adapter
    price: Price | None
    target: str
    cancelled: bool = False  # by us, before anything of a stream had come


def price_of(candidate: Candidate, catalog: Catalog) -> Price | None:
    """Return what a target takes, None if nobody has said it."""
    return pricing.find(catalog.prices, candidate.provider.name, candidate.target.model)


def _ceiling(targets: Sequence[Candidate]) -> int:
    """Return the most tokens that an answer of any of them can have, 0 if one of them has not said it."""
    known = [one.model.max_output for one in targets]
    return max(known) if all(known) else 0


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
    hedge: float = 0.0  # seconds after which a second target is asked as well, 0 for never
    latency: float = 0.0  # of that try until the first of a stream, or all of an answer; 0: nothing has come yet
    tries: list[Try] = field(default_factory=list)  # those that may be billed, the last one included
    topups: int = 0
    replan: Callable[[], None] | None = None  # once there is a plan
    choose: Callable[[Callable[[str], bool]], Alias] | None = None  # what the model means to who may use such models
    given_up: bool = False  # by us: what breaks off then is not the target's doing

    def __post_init__(self) -> None:
        """Ask for no more than a place, until a model is asked for."""
        org, lease = self.principal.org, self.lease + LEASE_MARGIN
        self.ask = Ask(org, self._scopes(), self.event.request_id, lease, who=self._who())

    def renew(self, principal: Principal) -> None:
        """Go on with what the Directory says of the caller now, if that is still allowed.

        Raises:
            Forbidden, UnknownModel: it is not.
        """
        self.principal = principal
        self.event.key_id = principal.key_id
        principal.require(self.action)
        request = getattr(self, "request", None)
        if request and not self.choose and not principal.may_use(request.model):
            raise routing.unknown(request.model)
        model = next((scope[6:] for scope in self.ask.scopes if scope.startswith("model:")), "")
        self.ask = self.ask._replace(scopes=self._scopes(model), who=self._who())
        if self.replan:  # a model to fall back to may be another's now
            self.replan()

    def _scopes(self, model: str = "") -> tuple[str, ...]:
        who = self.principal
        return limits.scopes(who.org, who.key_id, who.user, who.team, model, endpoint=self.endpoint)

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

    def plan(self, catalog: Catalog, configured: Collection[str], chance: Callable[[], float]) -> None:
        """Find the targets that can serve the request, in the order of preference.

        Raises:
            GatewayError: there are none.
        """
        self.replan = partial(self.plan, catalog, configured, chance)
        wanted, may_use = needs.of(self.request), self.principal.may_use
        named = self.choose(may_use) if self.choose else routing.find(self.request.model, catalog)
        found = routing.candidates(named, self.kind, catalog, configured, may_use)
        groups = routing.fitting(found, wanted)
        self.targets = list(routing.arranged(groups, wanted, catalog, chance))
        self.hedge = named.serving.hedge
        self.ask = self.ask._replace(choice=routing.choice(groups, self.targets, stream=self.event.stream))

    def hear(self) -> None:
        """Note that the try under way has brought something."""
        self.latency = self.latency or time.perf_counter() - self.sent

    def weigh(self, catalog: Catalog, *, fit: bool) -> None:
        """Find out what the request may cost at most, and ask for that; `fit` lets its answers be shortened."""
        request = self.request
        found = [price_of(one, catalog) for one in self.targets]
        known = [price for price in found if price]
        unbounded = "model" if len(known) < len(found) else ""
        answers = max_tokens = images = 0
        caching = False
        if isinstance(request, Chat):
            answers, max_tokens, images, caching = request.n, request.max_tokens or 0, request.images, request.caching
            unbounded = unbounded or request.unbounded
        elif isinstance(request, Judgement):
            images = request.images
        self.ask = self.ask._replace(
            scopes=self._scopes(request.model),
            worst=pricing.worst(known, request.size, answers, images, caching=caching),
            unbounded=unbounded,
            answers=answers,
            max_tokens=max_tokens,
            ceiling=_ceiling(self.targets),
            fit=fit,
        )

    def keep_to_grant(self) -> None:
        """Ask the provider for no longer answers than were granted."""
        if self.grant.max_tokens and isinstance(self.request, Chat):
            self.request = bounded(self.request, self.grant.max_tokens)

    def request_for(self, model: Model) -> Request:
        """Return the request with no longer answers than `model` can give: admission bounds them for all targets."""
        request, most = self.request, model.max_output
        if isinstance(request, Chat) and most and (request.max_tokens or 0) > most:
            return bounded(request, most)
        return request

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
        A stream that was cancelled before its first chunk has cost its prompt.
        """
        if one.price is None:
            return None
        used = one.adapter.usage
        images = getattr(self.request, "images", 0)
        if not used.estimated:
            return pricing.cost(used, one.price, images)
        if not (used.completion or one.cancelled) or self.ask.worst is None:
            return self.grant.held
        written = self.ask.worst.tokens if getattr(self.request, "caching", False) else 0
        heard = Usage(self.ask.worst.tokens, used.completion, cache_write=written, cache_write_long=written)
        return min(self.grant.held, pricing.cost(heard, one.price, images))

    def paying(self) -> dict[str, str]:
        """Name who pays."""
        who = self.principal
        return {"org": who.org, "key": who.key_id, "user": who.user, "team": who.team, "model": self.event.model}

    def booked(self) -> dict[str, str | int]:
        """Return the fields of the usage event that only the gateway knows."""
        event, used = self.event, self.event.usage
        return {
            "event": events.USAGE,
            **self.paying(),
            "provider": event.provider,
            "target": self.tries[-1].target if self.tries else "",
            "prompt": used.prompt,
            "completion": used.completion,
            "cached": used.cached,
            "outcome": event.outcome,
            "estimated": int(used.estimated),
            "ms": round((time.perf_counter() - event.started) * 1000),
        }
