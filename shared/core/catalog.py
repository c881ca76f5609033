"""The catalog as the hot path reads it: compiled by `cdk.catalog` out of `catalog.toml`, decoded once at start."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from shared.core.pricing import Prices

Kind = Literal["chat", "embedding"]
FILE = "catalog.json"  # its name in the task root


class Provider(msgspec.Struct, frozen=True):
    """Who answers. `base_url` is final once the edge has put the value of `base_url_env`, if set, in its place."""

    name: str
    dialect: str
    base_url: str = ""  # with the version path, as in https://api.openai.com/v1; "" is known to the edge only
    base_url_env: str = ""
    secret: str = ""  # its name inside the providers' secret; "" needs none
    stand_in: bool = False  # serves chat models whose own providers have no credentials


class Target(msgspec.Struct, frozen=True):
    """One place where a model runs: the provider's name, and the name the model has there."""

    provider: str
    model: str


class Model(msgspec.Struct, frozen=True):
    """What clients ask for by name."""

    name: str
    kind: Kind
    targets: tuple[Target, ...]
    owned_by: str
    created: int = 0  # epoch seconds
    context: int = 0  # tokens, 0 = unknown
    max_output: int = 0  # tokens, 0 = unknown or none


class Tier(msgspec.Struct, frozen=True):
    """Limits of a key that names none of its own; 0 = unlimited."""

    requests_per_minute: int = 0
    requests_per_hour: int = 0
    tokens_per_minute: int = 0
    concurrency: int = 0


class Catalog(msgspec.Struct, frozen=True):
    """Everything that routing and admission know by configuration. `version` is a digest of the content."""

    version: str
    providers: dict[str, Provider]
    models: dict[str, Model]
    tiers: dict[str, Tier]
    prices: Prices = {}


def decode(data: bytes) -> Catalog:
    """Read a compiled catalog.

    Raises:
        msgspec.DecodeError: it is not one.
    """
    return msgspec.json.decode(data, type=Catalog)


def listing(models: list[Model]) -> dict[str, Any]:
    """Render `GET /v1/models`."""
    return {"object": "list", "data": [entry(model) for model in models]}


def entry(model: Model) -> dict[str, Any]:
    """Render `GET /v1/models/{id}`."""
    return {"id": model.name, "object": "model", "created": model.created, "owned_by": model.owned_by}
