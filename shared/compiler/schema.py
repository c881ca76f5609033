"""The grammar of `catalog.toml`: what each entry may say, as pydantic checks it, and what it becomes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from shared.core import catalog
from shared.providers.registry import dialects

_HOME = frozenset({"127.0.0.1", "localhost", "::1"})
_SIMPLE = catalog.Timeouts()

Variable = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
Tokens = Annotated[int, Field(ge=0, le=100_000_000, strict=True)]
Limit = Annotated[int, Field(ge=0, le=1_000_000_000, strict=True)]
Weight = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
Seconds = Annotated[float, Field(gt=0, le=900, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1, max_length=10_000)]
Quirk = Literal[
    "completions", "max-tokens", "no-developer", "no-stream-usage", "sampling", "thinking-always", "thinking-budget"
]
Name = Annotated[str, Field(pattern=r"^[\w.:/@+-]{1,128}$")]


def reachable(url: str) -> str:
    """Return an address without its last slash. Keys travel there: only over TLS, or not off this machine.

    Raises:
        ValueError: it is none, or they would.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _HOME):
        raise ValueError("must start with https:// (or http:// on 127.0.0.1)")
    if not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("must be a plain address such as https://api.openai.com/v1")
    return url.rstrip("/")


class Entry(BaseModel):
    """No unknown fields."""

    model_config = ConfigDict(extra="forbid")


class Identity(Entry):
    """As whom a Cloud Run service is called."""

    workload_identity_provider: Annotated[
        str, Field(pattern=r"^projects/\d+/locations/global/workloadIdentityPools/[a-z0-9-]+/providers/[a-z0-9-]+$")
    ]
    service_account: Annotated[str, Field(pattern=r"^[a-z0-9-]+@[a-z0-9.-]+\.gserviceaccount\.com$")]
    audience: Annotated[str, Field(pattern=r"^[\x21-\x7e]{0,512}$")] = ""

    def compiled(self) -> catalog.Identity:
        """Return it as the hot path reads it."""
        return catalog.Identity(**self.model_dump())


Folder = Annotated[str, Field(pattern=r"^s3://[a-z0-9][a-z0-9-]{1,61}[a-z0-9](/[A-Za-z0-9_.~-]*[A-Za-z0-9_~-])+$")]


class Storage(Entry):
    """Where SageMaker's asynchronous endpoints take requests from, and put answers."""

    input: Folder
    output: Folder
    failure: Folder | Literal[""] = ""
    url: str = catalog.Storage("", "").url

    @field_validator("url")
    @classmethod
    def _reachable(cls, url: str) -> str:
        return reachable(url)

    def compiled(self) -> catalog.Storage:
        """Return it as the hot path reads it."""
        return catalog.Storage(**self.model_dump())


class Provider(Entry):
    """Who answers, and by which settings its targets are asked that say nothing else."""

    dialect: str
    base_url: str = ""
    base_url_env: Variable = ""
    secret: Variable = ""
    stand_in: Annotated[bool, Field(strict=True)] = False
    api_version: Annotated[str, Field(pattern=r"^[\w.-]*$")] = ""
    quirks: list[Quirk] = []
    ignores: list[Annotated[str, Field(pattern=r"^[a-z_]+$")]] = []
    region: str = ""
    identity: Identity | None = None
    storage: Storage | None = None
    connect_seconds: Seconds = _SIMPLE.connect
    first_chunk_seconds: Seconds = _SIMPLE.first_chunk
    total_seconds: Seconds = _SIMPLE.total

    @field_validator("dialect")
    @classmethod
    def _spoken(cls, dialect: str) -> str:
        if dialect not in dialects():
            known = " or ".join(f"'{name}'" for name in dialects())
            raise ValueError(f'must be {known}, not "{dialect}"')
        return dialect

    @field_validator("base_url")
    @classmethod
    def _reachable(cls, url: str) -> str:
        return reachable(url)

    @model_validator(mode="after")
    def _somewhere(self) -> Provider:
        if not self.base_url and not self.base_url_env:
            raise ValueError("needs base_url, base_url_env, or both")
        return self

    def compiled(self, name: str) -> catalog.Provider:
        """Return it as the hot path reads it."""
        known = set(catalog.Provider.__struct_fields__) & set(type(self).model_fields)
        given: dict[str, Any] = self.model_dump(include=known) | {"ignores": tuple(self.ignores)}
        given["identity"] = self.identity.compiled() if self.identity else None
        given["storage"] = self.storage.compiled() if self.storage else None
        return catalog.Provider(name=name, **given)


class Target(Entry):
    """One place where a model runs; the text "provider:model" stands for the first two fields."""

    provider: Text
    model: str = ""
    weight: Weight = 1
    region: str | None = None
    connect_seconds: Seconds | None = None
    first_chunk_seconds: Seconds | None = None
    total_seconds: Seconds | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:  # noqa: ANN401 - it comes from a file
        if not isinstance(given, str):
            return given
        provider, _, model = given.partition(":")
        return {"provider": provider, "model": model}

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}" if self.model else self.provider

    def compiled(self, name: str, model: Model, provider: Provider) -> catalog.Target:
        """Return it as the hot path reads it; what it leaves out is the provider's or the model's."""
        return catalog.Target(
            provider=self.provider,
            model=self.model or name,
            max_output=model.max_output,
            quirks=tuple(sorted({*provider.quirks, *model.quirks})),
            weight=self.weight,
            region=provider.region if self.region is None else self.region,
            timeouts=catalog.Timeouts(
                self.connect_seconds or provider.connect_seconds,
                self.first_chunk_seconds or provider.first_chunk_seconds,
                self.total_seconds or provider.total_seconds,
            ),
        )


class Servable(Entry):
    """What models and aliases share: how they are shown, and how their targets are used."""

    owned_by: Text
    created: Annotated[date, Field(strict=True)] | None = None
    strategy: catalog.Strategy = "order"
    fallbacks: list[Name] = []
    hedge_seconds: Annotated[float, Field(ge=0, le=900, allow_inf_nan=False)] = 0.0
    degraded_answer: Annotated[str, Field(max_length=10_000)] = ""

    def born(self) -> int:
        """Return the day of release in epoch seconds, 0 if unknown."""
        day = self.created
        return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) if day else 0

    def serving(self, priority: catalog.Priority = "balanced") -> catalog.Serving:
        """Return how the targets are used, as the hot path reads it."""
        return catalog.Serving(self.strategy, tuple(self.fallbacks), self.degraded_answer, priority, self.hedge_seconds)


class Model(Servable):
    """What clients ask for by name."""

    kind: catalog.Kind
    targets: Annotated[list[Target], Field(min_length=1)]
    context: Tokens = 0
    max_output: Tokens = 0
    capabilities: list[catalog.Capability] | None = None
    quality: Annotated[int, Field(ge=0, le=100, strict=True)] = 50
    quirks: list[Quirk] = []

    def compiled(self, name: str, providers: dict[str, Provider]) -> catalog.Model:
        """Return it as the hot path reads it."""
        return catalog.Model(
            name=name,
            kind=self.kind,
            targets=tuple(target.compiled(name, self, providers[target.provider]) for target in self.targets),
            owned_by=self.owned_by,
            created=self.born(),
            context=self.context,
            max_output=self.max_output,
            capabilities=None if self.capabilities is None else tuple(sorted(set(self.capabilities))),
            quality=self.quality,
            serving=self.serving(),
        )


class Member(Entry):
    """A model that an alias may stand for; its name alone stands for the first field."""

    model: Name
    weight: Weight = 1

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:  # noqa: ANN401 - it comes from a file
        return {"model": given} if isinstance(given, str) else given


class Alias(Servable):
    """A name for one of several models."""

    models: Annotated[list[Member], Field(min_length=1)]
    owned_by: Text = "ai-nexus"
    cost_priority: catalog.Priority = "balanced"

    def compiled(self, name: str, kind: catalog.Kind) -> catalog.Alias:
        """Return it as the hot path reads it."""
        members = tuple(catalog.Member(member.model, member.weight) for member in self.models)
        return catalog.Alias(name, kind, members, self.owned_by, self.born(), self.serving(self.cost_priority))


class Tier(Entry):
    """Limits of keys that name none of their own."""

    requests_per_minute: Limit = 0
    requests_per_hour: Limit = 0
    tokens_per_minute: Limit = 0
    concurrency: Limit = 0


_USUAL = catalog.Resilience()


class Resilience(Entry):
    """What is done about targets that fail."""

    tries: Annotated[int, Field(ge=1, le=10, strict=True)] = _USUAL.tries
    pause_seconds: Seconds = _USUAL.pause
    longest_pause_seconds: Seconds = _USUAL.longest_pause
    breaker_failures: Annotated[int, Field(ge=1, le=1000, strict=True)] = _USUAL.breaker_failures
    breaker_rest_seconds: Seconds = _USUAL.breaker_rest

    def compiled(self) -> catalog.Resilience:
        """Return it as the hot path reads it."""
        return catalog.Resilience(
            self.tries,
            self.pause_seconds,
            self.longest_pause_seconds,
            self.breaker_failures,
            self.breaker_rest_seconds,
        )


class File(Entry):
    """All of `catalog.toml`."""

    providers: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")], Provider]
    models: dict[Name, Model]
    aliases: dict[Name, Alias] = {}
    tiers: dict[str, Tier]
    resilience: Resilience = Resilience()
