"""What would become of a request, and for how much, without asking anybody: the dry run of routing.

The plan shows what the pipeline would do before admission: the targets in the order of preference, and what was passed
over, and why. What admission knows (which targets rest, how fast they are) is not in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.core import complexity, needs, pricing, routing
from shared.core.errors import BadRequest
from shared.core.routing import USUAL_ANSWER

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from shared.core.catalog import Alias, Catalog
    from shared.core.chat import Chat
    from shared.core.needs import Needs
    from shared.core.routing import Candidate, Group


def plan(
    chat: Chat,
    catalog: Catalog,
    configured: Collection[str],
    chance: Callable[[], float],
    *,
    name: str | Alias = "",
    may_use: Callable[[str], bool] = lambda _: True,
) -> dict[str, Any]:
    """Return who would be asked, in which order and for which price; JSON-able, money in dollars as text.

    `name` takes the place of the chat's own model: an alias such as `routing.auto` makes one of all models. What each
    target costs is `expected` for an answer of as many tokens as were asked for, or of a usual length, and `worst` for
    the most that one try can cost, where that has a bound.

    Raises:
        GatewayError: nobody could serve it, as for the request itself.
    """
    wanted = needs.of(chat)
    groups = routing.candidates(name or chat.model, "chat", catalog, configured, may_use)
    fit = routing.fitting(groups, wanted)
    found = list(routing.arranged(fit, wanted, catalog, chance))
    features = complexity.features(chat.raw)
    return {
        "model": found[0].model.name,
        "strategy": fit[0].strategy,
        "targets": [_shown(one, chat, wanted, catalog) for one in found],
        "passed_over": list(_passed_over(groups, found, wanted)),
        "complexity": explained(features),
        "prompt_tokens": wanted.tokens(),
    }


def explained(features: complexity.Features) -> dict[str, Any]:
    """Return a score with what it was made of."""
    return {"score": features.score(), "parts": features.parts(), "features": features._asdict()}


def _shown(one: Candidate, chat: Chat, wanted: Needs, catalog: Catalog) -> dict[str, Any]:
    target, model = one.target, one.model
    price = pricing.find(catalog.prices, target.provider, target.model)
    return {
        "model": model.name,
        "provider": target.provider,
        "target": target.model,
        "region": target.region or None,
        "context": model.context or None,
        "max_output": model.max_output or None,
        "quality": model.quality,
        "cost_usd": None if price is None else _costs(one, price, chat, wanted, catalog),
    }


def _costs(one: Candidate, price: pricing.Price, chat: Chat, wanted: Needs, catalog: Catalog) -> dict[str, str | None]:
    answer = chat.max_tokens or min(USUAL_ANSWER, one.model.max_output or USUAL_ANSWER)
    expected = round(routing.cost(one, catalog, wanted.tokens(), answer))
    longest = chat.max_tokens or one.model.max_output
    worst = pricing.worst([price], chat.size, chat.n, chat.images)
    bounded = longest and not chat.unbounded
    return {"expected": pricing.usd(expected), "worst": pricing.usd(worst.of(longest)) if bounded else None}


def _passed_over(groups: Iterable[Group], found: Sequence[Candidate], wanted: Needs) -> Iterable[dict[str, str | None]]:
    """Say of each candidate that did not stay why."""
    stayed = {one.target.id for one in found}
    for group in groups:
        for one in group.candidates:
            if one.target.id not in stayed:
                reason, field = _reason(group._replace(candidates=[one]), wanted)
                yield {"model": one.model.name, "provider": one.target.provider, "reason": reason, "param": field}


def _reason(group: Group, wanted: Needs) -> tuple[str, str | None]:
    try:
        routing.fitting([group], wanted)
    except BadRequest as error:
        return error.message, error.param
    return "Its context is likely too short.", "messages"
