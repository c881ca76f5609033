"""Holds the GPU service's deployments to the catalog: the gateway calls what its targets name, as they name it.

One that no target names would cost money for nobody; that is found before anything is built.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from cdk.config import PREFIX, ConfigError
from shared.core.catalog import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdk.config import Config
    from shared.core.catalog import Catalog, Identity, Provider, Storage, Target

KEY: Final = f"{PREFIX}gpu_endpoint"
DIALECTS: Final = {"realtime": "sagemaker", "async": "sagemaker-async"}


class Named(NamedTuple):
    """A target that names the endpoint, and its provider."""

    target: Target
    provider: Provider


def storage(config: Config, catalog: bytes) -> Storage | None:
    """Return by way of which folders the configured endpoint is asked; None if it is asked directly, or there is none.

    Raises:
        ConfigError: the compiled `catalog` has no target that calls the endpoint as it is configured.
    """
    if config.gpu_endpoint is None:
        return None
    found = list(_named(config, catalog))
    _refuse_uncalled(config, found)
    storages = {named.provider.storage for named in found}
    if len(storages) > 1:
        raise ConfigError(f"{KEY}: the targets in {config.catalog} name different folders for it; an endpoint has one.")
    [chosen] = storages
    if chosen and len({bucket_of(folder) for folder in folders(chosen)}) > 1:
        raise ConfigError(f"{KEY}: `storage` in {config.catalog} names several buckets; an endpoint's has one.")
    return chosen


def identity(config: Config, catalog: bytes) -> Identity | None:
    """Return as whom the gateway calls the configured Cloud Run service; None if there is none.

    Raises:
        ConfigError: the compiled `catalog` has no target that calls it, or such of several identities.
    """
    if config.cloud_run is None:
        return None
    name, region = config.gpu_service_name, config.cloud_run.region
    address = re.compile(rf"https://{name}-\d+\.{region}\.run\.app(/.*)?")
    known = decode(catalog)
    called = {provider for provider, _ in _targets(known) if address.fullmatch(provider.base_url)}
    found = {provider.identity for provider in called if provider.identity}
    if not found:
        raise ConfigError(
            f"{PREFIX}cloud_run: no target in {config.catalog} calls the service, which nobody else may call: give a "
            f"model a target of a provider with base_url = 'https://{name}-<project number>.{region}.run.app/v1' "
            "and an `identity`."
        )
    if len({(one.workload_identity_provider, one.service_account) for one in found}) > 1:
        raise ConfigError(f"{PREFIX}cloud_run: {config.catalog} calls the service as several accounts; it admits one.")
    return min(found, key=lambda one: one.audience)


def folders(place: Storage) -> list[str]:
    """Return all folders of `place`."""
    return [folder for folder in (place.input, place.output, place.failure) if folder]


def bucket_of(folder: str) -> str:
    """Return the bucket of `s3://bucket/path`."""
    return folder.split("/")[2]


def _named(config: Config, catalog: bytes) -> Iterator[Named]:
    for provider, target in _targets(decode(catalog)):
        here = not target.region or target.region == (config.region or target.region)
        if here and provider.dialect in DIALECTS.values() and endpoint_of(target) == config.gpu_service_name:
            yield Named(target, provider)


def _targets(known: Catalog) -> Iterator[tuple[Provider, Target]]:
    for model in known.models.values():
        yield from ((known.providers[target.provider], target) for target in model.targets)


def endpoint_of(target: Target) -> str:
    """Return the name of the endpoint that a target of SageMaker's calls."""
    return target.model.partition("/")[0].lower()


def _refuse_uncalled(config: Config, found: list[Named]) -> None:
    mode = config.gpu_endpoint.mode if config.gpu_endpoint else ""
    dialect = DIALECTS[mode]
    if not found:
        raise ConfigError(
            f"{KEY}: no target in {config.catalog} calls the endpoint, which would run for nobody: give a model "
            f"targets = ['<provider>:{config.gpu_service_name}/<name in the container>'], "
            f"where the provider has dialect = '{dialect}'."
        )
    for named in found:
        if named.provider.dialect != dialect:
            raise ConfigError(
                f"{KEY}.mode: '{mode}' is for targets of dialect '{dialect}', but '{named.target.id}' in "
                f"{config.catalog} speaks '{named.provider.dialect}'; change one of the two."
            )
