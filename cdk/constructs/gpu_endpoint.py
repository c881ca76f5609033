"""Our GPU service as an endpoint of SageMaker: asked directly, or by way of S3 and then with no instance while idle.

No volume is sized and no key is named for one: instances with a GPU have disks of their own, encrypted by the hardware.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import Aws, Duration, RemovalPolicy
from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from cdk.constructs.excuses import excuse
from cdk.constructs.log import RETENTION
from cdk.targets import bucket_of, folders
from cdk.upstreams import s3_arn, unnamed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdk.clouds import GpuEndpoint as Wanted
    from shared.core.catalog import Storage

AMI: Final = "al2023-ami-sagemaker-inference-gpu-4-1"  # the one with a driver for CUDA 13 (580)
VARIANT: Final = "AllTraffic"
DIMENSION: Final = "sagemaker:variant:DesiredInstanceCount"
METRICS: Final = "AWS/SageMaker"
DRAIN_SECONDS: Final = 25  # SageMaker kills 30 s after its SIGTERM
QUIET_SECONDS, QUICK_SECONDS = 300, 60  # between two steps down, and two steps up
UNDER_WAY: Final = scaling.CfnScalingPolicy.PredefinedMetricSpecificationProperty(
    predefined_metric_type="SageMakerVariantConcurrentRequestsPerModelHighResolution"
)
EXCUSED: Final = {
    "AwsSolutions-S1": "Requests and answers lie here for seconds, and the gateway's own log tells of each.",
    "AwsSolutions-IAM5[Resource::*]": "ECR hands out its token for no repository in particular; metrics have no ARN.",
}


class GpuEndpoint(Construct):
    """The endpoint, what it may touch, and how many instances it has."""

    def __init__(self, scope: Construct, *, name: str, wanted: Wanted, storage: Storage | None) -> None:
        """Build the endpoint `name`; `storage` says where it is asked by way of S3, None asks it directly."""
        super().__init__(scope, "GpuEndpoint")
        self._name = name
        role = self._role(wanted)
        if storage:
            self._bucket(storage, role)
        model = self._model(wanted, role)
        config = self._config(wanted, storage, model)
        self.endpoint = sagemaker.CfnEndpoint(
            self,
            "Endpoint",
            endpoint_name=name,
            endpoint_config_name=config.attr_endpoint_config_name,
            retain_all_variant_properties=wanted.min < wanted.max,  # or an update would undo what scaling has done
        )
        if wanted.min < wanted.max:
            self._scale(wanted)
        excuse(self, EXCUSED)

    def _role(self, wanted: Wanted) -> iam.Role:
        """Let SageMaker fetch image and archive, and the container write its log."""
        log = logs.LogGroup(
            self,
            "Log",
            log_group_name=f"/aws/sagemaker/Endpoints/{self._name}",
            retention=RETENTION,
            removal_policy=RemovalPolicy.DESTROY,
        )
        account = {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com", conditions=account))
        registry, _, repository = wanted.image.partition("@")[0].partition("/")
        account_id, region = registry.split(".")[0], registry.split(".")[3]
        pull = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
        _allow(role, "Image", pull, [f"arn:{Aws.PARTITION}:ecr:{region}:{account_id}:repository/{repository}"])
        _allow(role, "Registry", ("ecr:GetAuthorizationToken",), ["*"])
        _allow(
            role, "Log", ("logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"), [log.log_group_arn]
        )
        metrics = {"StringEquals": {"cloudwatch:namespace": "/aws/sagemaker/Endpoints"}}
        _allow(role, "Metrics", ("cloudwatch:PutMetricData",), ["*"], metrics)
        if wanted.model_data:
            _allow(role, "Model", ("s3:GetObject",), [s3_arn(wanted.model_data)])
        return role

    def _bucket(self, storage: Storage, role: iam.Role) -> None:
        """Build the bucket that the catalog names, for what lies there until it is fetched."""
        names = folders(storage)
        bucket = s3.Bucket(
            self,
            "Bucket",
            bucket_name=bucket_of(storage.input),
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            lifecycle_rules=[
                s3.LifecycleRule(expiration=Duration.days(1), abort_incomplete_multipart_upload_after=Duration.days(1))
            ],
            removal_policy=RemovalPolicy.DESTROY,
        )
        requests, *answers = [s3_arn(f"{folder}/*") for folder in names]
        _allow(role, "Requests", ("s3:GetObject",), [requests])
        _allow(role, "Answers", ("s3:AbortMultipartUpload", "s3:PutObject"), answers)
        _allow(role, "Bucket", ("s3:ListBucket",), [bucket.bucket_arn])
        excuse(role, unnamed(self, [requests, *answers]))

    def _model(self, wanted: Wanted, role: iam.Role) -> sagemaker.CfnModel:
        """Say what runs: without any network but SageMaker's own calls of it."""
        own = {"GPU_SERVICE_AUTH": "platform", "DEVICE": "cuda", "DRAIN_SECONDS": str(DRAIN_SECONDS)}
        container = sagemaker.CfnModel.ContainerDefinitionProperty(
            image=wanted.image, model_data_url=wanted.model_data, environment={**own, **wanted.environment}
        )
        model = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=role.role_arn,
            primary_container=container,
            enable_network_isolation=True,
        )
        model.node.add_dependency(role)  # with its policy: SageMaker looks at image and archive at once
        return model

    def _config(
        self, wanted: Wanted, storage: Storage | None, model: sagemaker.CfnModel
    ) -> sagemaker.CfnEndpointConfig:
        """Say where it runs. It has no name of its own, so that a change makes another and the endpoint moves over."""
        of = sagemaker.CfnEndpointConfig
        variant = of.ProductionVariantProperty(
            variant_name=VARIANT,
            model_name=model.attr_model_name,
            instance_type=wanted.instance_type,
            initial_instance_count=max(1, wanted.min),
            initial_variant_weight=1,
            inference_ami_version=AMI,
            container_startup_health_check_timeout_in_seconds=wanted.startup_seconds,
            model_data_download_timeout_in_seconds=wanted.startup_seconds if wanted.model_data else None,
            routing_config=of.RoutingConfigProperty(routing_strategy="LEAST_OUTSTANDING_REQUESTS"),
        )
        later = storage and of.AsyncInferenceConfigProperty(
            client_config=of.AsyncInferenceClientConfigProperty(
                max_concurrent_invocations_per_instance=wanted.concurrency
            ),
            output_config=of.AsyncInferenceOutputConfigProperty(
                s3_output_path=storage.output, s3_failure_path=storage.failure or None
            ),
        )
        return of(self, "Config", production_variants=[variant], async_inference_config=later or None)

    def _scale(self, wanted: Wanted) -> None:
        """Follow the requests: those under way, or those that wait."""
        target = scaling.CfnScalableTarget(
            self,
            "Instances",
            service_namespace="sagemaker",
            resource_id=f"endpoint/{self.endpoint.attr_endpoint_name}/variant/{VARIANT}",
            scalable_dimension=DIMENSION,
            min_capacity=wanted.min,
            max_capacity=wanted.max,
        )
        of = scaling.CfnScalingPolicy
        scaling.CfnScalingPolicy(
            self,
            "Follow",
            policy_name=f"{self._name}-follow",
            policy_type="TargetTrackingScaling",
            scaling_target_id=target.ref,
            target_tracking_scaling_policy_configuration=of.TargetTrackingScalingPolicyConfigurationProperty(
                target_value=wanted.concurrency,
                scale_in_cooldown=QUIET_SECONDS,
                scale_out_cooldown=QUICK_SECONDS,
                predefined_metric_specification=UNDER_WAY if wanted.mode == "realtime" else None,
                customized_metric_specification=self._waiting() if wanted.mode == "async" else None,
            ),
        )
        if wanted.min == 0:
            self._wake(target)

    def _waiting(self) -> scaling.CfnScalingPolicy.CustomizedMetricSpecificationProperty:
        """Count the requests that wait, for each instance."""
        of = scaling.CfnScalingPolicy
        return of.CustomizedMetricSpecificationProperty(
            namespace=METRICS,
            metric_name="ApproximateBacklogSizePerInstance",
            dimensions=[of.MetricDimensionProperty(name="EndpointName", value=self._name)],
            statistic="Average",
        )

    def _wake(self, target: scaling.CfnScalableTarget) -> None:
        """Start the first instance: without one there is no backlog per instance to follow."""
        of = scaling.CfnScalingPolicy
        policy = scaling.CfnScalingPolicy(
            self,
            "Wake",
            policy_name=f"{self._name}-wake",
            policy_type="StepScaling",
            scaling_target_id=target.ref,
            step_scaling_policy_configuration=of.StepScalingPolicyConfigurationProperty(
                adjustment_type="ChangeInCapacity",
                metric_aggregation_type="Average",
                cooldown=QUIET_SECONDS,
                step_adjustments=[of.StepAdjustmentProperty(metric_interval_lower_bound=0, scaling_adjustment=1)],
            ),
        )
        cloudwatch.CfnAlarm(
            self,
            "Waiting",
            alarm_description="Requests wait for the GPU service, which has no instance",
            namespace=METRICS,
            metric_name="HasBacklogWithoutCapacity",
            dimensions=[cloudwatch.CfnAlarm.DimensionProperty(name="EndpointName", value=self._name)],
            statistic="Average",
            period=60,
            evaluation_periods=2,
            datapoints_to_alarm=2,
            threshold=1,
            comparison_operator="GreaterThanOrEqualToThreshold",
            treat_missing_data="missing",
            alarm_actions=[policy.ref],
        )


def _allow(
    role: iam.Role, name: str, actions: tuple[str, ...], arns: list[str], conditions: Mapping[str, object] | None = None
) -> None:
    role.add_to_policy(
        iam.PolicyStatement(sid=name, actions=list(actions), resources=arns, conditions=dict(conditions or {}))
    )
