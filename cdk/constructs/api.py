"""The regional REST API: the manifest's routes, the authorizer, the tiers' usage plans, refusals and access log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

from aws_cdk import Aws, Duration, Fn, RemovalPolicy
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_logs as logs
from constructs import Construct

from cdk.constructs.excuses import excuse
from cdk.constructs.log import RETENTION
from cdk.constructs.log_account import LogAccount
from cdk.constructs.refusals import add_refusals
from shared import manifest, parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aws_cdk import aws_lambda as lambda_
    from aws_cdk.aws_apigateway import CfnAuthorizer

EXCUSED: Final = {
    "AwsSolutions-APIG2": (
        "The functions parse the body once into typed requests and name the wrong field in the error envelope. "
        "A request model here could not (it knows neither), and would be a second description of the same dialects."
    ),
    "AwsSolutions-APIG6": (
        "Execution logs hold headers and bodies, so keys and prompts, and stay empty for streamed answers. "
        "The access log and the functions' own structured events carry what is needed to follow a request."
    ),
    "AwsSolutions-COG4": "Clients send API keys or JWTs of the team's own issuer, which the Lambda authorizer checks.",
}
EXCUSED_OPEN: Final = {
    "AwsSolutions-APIG4": (
        "Monitors and load balancers hold no key, and ask only for health, which tells of no tenant. Who asks for a "
        "token has none yet, and who verifies one reads public keys."
    ),
}
EXCUSED_PREFLIGHT: Final = {
    "AwsSolutions-APIG4": "A browser sends no credentials with the question whether it may send any.",
}
EXCUSED_WITHOUT_FIREWALL: Final = {
    "AwsSolutions-APIG3": "The operator switched the web ACL off (nexus:waf), which saves its monthly price.",
}
# No address, agent or query: nothing personal is in the log, where users have pseudonyms. A key's id is not its secret.
ACCESS_LOG: Final = {
    "request_id": "$context.requestId",  # the x-request-id of a refusal
    "function_request_id": "$context.integration.requestId",  # that of a function's answer, and in the function's log
    "time": "$context.requestTimeEpoch",
    "method": "$context.httpMethod",
    "route": "$context.resourcePath",
    "status": "$context.status",
    "refusal": "$context.error.responseType",
    "key_id": "$context.authorizer.logged_as",
    "bytes": "$context.responseLength",
    "latency_ms": "$context.responseLatency",
    "function_latency_ms": "$context.integration.latency",
    "first_byte_ms": "$context.integration.timeToFirstContent",
    "transfer_mode": "$context.integration.responseTransferMode",
}
OPEN_RATE: Final = (
    50  # a second, and at once; for each keyless route, so that nobody without a key can occupy a function
)


class Api(Construct):
    """The one door: everything a client can reach, and nothing that the manifest does not list."""

    def __init__(
        self,
        scope: Construct,
        *,
        name: str,
        stage: str,
        functions: Mapping[str, lambda_.Function],
        own_log_account: bool,
        firewall: bool,
        origins: Sequence[str] = (),
    ) -> None:
        """Build it for `functions` (by their name in the manifest), and for web pages of `origins`."""
        super().__init__(scope, "Api")
        log = logs.LogGroup(self, "AccessLog", retention=RETENTION, removal_policy=RemovalPolicy.DESTROY)
        self.api = apigateway.RestApi(
            self,
            "Rest",
            rest_api_name=name,
            endpoint_types=[apigateway.EndpointType.REGIONAL],  # an edge endpoint cuts streams idle for 30 s
            api_key_source_type=apigateway.ApiKeySourceType.AUTHORIZER,
            cloud_watch_role=False,
            deploy_options=_stage(stage, log, preflights=bool(origins)),
        )
        if own_log_account:
            self.api.deployment_stage.node.add_dependency(LogAccount(self))
        authorizer = apigateway.RequestAuthorizer(
            self,
            "Authorizer",
            handler=functions[manifest.AUTHORIZER],
            identity_sources=[],  # clients differ in the header they send, so none can be demanded here
            results_cache_ttl=Duration.seconds(0),
        )
        resource = cast("CfnAuthorizer", authorizer.node.default_child)
        resource.add_property_deletion_override("IdentitySource")  # CDK writes "", which is no source's name
        for route in manifest.ROUTES:
            self._add(route, functions[route.function], authorizer)
        if origins:
            self._add_preflights(functions)
        add_refusals(self.api, origins)
        self.plans = {plan.tier: self._sell(plan) for plan in manifest.PLANS}
        excuse(self, EXCUSED if firewall else {**EXCUSED, **EXCUSED_WITHOUT_FIREWALL})

    @property
    def url(self) -> str:
        """Base URL of the deployed stage, without a slash at its end."""
        stage = self.api.deployment_stage.stage_name
        return f"https://{self.api.rest_api_id}.execute-api.{Aws.REGION}.{Aws.URL_SUFFIX}/{stage}"

    def _add(self, route: parts.Route, function: lambda_.Function, authorizer: apigateway.IAuthorizer) -> None:
        integration = _integration(function, manifest.FUNCTIONS[route.function])
        closed = route.auth == "key"
        method = self.api.root.resource_for_path(route.path).add_method(
            route.method,
            integration,
            authorizer=authorizer if closed else None,
            authorization_type=None if closed else apigateway.AuthorizationType.NONE,
            api_key_required=closed,
        )
        if not closed:
            excuse(method, EXCUSED_OPEN)

    def _add_preflights(self, functions: Mapping[str, lambda_.Function]) -> None:
        """Add the method by which a browser asks, before a page's request, whether it may send that."""
        for path, function in _paths().items():
            integration = _integration(functions[function], manifest.FUNCTIONS[function])
            resource = self.api.root.resource_for_path(path)
            kind = apigateway.AuthorizationType.NONE
            excuse(resource.add_method("OPTIONS", integration, authorization_type=kind), EXCUSED_PREFLIGHT)

    def _sell(self, plan: parts.Plan) -> str:
        """Add a tier's usage plan and the key that those share who have none of their own; returns the plan's id."""
        key = apigateway.ApiKey(
            self, f"{plan.tier.capitalize()}Key", value=f"{usage_key_prefix()}-{plan.tier}", description=plan.tier
        )
        usage = self.api.add_usage_plan(
            f"{plan.tier.capitalize()}Plan",
            name=f"{Aws.STACK_NAME}-{plan.tier}",
            throttle=apigateway.ThrottleSettings(rate_limit=plan.rate, burst_limit=plan.burst),
            api_stages=[apigateway.UsagePlanPerApiStage(api=self.api, stage=self.api.deployment_stage)],
        )
        usage.add_api_key(key)
        return usage.usage_plan_id


def _integration(function: lambda_.Function, spec: parts.Function) -> apigateway.LambdaIntegration:
    mode = apigateway.ResponseTransferMode
    return apigateway.LambdaIntegration(
        function,
        response_transfer_mode=mode.STREAM if spec.streams else mode.BUFFERED,
        timeout=Duration.seconds(spec.timeout_s),
        scope_permission_to_method=False,  # one permission a function: forty routes would overflow its policy
    )


def _paths() -> dict[str, str]:
    """Return every path that has a route, with the function of one."""
    return {route.path: route.function for route in manifest.ROUTES}


def usage_key_prefix() -> str:
    """Return what starts the value of each tier's key: unique to this stack, long enough for API Gateway, no secret."""
    return Fn.select(2, Fn.split("/", Aws.STACK_ID))


def _stage(name: str, log: logs.LogGroup, *, preflights: bool) -> apigateway.StageOptions:
    limited = apigateway.MethodDeploymentOptions(throttling_rate_limit=OPEN_RATE, throttling_burst_limit=OPEN_RATE)
    keyless = [f"{route.path}/{route.method}" for route in manifest.ROUTES if route.auth == "none"]
    return apigateway.StageOptions(
        stage_name=name,
        access_log_destination=apigateway.LogGroupLogDestination(log),
        access_log_format=apigateway.AccessLogFormat.custom(json.dumps(ACCESS_LOG)),
        metrics_enabled=False,  # those of each method cost 0.30 USD a month apiece; those of the whole stage are free
        method_options=dict.fromkeys(
            [*keyless, *([f"{path}/OPTIONS" for path in _paths()] if preflights else [])], limited
        ),
    )
