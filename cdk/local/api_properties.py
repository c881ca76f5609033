"""Which properties of API Gateway's resources are emulated, which change nothing here, and which are refused.

A property that is in neither list is an error: a deployment must never behave otherwise than what was seen here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cdk.local.api import TemplateError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "AWS::ApiGateway::"

EMULATED: dict[str, frozenset[str]] = {
    "RestApi": frozenset({"ApiKeySourceType", "EndpointConfiguration"}),
    "Resource": frozenset({"ParentId", "PathPart", "RestApiId"}),
    "Method": frozenset(
        {"ApiKeyRequired", "AuthorizationType", "AuthorizerId", "HttpMethod", "Integration", "ResourceId", "RestApiId"}
    ),
    "Method.Integration": frozenset(
        {"IntegrationHttpMethod", "ResponseTransferMode", "TimeoutInMillis", "Type", "Uri", "ConnectionType"}
    ),
    "Authorizer": frozenset({"AuthorizerResultTtlInSeconds", "AuthorizerUri", "IdentitySource", "RestApiId", "Type"}),
    "GatewayResponse": frozenset(
        {"ResponseParameters", "ResponseTemplates", "ResponseType", "RestApiId", "StatusCode"}
    ),
    "Stage": frozenset({"DeploymentId", "MethodSettings", "RestApiId", "StageName", "Variables"}),
    "Stage.MethodSetting": frozenset({"HttpMethod", "ResourcePath", "ThrottlingBurstLimit", "ThrottlingRateLimit"}),
    "Deployment": frozenset({"RestApiId"}),
    "ApiKey": frozenset({"Enabled", "Value"}),
    "UsagePlan": frozenset({"ApiStages", "Quota", "Throttle"}),
    "UsagePlan.ApiStage": frozenset({"ApiId", "Stage"}),
    "UsagePlanKey": frozenset({"KeyId", "KeyType", "UsagePlanId"}),
    "Account": frozenset(),
}

# They describe, or steer logs, traces, TLS and tags, which no request can tell.
INERT: dict[str, frozenset[str]] = {
    "RestApi": frozenset({"Description", "FailOnWarnings", "Name", "SecurityPolicy", "Tags", "Parameters"}),
    "Resource": frozenset(),
    "Method": frozenset({"MethodResponses", "OperationName"}),
    "Method.Integration": frozenset({"CacheKeyParameters", "CacheNamespace", "IntegrationResponses"}),
    "Authorizer": frozenset({"AuthType", "Name"}),
    "GatewayResponse": frozenset(),
    "Stage": frozenset({"AccessLogSetting", "Description", "DocumentationVersion", "Tags", "TracingEnabled"}),
    "Stage.MethodSetting": frozenset({"DataTraceEnabled", "LoggingLevel", "MetricsEnabled"}),
    "Deployment": frozenset({"Description"}),
    "ApiKey": frozenset({"CustomerId", "Description", "Name", "Tags"}),
    "UsagePlan": frozenset({"Description", "Tags", "UsagePlanName"}),
    "UsagePlan.ApiStage": frozenset(),
    "UsagePlanKey": frozenset(),
    "Account": frozenset({"CloudWatchRoleArn"}),
}

# Values that say no more than the default: the property may stand there, its other values are refused.
HARMLESS: dict[tuple[str, str], tuple[Any, ...]] = {
    ("RestApi", "DisableExecuteApiEndpoint"): (False,),
    ("RestApi", "BinaryMediaTypes"): ([],),
    ("Stage", "CacheClusterEnabled"): (False,),
    ("Stage.MethodSetting", "CachingEnabled"): (False,),
    ("Stage.MethodSetting", "CacheDataEncrypted"): (False, True),
    ("UsagePlan.ApiStage", "Throttle"): ({},),
    ("Method", "RequestParameters"): ({},),
    ("Method", "RequestModels"): ({},),
    ("Method.Integration", "RequestParameters"): ({},),
    ("Method.Integration", "RequestTemplates"): ({},),
    ("Method.Integration", "PassthroughBehavior"): ("WHEN_NO_MATCH",),
}


def kind_of(logical_id: str, resource: Mapping[str, Any]) -> str | None:
    """Return the type's last word when it is API Gateway's, None when it is not.

    Raises:
        TemplateError: it is API Gateway's, and not emulated.
    """
    name = str(resource["Type"])
    if not name.startswith(("AWS::ApiGateway", "AWS::ApiGatewayV2")):
        return None
    kind = name.removeprefix(PREFIX)
    if kind not in EMULATED or not name.startswith(PREFIX):
        raise TemplateError(f"{logical_id}: {name} is not emulated by the local API Gateway.")
    return kind


def check(logical_id: str, kind: str, properties: Mapping[str, Any]) -> None:
    """Refuse every property whose effect would be missing here.

    Raises:
        TemplateError: names the resource and the property.
    """
    for name, value in properties.items():
        if name in EMULATED[kind] or name in INERT[kind] or value in HARMLESS.get((kind, name), ()):
            continue
        raise TemplateError(f"{logical_id}: {kind}.{name} is not emulated by the local API Gateway.")
