"""The deployed API is the manifest's routes, behind the authorizer, with every refusal in our own envelope."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from shared import manifest
from shared.core import errors
from shared.manifest import FUNCTIONS, PLANS, ROUTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.parts import Route

    Select = Callable[[str], dict[str, Any]]

EVERY_ROUTE = pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
# https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
RESPONSE_TYPES = {
    *("ACCESS_DENIED", "API_CONFIGURATION_ERROR", "AUTHORIZER_CONFIGURATION_ERROR", "AUTHORIZER_FAILURE"),
    *("BAD_REQUEST_BODY", "BAD_REQUEST_PARAMETERS", "DEFAULT_4XX", "DEFAULT_5XX", "EXPIRED_TOKEN"),
    *("INTEGRATION_FAILURE", "INTEGRATION_TIMEOUT", "INVALID_API_KEY", "INVALID_SIGNATURE"),
    *("MISSING_AUTHENTICATION_TOKEN", "QUOTA_EXCEEDED", "REQUEST_TOO_LARGE", "RESOURCE_NOT_FOUND", "THROTTLED"),
    *("UNAUTHORIZED", "UNSUPPORTED_MEDIA_TYPE", "WAF_FILTERED"),
}


@pytest.fixture(scope="session")
def methods(template: Mapping[str, Any], of_type: Select) -> dict[tuple[str, str], dict[str, Any]]:
    """Every deployed method by (method, path)."""

    def path(reference: dict[str, Any]) -> str:
        if "Fn::GetAtt" in reference:  # of the root
            return ""
        resource = template["Resources"][reference["Ref"]]["Properties"]
        return f"{path(resource['ParentId'])}/{resource['PathPart']}"

    found = [method["Properties"] for method in of_type("ApiGateway::Method").values()]
    return {(method["HttpMethod"], path(method["ResourceId"])): method for method in found}


@pytest.fixture(scope="session")
def refusals(of_type: Select) -> dict[str, dict[str, Any]]:
    """Every gateway response by its type."""
    found = [response["Properties"] for response in of_type("ApiGateway::GatewayResponse").values()]
    return {response["ResponseType"]: response for response in found}


def test_the_routes_are_the_manifests(methods: Mapping[tuple[str, str], Any]) -> None:
    """Nothing is reachable that the manifest does not list, and all that it lists is."""
    assert methods.keys() == {(route.method, route.path) for route in ROUTES}


@EVERY_ROUTE
def test_a_route_reaches_its_function_in_its_mode(
    route: Route, methods: Mapping[tuple[str, str], Any], template: Mapping[str, Any]
) -> None:
    """A streamed route uses Lambda's streaming call and its long timeout; any other the plain call."""
    integration, streams = methods[route.method, route.path]["Integration"], FUNCTIONS[route.function].streams
    function, call = integration["Uri"]["Fn::Join"][1][-2:]
    assert integration["Type"] == "AWS_PROXY"
    assert integration["ResponseTransferMode"] == ("STREAM" if streams else "BUFFERED")
    assert call == ("/response-streaming-invocations" if streams else "/invocations")
    assert integration["TimeoutInMillis"] == FUNCTIONS[route.function].timeout_s * 1_000
    handler = template["Resources"][function["Fn::GetAtt"][0]]["Properties"]["Handler"]
    assert handler == FUNCTIONS[route.function].handler


@EVERY_ROUTE
def test_a_route_asks_for_a_key_where_the_manifest_says(
    route: Route, methods: Mapping[tuple[str, str], Any], of_type: Select
) -> None:
    """A closed route goes through the authorizer and a usage plan; an open one through neither."""
    method = methods[route.method, route.path]
    [authorizer] = of_type("ApiGateway::Authorizer")
    closed = ("CUSTOM", True, {"Ref": authorizer})
    found = (method["AuthorizationType"], method["ApiKeyRequired"], method.get("AuthorizerId"))
    assert found == (closed if route.auth == "key" else ("NONE", False, None))


def test_the_authorizer_is_asked_every_time(of_type: Select) -> None:
    """No header is demanded before it runs and no verdict is cached: a key works in either header and dies at once."""
    [authorizer] = of_type("ApiGateway::Authorizer").values()
    assert authorizer["Properties"]["Type"] == "REQUEST"
    assert authorizer["Properties"]["AuthorizerResultTtlInSeconds"] == 0
    assert "IdentitySource" not in authorizer["Properties"]


def test_the_api_is_regional_and_takes_plans_from_the_authorizer(of_type: Select) -> None:
    """An edge endpoint would cut quiet streams; clients send no `x-api-key` of API Gateway's."""
    [api] = of_type("ApiGateway::RestApi").values()
    assert api["Properties"]["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    assert api["Properties"]["ApiKeySourceType"] == "AUTHORIZER"


def test_every_kind_of_refusal_is_ours(refusals: Mapping[str, Any]) -> None:
    """API Gateway has no words of its own left."""
    assert refusals.keys() == RESPONSE_TYPES


@pytest.mark.parametrize("kind", sorted(RESPONSE_TYPES))
def test_a_refusal_is_the_envelope_with_the_requests_id(kind: str, refusals: Mapping[str, Any]) -> None:
    """Both dialects' clients can parse it, and tell its id, by which support can find it."""
    body = json.loads(refusals[kind]["ResponseTemplates"]["application/json"])
    assert body["type"] == "error"
    assert body["error"].keys() == {"type", "message", "code", "param"}
    assert all(body["error"][name] for name in ("type", "message", "code"))
    for header in ("x-request-id", "request-id"):
        assert refusals[kind]["ResponseParameters"][f"gatewayresponse.header.{header}"] == "context.requestId"


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("ACCESS_DENIED", "401", "invalid_api_key"),
        ("UNAUTHORIZED", "401", "invalid_api_key"),
        ("MISSING_AUTHENTICATION_TOKEN", "404", "unknown_url"),
        ("REQUEST_TOO_LARGE", "413", "request_too_large"),
        ("THROTTLED", "429", "rate_limit_exceeded"),
        ("QUOTA_EXCEEDED", "429", "rate_limit_exceeded"),
        ("AUTHORIZER_FAILURE", "500", "internal_error"),
        ("INTEGRATION_TIMEOUT", "504", "upstream_timeout"),
    ],
)
def test_a_refusal_has_the_status_clients_expect(
    kind: str, status: str, code: str, refusals: Mapping[str, Any]
) -> None:
    """API Gateway's own 403 for a bad key or an unknown URL would send SDKs the wrong way."""
    assert refusals[kind]["StatusCode"] == status
    assert json.loads(refusals[kind]["ResponseTemplates"]["application/json"])["error"]["code"] == code


def test_a_refusal_has_the_type_that_the_functions_give_its_code(refusals: Mapping[str, Any]) -> None:
    """A client need not know who refused."""
    tree = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.GatewayError)]
    ours = {kind.code: kind.type for kind in tree}
    bodies = [json.loads(refusal["ResponseTemplates"]["application/json"])["error"] for refusal in refusals.values()]
    assert {body["code"]: body["type"] for body in bodies}.items() <= ours.items()


def test_a_denied_caller_reads_the_authorizers_reason(refusals: Mapping[str, Any]) -> None:
    """The message is the authorizer's, inserted between the template's own quotes."""
    assert (
        '"message":"$context.authorizer.message"' in refusals["ACCESS_DENIED"]["ResponseTemplates"]["application/json"]
    )


def test_whoever_is_throttled_is_told_to_wait(refusals: Mapping[str, Any]) -> None:
    """Every 429 says for how long, in API Gateway's quoted form of a constant."""
    too_many = [refusal for refusal in refusals.values() if refusal.get("StatusCode") == "429"]
    waits = [refusal["ResponseParameters"]["gatewayresponse.header.retry-after"] for refusal in too_many]
    assert sorted(waits) == ["'1'", "'3600'"]


def test_each_tier_has_its_plan_on_this_stage(of_type: Select) -> None:
    """Rates, bursts and the one key of each plan are the manifest's."""
    plans = of_type("ApiGateway::UsagePlan")
    [api], [stage] = of_type("ApiGateway::RestApi"), of_type("ApiGateway::Stage")
    found = {}
    for name, plan in plans.items():
        [on] = plan["Properties"]["ApiStages"]
        assert (on["ApiId"], on["Stage"]) == ({"Ref": api}, {"Ref": stage})
        tier = plan["Properties"]["UsagePlanName"]["Fn::Join"][1][-1].removeprefix("-")
        [link] = [
            k for k in of_type("ApiGateway::UsagePlanKey").values() if k["Properties"]["UsagePlanId"] == {"Ref": name}
        ]
        key = of_type("ApiGateway::ApiKey")[link["Properties"]["KeyId"]["Ref"]]["Properties"]
        assert key["Value"]["Fn::Join"][1][-1] == f"-{tier}"
        found[tier] = (plan["Properties"]["Throttle"]["RateLimit"], plan["Properties"]["Throttle"]["BurstLimit"])
    assert found == {plan.tier: (plan.rate, plan.burst) for plan in PLANS}


def test_nobody_without_a_key_can_flood_a_function(of_type: Select) -> None:
    """Each open route has a ceiling of its own on the stage."""
    [stage] = of_type("ApiGateway::Stage").values()
    limited = {
        (setting["HttpMethod"], setting["ResourcePath"].replace("~1", "/").removeprefix("/"))
        for setting in stage["Properties"]["MethodSettings"]
        if "ThrottlingRateLimit" in setting and setting["ThrottlingRateLimit"] <= 100
    }
    assert limited == {(route.method, route.path) for route in ROUTES if route.auth == "none"}


def test_the_access_log_holds_nothing_personal(of_type: Select) -> None:
    """No address, agent, query or body; the request's id and the streaming times are there."""
    [stage] = of_type("ApiGateway::Stage").values()
    line = json.loads(stage["Properties"]["AccessLogSetting"]["Format"])
    assert not [value for value in line.values() if "identity" in value or "input" in value or value == "$context.path"]
    assert line["key_id"] == "$context.authorizer.logged_as"  # and not the id itself: a token's names its user
    assert "principalId" not in str(line)
    assert line["request_id"] == "$context.requestId"
    assert line["function_request_id"] == "$context.integration.requestId"  # by which the function's log is found
    assert line["first_byte_ms"] == "$context.integration.timeToFirstContent"


def test_the_firewall_stands_before_the_stage_and_lets_prompts_through(of_type: Select) -> None:
    """It asks who is blocked, who is known as bad, how much one address sends, and how much of that without a key."""
    [acl] = of_type("WAFv2::WebACL").values()
    rules = sorted(acl["Properties"]["Rules"], key=lambda rule: rule["Priority"])
    assert [rule["Name"] for rule in rules] == [
        "BlockedNetworks",
        "KnownBadAddresses",
        "RatePerAddress",
        "RateWithoutKey",
    ]
    statements = [rule["Statement"] for rule in rules]
    assert [
        rule["ManagedRuleGroupStatement"]["Name"] for rule in statements if "ManagedRuleGroupStatement" in rule
    ] == ["AWSManagedRulesAmazonIpReputationList"]
    rates = [rule["RateBasedStatement"] for rule in statements if "RateBasedStatement" in rule]
    assert [rate["AggregateKeyType"] for rate in rates] == ["IP", "IP"]
    open_to_all = [part["ByteMatchStatement"] for part in rates[1]["ScopeDownStatement"]["OrStatement"]["Statements"]]
    assert {match["SearchString"] for match in open_to_all} == {route.path for route in ROUTES if route.auth == "none"}
    assert {(*match["FieldToMatch"], match["PositionalConstraint"]) for match in open_to_all} == {
        ("UriPath", "ENDS_WITH")
    }
    [stage] = of_type("ApiGateway::Stage").values()
    throttles = [setting.get("ThrottlingRateLimit", 0) for setting in stage["Properties"]["MethodSettings"]]
    assert rates[1]["Limit"] / 300 <= min(filter(None, throttles)) / 10
    assert "Body" not in json.dumps([rule for rule in statements if "ManagedRuleGroupStatement" not in rule])
    body = json.loads(acl["Properties"]["CustomResponseBodies"]["rate"]["Content"])
    assert body["error"].keys() == {"type", "message", "code", "param"}
    [association] = of_type("WAFv2::WebACLAssociation").values()
    [stage] = of_type("ApiGateway::Stage")
    assert {"Ref": stage} in association["Properties"]["ResourceArn"]["Fn::Join"][1]


def test_the_firewall_turns_blocked_networks_away_in_our_words(of_type: Select) -> None:
    """Both families, each in a set that begins empty; API Gateway words the refusal of a rule that has no answer."""
    [acl] = of_type("WAFv2::WebACL").values()
    [rule] = [rule for rule in acl["Properties"]["Rules"] if "OrStatement" in rule["Statement"]]
    named = [part["IPSetReferenceStatement"]["Arn"] for part in rule["Statement"]["OrStatement"]["Statements"]]
    sets = of_type("WAFv2::IPSet")
    assert [arn["Fn::GetAtt"] for arn in named] == [[name, "Arn"] for name in sets]
    assert [(found["Properties"]["IPAddressVersion"], found["Properties"]["Addresses"]) for found in sets.values()] == [
        ("IPV4", []),
        ("IPV6", []),
    ]
    assert rule["Action"] == {"Block": {}}
    [answer] = [
        found["Properties"]
        for found in of_type("ApiGateway::GatewayResponse").values()
        if found["Properties"]["ResponseType"] == "WAF_FILTERED"
    ]
    body = json.loads(answer["ResponseTemplates"]["application/json"])
    assert (answer["StatusCode"], body["error"]["code"]) == ("403", "permission_denied")


def test_the_authorizer_is_the_manifests(template: Mapping[str, Any], of_type: Select) -> None:
    """The function that API Gateway asks is the one that the manifest calls the authorizer."""
    [authorizer] = of_type("ApiGateway::Authorizer").values()
    function = authorizer["Properties"]["AuthorizerUri"]["Fn::Join"][1][-2]["Fn::GetAtt"][0]
    handler = template["Resources"][function]["Properties"]["Handler"]
    assert handler == FUNCTIONS[manifest.AUTHORIZER].handler
