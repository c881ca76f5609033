"""The catalog as the hot path reads it: compiled by `shared.compiler` out of `catalog.toml`, decoded once at start."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from shared.core.periods import DAY_SECONDS, day_of
from shared.core.pricing import Prices

Kind = Literal["chat", "embedding", "moderation", "rerank"]
Capability = Literal[
    "stream", "tools", "vision", "json_schema", "reasoning", "audio", "files", "logprobs", "choices", "penalties"
]
Strategy = Literal["order", "weighted", "cheapest", "fastest", "least_loaded", "complexity"]
Priority = Literal["cheap", "balanced", "quality"]
FILE = "catalog.json"  # its name in the task root


class Identity(msgspec.Struct, frozen=True):
    """As whom a service at Google Cloud is called: the gateway's role at AWS stands for a service account there."""

    workload_identity_provider: str  # projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/NAME
    service_account: str
    audience: str = ""  # for whom the tokens are; "": scheme and host of the provider's address, as Cloud Run wants it


class Storage(msgspec.Struct, frozen=True):
    """Folders of S3 (`s3://bucket/path`) by which SageMaker's asynchronous endpoints are asked."""

    input: str  # where the gateway puts requests
    output: str  # where the endpoint's configuration has it put answers
    failure: str = ""  # and where failures, if it says so
    url: str = "https://s3.{region}.amazonaws.com"


class Provider(msgspec.Struct, frozen=True):
    """Who answers. `base_url` is final once the edge has put the value of `base_url_env`, if set, in its place."""

    name: str
    dialect: str
    base_url: str = ""  # with the version path, as in https://api.openai.com/v1; "" is known to the edge only
    base_url_env: str = ""
    secret: str = ""  # its name inside the providers' secret; "" needs none
    stand_in: bool = False  # serves chat models whose own providers have no credentials
    api_version: str = ""  # of Azure's form of OpenAI's dialect; "" is OpenAI's own form
    ignores: tuple[str, ...] = ()  # fields of a request that are left out where it cannot serve them, not refused
    identity: Identity | None = None  # what opens it is a token of this identity, and no secret
    storage: Storage | None = None  # of endpoints that answer by way of it


class Timeouts(msgspec.Struct, frozen=True):
    """How many seconds one try may wait for what."""

    connect: float = 2.0  # until there is a connection: the name looked up, TCP, TLS
    first_chunk: float = 120.0  # from sending to the first bytes of a stream
    total: float = 600.0  # of the whole answer


class Target(msgspec.Struct, frozen=True):
    """One place where a model runs: the provider's name, and the name the model has there.

    `max_output` is that of the model; `quirks` are words of the provider's dialect for what is peculiar to it there.
    """

    provider: str
    model: str
    weight: int = 1  # its share, where the strategy is `weighted` or `least_loaded`
    region: str = ""  # where it runs; shown, and not interpreted
    timeouts: Timeouts = Timeouts()
    max_output: int = 0
    quirks: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """What breakers and latencies are kept under: models that share a place share its state."""
        return f"{self.provider}:{self.model}"


class Serving(msgspec.Struct, frozen=True):
    """How the targets of a model or an alias are used."""

    strategy: Strategy = "order"
    fallbacks: tuple[str, ...] = ()  # models and aliases whose targets follow, in their order
    degraded: str = ""  # what a chat is answered when no target can; "": an error
    priority: Priority = "balanced"  # of the strategy `complexity`
    hedge: float = 0.0  # seconds without a first word, after which a second target is asked as well; 0: never


class Model(msgspec.Struct, frozen=True):
    """What clients ask for by name."""

    name: str
    kind: Kind
    targets: tuple[Target, ...]
    owned_by: str
    created: int = 0  # epoch seconds
    context: int = 0  # tokens, 0 = unknown
    max_output: int = 0  # tokens, 0 = unknown or none
    capabilities: tuple[Capability, ...] | None = None  # None: unknown, so nothing is held against it
    quality: int = 50  # 0 to 100, among the models of this catalog
    serving: Serving = Serving()


class Member(msgspec.Struct, frozen=True):
    """A model that an alias may stand for."""

    model: str
    weight: int = 1


class Alias(msgspec.Struct, frozen=True):
    """A name that stands for one of several models; all are of one kind."""

    name: str
    kind: Kind
    members: tuple[Member, ...]
    owned_by: str
    created: int = 0
    serving: Serving = Serving()


class Tier(msgspec.Struct, frozen=True):
    """Limits of a key that names none of its own; 0 = unlimited."""

    requests_per_minute: int = 0
    requests_per_hour: int = 0
    tokens_per_minute: int = 0
    concurrency: int = 0


class Resilience(msgspec.Struct, frozen=True):
    """What is done about targets that fail. Durations are in seconds."""

    tries: int = 3  # of one request, on all targets together
    pause: float = 1.0  # before asking the same target again, at most; doubled each time
    longest_pause: float = 2.0  # whoever wants us to wait longer has refused
    breaker_failures: int = 5  # in a row, after which a target rests
    breaker_rest: float = 60.0  # how long; then one request probes it


class Catalog(msgspec.Struct, frozen=True):
    """Everything that routing and admission know by configuration. `version` is a digest of the content."""

    version: str
    providers: dict[str, Provider]
    models: dict[str, Model]
    tiers: dict[str, Tier]
    prices: Prices = {}
    aliases: dict[str, Alias] = {}
    resilience: Resilience = Resilience()

    def named(self, name: str) -> Model | Alias | None:
        """Return the model or alias of this name."""
        return self.models.get(name) or self.aliases.get(name)


def decode(data: bytes) -> Catalog:
    """Read a compiled catalog.

    Raises:
        msgspec.DecodeError: it is not one.
    """
    return msgspec.json.decode(data, type=Catalog)


def listing(models: list[Model | Alias]) -> dict[str, Any]:
    """Render `GET /v1/models`, whole: for Anthropic's SDKs it is the last page."""
    ends = {"first_id": models[0].name, "last_id": models[-1].name} if models else {"first_id": None, "last_id": None}
    return {"object": "list", "data": [entry(model) for model in models], "has_more": False, **ends}


def entry(model: Model | Alias) -> dict[str, Any]:
    """Render `GET /v1/models/{id}` with the members of OpenAI and those that Anthropic's SDKs expect."""
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by,
        "type": "model",
        "display_name": model.name,
        "created_at": f"{day_of(model.created // DAY_SECONDS)}T00:00:00Z",  # a day is all that a catalog knows
    }
