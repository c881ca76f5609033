"""Which targets may serve a request, best first.

    candidates   who has a model of that name and credentials: in groups, the model's own first, then its fallbacks'
    fitting      without those that cannot do what the request needs; a 400 that names the field if nobody can
    arranged     each group in the order of its strategy, as far as that can be known before admission

`shared.core.offering` tells admission of them, and the order in which they are asked after that.
Nothing here talks to anyone: chance and prices come in as arguments.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from shared.core import choosing, complexity, pricing
from shared.core.catalog import Alias, Kind, Member, Model, Priority, Provider, Serving, Strategy, Target
from shared.core.errors import BadRequest, ContextTooLong, UnknownModel, Unsupported, UpstreamUnavailable
from shared.core.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from shared.core.catalog import Catalog
    from shared.core.needs import Need, Needs

_SHOWN = 64  # characters of a name that came from outside
USUAL_ANSWER = 500  # tokens, for comparing prices where the client has set no bound


class Candidate(NamedTuple):
    """A target together with its provider, and the model of the catalog that it is a target of."""

    target: Target
    provider: Provider
    model: Model
    weight: int = 1


class Group(NamedTuple):
    """Candidates among which a strategy chooses; those of the next group are asked when all of these have failed."""

    strategy: Strategy
    candidates: list[Candidate]
    priority: Priority = "balanced"  # of the strategy `complexity`


def find(name: str, catalog: Catalog, may_use: Callable[[str], bool]) -> Model | Alias:
    """Return the model or alias called `name`.

    Raises:
        UnknownModel: there is none; it names the nearest one that the caller `may_use`.
    """
    found = catalog.named(name)
    if found is None:
        raise unknown(name, catalog, may_use)
    return found


def unknown(name: str, catalog: Catalog, may_use: Callable[[str], bool]) -> UnknownModel:
    """Say that there is no such model, also of one that the caller may not use, and which one may have been meant."""
    from shared.core.nearest import nearest  # noqa: PLC0415 - only who errs needs it

    shown = ascii(name[:_SHOWN])[1:-1] + ("..." if len(name) > _SHOWN else "")
    meant = nearest(name, filter(may_use, (*catalog.models, *catalog.aliases)))
    hint = f" Did you mean '{meant}'?" if meant else ""
    told = f"The model '{shown}' does not exist or you do not have access to it.{hint}"
    return UnknownModel(f"{told} GET /v1/models lists those you may use.", param="model")


def auto(catalog: Catalog, priority: Priority) -> Alias:
    """Return an alias for all chat models of the catalog, among which a chat's complexity chooses."""
    chats = [model for model in catalog.models.values() if model.kind == "chat"]
    real = [model for model in chats if not all(catalog.providers[one.provider].stand_in for one in model.targets)]
    members = tuple(Member(model.name) for model in real or chats)
    return Alias("auto", "chat", members, "ai-nexus", serving=Serving("complexity", priority=priority))


def routed(name: str, priority: Priority, catalog: Catalog, may_use: Callable[[str], bool]) -> Alias:
    """Return the alias `name` with another priority; `auto` is always there, made of all that the caller may use.

    Raises:
        UnknownModel: there is no such alias, or nothing behind it that the caller may use.
    """
    alias = catalog.aliases.get(name) or (auto(catalog, priority) if name == "auto" else None)
    if alias is None:
        raise unknown(name, catalog, may_use)
    members = alias.members if may_use(name) else tuple(one for one in alias.members if may_use(one.model))
    if not members:
        raise unknown(name, catalog, may_use)
    serving = replace(alias.serving, strategy="complexity", priority=priority)
    return replace(alias, members=members, serving=serving)


def candidates(
    name: str | Model | Alias,
    kind: Kind,
    catalog: Catalog,
    configured: Collection[str],
    may_use: Callable[[str], bool] = lambda _: True,
) -> list[Group]:
    """List who can serve what is called `name`, or a model or alias itself; never empty, and no target twice.

    A fallback is taken only where the caller `may_use` it under its own name. A stand-in serves chat models of which
    nobody is `configured`, and never follows one that is: what it makes up must not be taken for a real answer.

    Raises:
        UnknownModel: there is no such model.
        BadRequest: it is not of this kind.
        UpstreamUnavailable: nobody that could serve it has credentials.
    """
    found = find(name, catalog, may_use) if isinstance(name, str) else name
    if found.kind != kind:
        said = f"The model '{found.name}' is of kind {found.kind}; this path serves {kind} models."
        raise BadRequest(said, param="model")
    others = [find(other, catalog, may_use) for other in found.serving.fallbacks if may_use(other)]
    groups = _distinct(_group(one, catalog) for one in (found, *others))
    usable = _only(groups, lambda one: one.provider.name in configured)
    if not usable and kind == "chat":
        usable = _stand_in(found.name, groups[0].candidates[0].model, catalog, configured)
    if not usable:
        raise _unconfigured(found.name, groups)
    return usable


def fitting(groups: list[Group], wanted: Needs) -> list[Group]:
    """Keep the candidates that can do what is `wanted`.

    A prompt whose length is only estimated is not refused for it: if all contexts seem too short, those stay that may
    just be long enough.

    Raises:
        Unsupported: nobody can do it; `param` is the field that asks for it.
        ContextTooLong: the prompt, or the answer asked for, is longer than anybody's context.
    """
    for need in wanted.needs:
        able = _only(groups, lambda one, need=need: _can(one, need))  # type: ignore[misc]
        if not able:
            raise Unsupported(
                f"The model '{_first(groups)}' does not offer {need.capability}, which "
                f"'{need.field}' asks for. Leave that out, or choose another model.",
                param=need.field,
            )
        groups = able
    return _long_enough(_native(groups, wanted), wanted)


def arranged(
    groups: Iterable[Group], wanted: Needs, catalog: Catalog, chance: Callable[[], float]
) -> Iterator[Candidate]:
    """Yield all candidates in the order of preference; `fastest` and `least_loaded` are left to admission.

    `chance` returns numbers from 0 up to 1.
    """
    for strategy, found, priority in groups:
        if strategy == "weighted" and len(found) > 1:
            # A. Efraimidis and P. Spirakis: the order of draws without replacement, each in proportion to its weight
            yield from sorted(found, key=lambda one: math.log(1 - chance()) / one.weight, reverse=True)
        elif strategy == "cheapest" and len(found) > 1:
            tokens, answer = wanted.tokens(), wanted.max_tokens or USUAL_ANSWER
            yield from sorted(found, key=lambda one: cost(one, catalog, tokens, answer))
        elif strategy == "complexity" and len(found) > 1:
            yield from _by_complexity(found, wanted, catalog, priority)
        else:
            yield from found


def _group(found: Model | Alias, catalog: Catalog) -> Group:
    if isinstance(found, Model):
        return Group(found.serving.strategy, list(_targets(found, catalog, 1)))
    listed = [one for member in found.members for one in _targets(catalog.models[member.model], catalog, member.weight)]
    return Group(found.serving.strategy, listed, found.serving.priority)


def _targets(model: Model, catalog: Catalog, weight: int) -> Iterator[Candidate]:
    """Yield the targets of a model; what an alias gives it as `weight` multiplies theirs."""
    for target in model.targets:
        yield Candidate(target, catalog.providers[target.provider], model, weight * target.weight)


def _distinct(groups: Iterable[Group]) -> list[Group]:
    seen: set[str] = set()

    def is_new(one: Candidate) -> bool:
        new = one.target.id not in seen
        seen.add(one.target.id)
        return new

    return _only(groups, is_new)


def _only(groups: Iterable[Group], good: Callable[[Candidate], bool]) -> list[Group]:
    """Keep what is good, and of the groups those that are not empty then; most often that is all."""
    kept = []
    for group in groups:
        left = [one for one in group.candidates if good(one)]
        if left:
            kept.append(group if len(left) == len(group.candidates) else group._replace(candidates=left))
    return kept


def _can(one: Candidate, need: Need) -> bool:
    known = one.model.capabilities
    return known is None or need.capability in known or need.field in one.provider.ignores


def _native(groups: list[Group], wanted: Needs) -> list[Group]:
    """Keep those that get the client's own request, if it asks for what no translation of it can say."""
    if not wanted.native_only:
        return groups
    able = _only(groups, lambda one: wanted.native in (one.provider.dialect, *one.target.quirks))
    if not able:
        raise Unsupported(
            f"'{wanted.native_only}' asks for what no provider of the model '{_first(groups)}' can do. Leave that out, "
            "or choose a model whose provider speaks the dialect of this request.",
            param=wanted.native_only,
        )
    return able


def _long_enough(groups: list[Group], wanted: Needs) -> list[Group]:
    answer = wanted.max_tokens
    able = _only(groups, lambda one: answer <= (one.model.max_output or answer))
    if not able:
        most = max(one.model.max_output for group in groups for one in group.candidates)
        raise ContextTooLong(
            f"'{wanted.bound}' is {answer}, and the longest answer of '{_first(groups)}' has {most} tokens. Lower it.",
            param=wanted.bound,
        )
    contexts = [one.model.context for group in able for one in group.candidates if one.model.context]
    if not contexts or wanted.size + answer <= min(contexts):
        return able  # no text has more tokens than bytes
    for prompt in (wanted.tokens(), wanted.least_tokens()):
        fit = _only(able, lambda one, least=prompt + answer: least <= (one.model.context or least))  # type: ignore[misc]
        if fit:
            return fit
    raise ContextTooLong(
        f"This request needs a context of {wanted.least_tokens() + answer} tokens at least, and the longest of "
        f"'{_first(groups)}' has {max(contexts)}. Shorten the messages, or choose another model.",
        param="messages",
    )


def _first(groups: Sequence[Group]) -> str:
    return groups[0].candidates[0].model.name


def _by_complexity(found: list[Candidate], wanted: Needs, catalog: Catalog, priority: Priority) -> list[Candidate]:
    """Order by model: the cheapest that is strong enough first, each with its targets in their order."""
    tokens, answer = wanted.tokens(), wanted.max_tokens or USUAL_ANSWER
    qualities = {one.model.name: one.model.quality for one in found}
    costs: dict[str, float] = {}
    for one in found:
        costs[one.model.name] = min(costs.get(one.model.name, math.inf), cost(one, catalog, tokens, answer))
    score = complexity.features(wanted.raw or {}).score()
    place = {name: at for at, name in enumerate(choosing.ranked(qualities, costs, score, priority))}
    return sorted(found, key=lambda one: place[one.model.name])


def cost(one: Candidate, catalog: Catalog, prompt: int, answer: int) -> float:
    """Return what an answer may cost there, in nano-dollars; what has no price comes last."""
    price = pricing.find(catalog.prices, one.provider.name, one.target.model)
    return math.inf if price is None else pricing.cost(Usage(prompt, answer), price)


def _stand_in(name: str, model: Model, catalog: Catalog, configured: Collection[str]) -> list[Group]:
    found = [
        Candidate(Target(provider.name, name), provider, model)
        for provider in catalog.providers.values()
        if provider.stand_in and provider.name in configured
    ]
    return [Group("order", found)] if found else []


def _unconfigured(name: str, groups: Sequence[Group]) -> UpstreamUnavailable:
    refused = UpstreamUnavailable(
        f"No credentials are configured for {_names(groups)}, which serves '{name}'. "
        "Whoever runs the gateway adds them to the providers' secret, or to the environment of a local run."
    )
    refused.should_retry = False  # nothing changes between two tries
    return refused


def _names(groups: Sequence[Group]) -> str:
    return " or ".join(dict.fromkeys(one.provider.name for group in groups for one in group.candidates))
