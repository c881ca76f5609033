"""The GPU service at SageMaker: what is deployed where one is configured, and that nothing is where none is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Template

from cdk import synth
from cdk.clouds import GpuEndpoint as Wanted
from cdk.constructs.gpu_endpoint import GpuEndpoint
from cdk.local import coverage
from cdk.local.deploy import split
from cdk.local.substitutions import Place, absent
from shared.manifest import FUNCTIONS
from tests.cdk.gpu_catalogs import ENDPOINT, IMAGE
from tests.cdk.test_functions import listed, statements
from tests.cdk.test_upstreams import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDERS = {"requests": "our-bucket/requests/*", "answers": "our-bucket/answers/*", "failures": "our-bucket/failures/*"}


@pytest.fixture(scope="module")
def resources(clouds: Path) -> dict[str, Any]:
    """All resources of it."""
    found: dict[str, Any] = synth.template(clouds)["Resources"]
    return found


@pytest.fixture(scope="module")
def direct() -> dict[str, Any]:
    """The resources of an endpoint that is asked directly."""
    return alone(ENDPOINT)


def alone(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The resources of an endpoint that is asked directly, with nothing around it."""
    stack = Stack()
    GpuEndpoint(stack, name="ai-nexus-dev-gpu", wanted=Wanted.model_validate(wanted), storage=None)
    found: dict[str, Any] = Template.from_stack(stack).to_json()["Resources"]
    return found


def all_of(resources: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """The properties of each resource of a type."""
    return [resource["Properties"] for resource in resources.values() if resource["Type"] == f"AWS::{kind}"]


def role(resources: Mapping[str, Any]) -> dict[str, Any]:
    """What the endpoint's role may do, by the statements' names."""
    [policy] = [policy for name, policy in resources.items() if name.startswith("GpuEndpointRoleDefaultPolicy")]
    return {statement["Sid"]: statement for statement in policy["Properties"]["PolicyDocument"]["Statement"]}


def test_both_validators_are_content(clouds: Path) -> None:
    """CDK's own, and cfn-lint."""
    [plugin] = json.loads((clouds / "validation-report.json").read_text())["pluginReports"]
    assert plugin["violations"] == []
    command = [str(Path(sys.executable).with_name("cfn-lint")), str(clouds / f"{synth.STACK}.template.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_a_configuration_there_is_nothing_of_it(template: Mapping[str, Any], resources: dict[str, Any]) -> None:
    """No resource and no permission; and with one nothing goes, and nothing comes but what is its own."""
    assert "SageMaker" not in json.dumps(template)
    assert "sagemaker" not in json.dumps(template)
    assert "CloudRun" not in json.dumps(template)
    assert not template["Resources"].keys() - resources.keys()
    assert {
        name
        for name in resources.keys() - template["Resources"].keys()
        if not name.startswith(("CloudRun", "GpuEndpoint"))
    } == set()


def test_it_starts_the_pinned_image_on_the_ami_of_its_cuda(resources: dict[str, Any]) -> None:
    """With the driver that CUDA 13 needs, time to try every shape, and no network of its own."""
    [model] = all_of(resources, "SageMaker::Model")
    assert model["PrimaryContainer"]["Image"] == IMAGE
    assert (
        model["PrimaryContainer"]["Environment"].items() >= {"GPU_SERVICE_AUTH": "platform", "DEVICE": "cuda"}.items()
    )
    assert model["PrimaryContainer"]["ModelDataUrl"] == "s3://models/minilm/model.tar.gz"
    assert model["EnableNetworkIsolation"] is True
    [variant] = all_of(resources, "SageMaker::EndpointConfig")[0]["ProductionVariants"]
    assert variant["InferenceAmiVersion"] == "al2023-ami-sagemaker-inference-gpu-4-1"
    assert variant["ContainerStartupHealthCheckTimeoutInSeconds"] == 600
    assert (variant["InstanceType"], variant["InitialInstanceCount"]) == ("ml.g5.xlarge", 1)


def test_it_has_the_name_that_the_gateway_may_call(resources: dict[str, Any]) -> None:
    """What the catalog's target names is what is deployed, and what is granted."""
    [endpoint] = all_of(resources, "SageMaker::Endpoint")
    granted = statements(FUNCTIONS["gateway"], {"Resources": resources})["Asyncendpoints"]
    assert [plain(arn) for arn in listed(granted["Resource"])] == [
        f"arn:Partition:sagemaker:Region:AccountId:endpoint/{endpoint['EndpointName']}"
    ]


def test_requests_and_answers_go_through_the_one_bucket(resources: dict[str, Any]) -> None:
    """The folders of the catalog: what the gateway may lay down the endpoint may read, and the other way round."""
    [config] = all_of(resources, "SageMaker::EndpointConfig")
    output = config["AsyncInferenceConfig"]["OutputConfig"]
    assert output == {"S3OutputPath": "s3://our-bucket/answers", "S3FailurePath": "s3://our-bucket/failures"}
    gateway, endpoint = statements(FUNCTIONS["gateway"], {"Resources": resources}), role(resources)
    arns = {name: f"arn:Partition:s3:::{folder}" for name, folder in FOLDERS.items()}
    assert "s3:PutObject" in gateway["Asyncrequests"]["Action"]
    assert endpoint["Requests"]["Action"] == "s3:GetObject"
    for side in (gateway["Asyncrequests"], endpoint["Requests"]):
        assert [plain(arn) for arn in listed(side["Resource"])] == [arns["requests"]]
    assert "s3:GetObject" in gateway["Asyncanswers"]["Action"]
    assert "s3:PutObject" in endpoint["Answers"]["Action"]
    for side in (gateway["Asyncanswers"], endpoint["Answers"]):
        assert sorted(plain(arn) for arn in listed(side["Resource"])) == [arns["answers"], arns["failures"]]


def test_what_lies_in_the_bucket_is_private_and_gone_after_a_day(resources: dict[str, Any]) -> None:
    """A prompt that nobody took away is not kept."""
    own = {name: one for name, one in resources.items() if name.startswith("GpuEndpoint")}
    [bucket] = all_of(own, "S3::Bucket")
    assert bucket["BucketName"] == "our-bucket"
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"] == 1
    assert bucket["BucketEncryption"]
    [policy] = all_of(own, "S3::BucketPolicy")
    [statement] = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_its_role_may_fetch_its_own_image_and_archive_alone(resources: dict[str, Any], direct: dict[str, Any]) -> None:
    """And write its log; what has no name in IAM is the registry's token and the metrics."""
    allowed = role(resources)
    assert plain(allowed["Image"]["Resource"]) == "arn:Partition:ecr:us-east-1:123456789012:repository/ml/gpu-service"
    assert plain(allowed["Model"]["Resource"]) == "arn:Partition:s3:::models/minilm/model.tar.gz"
    assert {sid for sid, statement in allowed.items() if statement["Resource"] == "*"} == {"Registry", "Metrics"}
    assert allowed["Registry"]["Action"] == "ecr:GetAuthorizationToken"
    assert allowed["Metrics"]["Condition"]
    assert role(direct).keys() == {"Image", "Registry", "Log", "Metrics"}


def test_it_sleeps_without_an_instance_and_the_first_request_wakes_it(resources: dict[str, Any]) -> None:
    """The backlog for each instance cannot wake an endpoint that has none; a backlog without capacity does."""
    [target] = all_of(resources, "ApplicationAutoScaling::ScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 3)
    policies = {policy["PolicyType"]: policy for policy in all_of(resources, "ApplicationAutoScaling::ScalingPolicy")}
    tracked = policies["TargetTrackingScaling"]["TargetTrackingScalingPolicyConfiguration"]
    assert tracked["CustomizedMetricSpecification"]["MetricName"] == "ApproximateBacklogSizePerInstance"
    [step] = policies["StepScaling"]["StepScalingPolicyConfiguration"]["StepAdjustments"]
    assert step == {"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}
    [(name, _)] = [(name, r) for name, r in resources.items() if name.startswith("GpuEndpointWake")]
    [alarm] = [a for a in all_of(resources, "CloudWatch::Alarm") if a.get("MetricName") == "HasBacklogWithoutCapacity"]
    assert alarm["AlarmActions"] == [{"Ref": name}]
    assert alarm["Dimensions"] == [{"Name": "EndpointName", "Value": "ai-nexus-dev-gpu"}]
    [endpoint] = all_of(resources, "SageMaker::Endpoint")
    assert endpoint["RetainAllVariantProperties"] is True


def test_one_that_is_asked_directly_follows_the_requests_under_way(direct: dict[str, Any]) -> None:
    """It keeps an instance, and has neither bucket nor anything that would wake it."""
    [target] = all_of(direct, "ApplicationAutoScaling::ScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 3)
    [policy] = all_of(direct, "ApplicationAutoScaling::ScalingPolicy")
    tracked = policy["TargetTrackingScalingPolicyConfiguration"]
    assert tracked["PredefinedMetricSpecification"] == {
        "PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"
    }
    assert tracked["TargetValue"] == 16
    assert not [name for name in direct if name.startswith(("GpuEndpointBucket", "GpuEndpointWa"))]
    assert "AsyncInferenceConfig" not in all_of(direct, "SageMaker::EndpointConfig")[0]


def test_with_as_many_instances_as_there_may_be_nothing_scales() -> None:
    """Then SageMaker lets the type of the instances change, and their number is what an update says."""
    built = alone({**ENDPOINT, "max": 1})
    assert not all_of(built, "ApplicationAutoScaling::ScalableTarget")
    assert all_of(built, "SageMaker::Endpoint")[0]["RetainAllVariantProperties"] is False


def test_the_local_run_starts_with_it_and_says_that_it_is_not_there(clouds: Path) -> None:
    """Every property is in the table, every reference answered, and a sentence tells that nobody serves it here."""
    template = synth.template(clouds)
    assert coverage.missing(template["Resources"]) == set()
    plan = split(template, template["Resources"], Place("127.0.0.1", 1))
    assert not [
        name for name in plan.body["Resources"] if template["Resources"][name]["Type"].startswith("AWS::SageMaker")
    ]
    told = absent(resource["Type"] for resource in template["Resources"].values())
    assert [sentence.partition(" ")[0] for sentence in told] == ["nexus:gpu_endpoint", "nexus:cloud_run"]
