"""What is asked of SageMaker and Cloud Run is checked before anything is built; a mistake is told with its field."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cdk import app
from cdk.catalog import compile_catalog
from cdk.config import Config, ConfigError, parse
from cdk.targets import identity, storage
from tests.cdk.gpu_catalogs import ASYNC, CLOUD_RUN, ENDPOINT, IMAGE, REALTIME, SERVICE, catalog

if TYPE_CHECKING:
    from pathlib import Path

LATER = {"mode": "async", "min": 0}


def configured(folder: Path, more: str, **changes: Any) -> Config:
    """A deployment with a catalog and an endpoint."""
    context = {"nexus:catalog": str(catalog(folder, more)), "nexus:gpu_endpoint": {**ENDPOINT, **changes}}
    return parse(context)


def checked(config: Config) -> Any:
    """Where the endpoint is asked by way of S3, if the catalog agrees with the configuration."""
    return storage(config, compile_catalog(config.catalog_file))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"image": IMAGE.partition("@")[0] + ":latest"}, ".image: must name the image by its digest"),
        ({"image": IMAGE.replace(".dkr.ecr.", ".example.")}, ".image: must lie in ECR"),
        ({"instance_type": "ml.m5.xlarge"}, ".instance_type: 'ml.m5.xlarge' has no GPU"),
        ({"instance_type": "ml.p3.2xlarge"}, ".instance_type: 'ml.p3.2xlarge' has no GPU that CUDA 13 knows"),
        ({"instance_type": "g5.xlarge"}, ".instance_type: 'g5.xlarge' has no GPU"),
        ({"mode": "serverless"}, ".mode: must be 'realtime' or 'async', not \"serverless\""),
        ({"min": 0}, ": min 0 is for mode 'async' alone"),
        ({"min": 4}, ": min 4 is more than max 3"),
        ({"max": 0}, ".max: 0 is wrong: it must be greater than or equal to 1"),
        ({"model_data": "s3://models/minilm"}, '.model_data: "s3://models/minilm" does not match'),
        ({"environment": {"DEVICE": "cpu"}}, ".environment: DEVICE is set by the deployment; leave it out"),
        ({"instance": "ml.g5.xlarge"}, ".instance: is not a field here (is instance_type meant?)"),
    ],
)
def test_a_mistake_is_told_with_its_field(changes: dict[str, object], told: str) -> None:
    """As everywhere in `cdk.json`."""
    with pytest.raises(ConfigError) as error:
        parse({"nexus:gpu_endpoint": {**ENDPOINT, **changes}})
    assert str(error.value).startswith(f"nexus:gpu_endpoint{told}")


def test_the_command_line_speaks_of_it_in_json() -> None:
    """As of everything that is no text; and it survives the way to a child process."""
    text = json.dumps({"image": IMAGE, "instance_type": "ml.g6.xlarge", "mode": "async", "min": 0})
    parsed = parse({"nexus:gpu_endpoint": text})
    assert parsed.gpu_endpoint is not None
    assert (parsed.gpu_endpoint.min, parsed.gpu_endpoint.max) == (0, 1)
    assert parse(parsed.context()) == parsed


def test_the_catalog_says_by_way_of_which_folders_an_endpoint_is_asked(tmp_path: Path) -> None:
    """One that is asked directly has none; where there is no endpoint, nothing is asked of the catalog."""
    assert checked(configured(tmp_path, REALTIME)) is None
    assert checked(configured(tmp_path, ASYNC, **LATER)).input == "s3://our-bucket/requests"
    assert checked(Config()) is None


@pytest.mark.parametrize(
    ("more", "changes", "told"),
    [
        ("", {}, "gpu_endpoint: no target in .*catalog.toml calls the endpoint.*'<provider>:ai-nexus-dev-gpu/"),
        (REALTIME.replace("dev-gpu", "prod-gpu"), {}, "no target"),
        (REALTIME, LATER, "gpu_endpoint.mode: 'async' is for targets of dialect 'sagemaker-async', but 'ours:"),
        (ASYNC, {}, "gpu_endpoint.mode: 'realtime' is for targets of dialect 'sagemaker', but 'later:"),
        (ASYNC.replace("our-bucket/failures", "other-bucket/failures"), LATER, "several buckets"),
        (
            ASYNC + ASYNC.replace("later", "again").replace("models.ours", "models.more").replace("requests", "asked"),
            LATER,
            "different folders",
        ),
    ],
)
def test_an_endpoint_that_nobody_could_call_is_refused(
    more: str, changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    """Before it costs anything: what the catalog's targets call must be what is deployed."""
    with pytest.raises(ConfigError, match=told):
        checked(configured(tmp_path, more, **changes))


def test_a_target_in_another_region_calls_another_endpoint(tmp_path: Path) -> None:
    """Names are a region's own."""
    elsewhere = REALTIME.replace("[providers.ours]", '[providers.ours]\nregion = "eu-west-1"')
    config = configured(tmp_path, elsewhere)
    with pytest.raises(ConfigError, match="no target"):
        checked(config.model_copy(update={"region": "us-east-1"}))
    assert checked(config.model_copy(update={"region": "eu-west-1"})) is None


def test_the_app_looks_at_the_catalog_before_it_builds(tmp_path: Path) -> None:
    """So that the refusal costs no synthesis."""
    with pytest.raises(ConfigError, match="no target"):
        app.bundle_all(configured(tmp_path, ""))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"image": str(CLOUD_RUN["image"]).partition("@")[0] + ":1"}, ".image: must name the image by its digest"),
        ({"image": IMAGE}, ".image: must lie in Artifact Registry"),
        ({"region": "eu-west-1"}, '.region: "eu-west-1" does not match'),
        ({"deployer": "me@example.com"}, '.deployer: "me@example.com" does not match'),
        ({"cpu": 2}, ".cpu: must be 4 or 8, not 2"),
        ({"memory_gib": 8}, ".memory_gib: 8 is wrong: it must be greater than or equal to 16"),
        ({"canary": 100}, ".canary: 100 is wrong: it must be less than or equal to 99"),
        ({"min": 3}, ": min 3 is more than max 2"),
        ({"gpus": 1}, ".gpus: is not a field here"),
    ],
)
def test_a_mistake_about_cloud_run_is_told_with_its_field(changes: dict[str, object], told: str) -> None:
    """As those about SageMaker are."""
    with pytest.raises(ConfigError) as error:
        parse({"nexus:cloud_run": {**CLOUD_RUN, **changes}})
    assert str(error.value).startswith(f"nexus:cloud_run{told}")


def at_google(folder: Path, more: str) -> Config:
    """A deployment with a Cloud Run service and a catalog."""
    return parse({"nexus:catalog": str(catalog(folder, more)), "nexus:cloud_run": CLOUD_RUN})


def test_the_catalog_says_who_calls_a_cloud_run_service(tmp_path: Path) -> None:
    """Who is admitted is who the gateway stands for."""
    config = at_google(tmp_path, SERVICE)
    caller = identity(config, compile_catalog(config.catalog_file))
    assert caller is not None
    assert caller.service_account == "nexus-caller@our-project.iam.gserviceaccount.com"
    assert identity(Config(), b"") is None


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("", "cloud_run: no target in .*catalog.toml calls .*https://ai-nexus-dev-gpu-<project number>.europe-west4"),
        (SERVICE.replace("europe-west4.run", "us-east4.run"), "no target"),
        (SERVICE.replace("dev-gpu", "dev-gpux"), "no target"),
        (SERVICE.partition("[providers.run.identity]")[0] + "[models" + SERVICE.partition("[models")[2], "no target"),
        (
            SERVICE
            + SERVICE.replace(".run", ".two")
            .replace("run:", "two:")
            .replace("there", "two")
            .replace("nexus-caller", "another")
            .replace(".two.app", ".run.app"),
            "as several accounts",
        ),
    ],
)
def test_a_service_that_nobody_could_call_is_refused(more: str, told: str, tmp_path: Path) -> None:
    """It admits the gateway's account alone, so without a target nobody comes in."""
    config = at_google(tmp_path, more)
    with pytest.raises(ConfigError, match=told):
        identity(config, compile_catalog(config.catalog_file))
    with pytest.raises(ConfigError, match=told):
        app.bundle_all(config)
