"""One synthesized template for every test here: made once for a state of the sources, shared by all workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cdk import synth
from cdk.config import Config, parse
from tests.cdk.gpu_catalogs import ASYNC, CLOUD_RUN, ENDPOINT, SERVICE, shared_catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

Resources = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def assembly() -> Path:
    """The cloud assembly whose zips run on this machine, as the local run makes it."""
    return synth.synthesize(Config(target="host", openai_base_url="https://openai.example/v1"))


@pytest.fixture(scope="session")
def template(assembly: Path) -> Mapping[str, Any]:
    """The CloudFormation template."""
    return synth.template(assembly)


@pytest.fixture(scope="session")
def clouds() -> Path:
    """The assembly of a deployment with the GPU service at SageMaker, asleep, and at Cloud Run; cdk-nag is content."""
    later = {**ENDPOINT, "mode": "async", "min": 0, "model_data": "s3://models/minilm/model.tar.gz"}
    asked = {"nexus:gpu_endpoint": later, "nexus:cloud_run": CLOUD_RUN}
    catalog = shared_catalog("clouds", ASYNC + SERVICE)
    return synth.synthesize(parse({"nexus:target": "host", "nexus:catalog": str(catalog), **asked}), validate=True)


@pytest.fixture(scope="session")
def of_type(template: Mapping[str, Any]) -> Callable[[str], Resources]:
    """Select resources by their type, as in `ApiGateway::Method`; there must be some."""

    def select(kind: str) -> Resources:
        found = {name: r for name, r in template["Resources"].items() if r["Type"] == f"AWS::{kind}"}
        assert found, f"the template has no {kind}"
        return found

    return select
