"""What no single entry of the catalog can know to be wrong: names that lead nowhere, kinds that do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.providers.registry import speaks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.compiler import schema

TIERS = frozenset({"free", "pro", "enterprise"})
Mistake = tuple[tuple[str, ...], str]  # the field, and what is wrong with it


def mistakes(parsed: schema.File) -> list[Mistake]:
    """List them all, in the order of the file's parts."""
    return [*_providers(parsed), *_models(parsed), *_aliases(parsed), *_fallbacks(parsed), *_tiers(parsed)]


def _providers(parsed: schema.File) -> Iterator[Mistake]:
    stand_ins = [name for name, provider in parsed.providers.items() if provider.stand_in]
    for name in stand_ins[1:]:
        yield ("providers", name, "stand_in"), f"'{stand_ins[0]}' stands in already; there is only one"
    for name, provider in parsed.providers.items():
        if provider.identity and (provider.dialect != "openai" or provider.api_version):
            yield ("providers", name, "identity"), "is for services of dialect 'openai' (without api_version)"
        if provider.identity and provider.secret:
            yield ("providers", name, "identity"), "takes the place of the secret; leave one of the two out"
        if bool(provider.storage) != (provider.dialect == "sagemaker-async"):
            yield ("providers", name, "storage"), "belongs to dialect 'sagemaker-async', and only there"


def _models(parsed: schema.File) -> Iterator[Mistake]:
    for name, entry in parsed.models.items():
        if entry.strategy == "complexity":
            yield ("models", name, "strategy"), "a model cannot choose among models; 'complexity' is for aliases"
        for target in entry.targets:
            provider = parsed.providers.get(target.provider)
            if provider is None:
                known = ", ".join(parsed.providers)
                yield ("models", name, "targets"), f"'{target}' names no provider; the providers are {known}"
            elif not speaks(provider.dialect, entry.kind):
                what = f"'{target}' speaks {provider.dialect}, which has no {entry.kind} models"
                yield ("models", name, "targets"), what


def _aliases(parsed: schema.File) -> Iterator[Mistake]:
    for name, entry in parsed.aliases.items():
        if name in parsed.models:
            yield ("aliases", name), "is the name of a model already; choose another"
        unknown = [member.model for member in entry.models if member.model not in parsed.models]
        for model in unknown:
            yield ("aliases", name, "models"), f"there is no model '{model}'; add it under [models]"
        kinds = sorted({parsed.models[one.model].kind for one in entry.models if one.model in parsed.models})
        if len(kinds) > 1:
            yield ("aliases", name, "models"), f"are of the kinds {' and '.join(kinds)}; an alias has one kind"
        if entry.strategy == "complexity" and kinds not in ([], ["chat"]):
            yield ("aliases", name, "strategy"), "'complexity' is for chat models"


def _fallbacks(parsed: schema.File) -> Iterator[Mistake]:
    for part, entries in (("models", parsed.models), ("aliases", parsed.aliases)):
        for name, entry in entries.items():
            if entry.degraded_answer and _kind(name, parsed) not in {None, "chat"}:
                yield (part, name, "degraded_answer"), "is a text, which only chat models answer"
            for fallback in entry.fallbacks:
                if what := _wrong(name, fallback, parsed):
                    yield (part, name, "fallbacks"), what


def _wrong(name: str, fallback: str, parsed: schema.File) -> str:
    """Say what is wrong with a fallback of `name`, "" if nothing is."""
    if fallback == name:
        return "a name cannot fall back on itself"
    own, other = _kind(name, parsed), _kind(fallback, parsed)
    if other is None:
        return f"there is no model or alias '{fallback}'"
    return "" if own in {None, other} else f"'{fallback}' is of kind {other}, and this of kind {own}"


def _kind(name: str, parsed: schema.File) -> str | None:
    """Return the kind of a model or alias, None if there is no such thing."""
    alias = parsed.aliases.get(name)
    model = parsed.models.get(alias.models[0].model if alias else name)
    return model.kind if model else None


def _tiers(parsed: schema.File) -> Iterator[Mistake]:
    for name in sorted(TIERS - set(parsed.tiers)):
        yield ("tiers",), f"the tier '{name}' is missing; add [tiers.{name}]"
    for name in parsed.tiers:
        if name not in TIERS:
            yield ("tiers", name), f"is no tier; those are {', '.join(sorted(TIERS))}"
