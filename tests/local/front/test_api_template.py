"""The API as it is read from a template: what is served, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from cdk import synth
from cdk.config import Config
from cdk.local.api import Api, Rate, TemplateError
from shared import manifest
from tests.local.front.situation import authorizer, method, resolve, resource, template, uri

ROOT = {"Fn::GetAtt": ["Rest", "RootResourceId"]}


def read(**more: Any) -> Api:
    """The API of the small template with `more` resources."""
    return Api.from_template(template(**more), resolve)


def test_the_synthesized_template_serves_what_the_manifest_lists() -> None:
    """Every route is there with its mode and its authorizer, and nothing else is."""
    resources = synth.template(synth.synthesize(Config()))["Resources"]
    api = Api.from_template(resources, resolve)
    found = {(m.http_method, m.resource_path): m for m in api.methods()}

    assert found.keys() == {(route.method, route.path) for route in manifest.ROUTES}
    for route in manifest.ROUTES:
        served = found[route.method, route.path]
        assert served.integration.stream == manifest.FUNCTIONS[route.function].streams
        assert (served.authorizer is not None) == served.api_key_required == (route.auth == "key")
        assert resources[served.integration.function]["Properties"]["Handler"] == (
            manifest.FUNCTIONS[route.function].handler
        )


def test_a_method_reaches_its_function_through_an_alias() -> None:
    """The URI may name an alias; the function is the one behind it."""
    alias = {"Type": "AWS::Lambda::Alias", "Properties": {"FunctionName": {"Ref": "Answer"}}}
    by_alias = {"Fn::Join": ["", ["arn:path/", {"Ref": "Live"}, "/invocations"]]}
    api = read(Live=alias, GetWhole=method("Whole", "GET", "x", Integration={"Uri": by_alias}))

    found = api.match("GET", "/whole")
    assert found
    assert found.method.integration.function == "Answer"


def test_a_uri_may_be_a_sub() -> None:
    """Both spellings of an intrinsic are read."""
    by_sub = {"Fn::Sub": "arn:aws:apigateway:${AWS::Region}:lambda:path/functions/${Answer.Arn}/invocations"}
    found = read(GetWhole=method("Whole", "GET", "x", Integration={"Uri": by_sub})).match("GET", "/whole")

    assert found
    assert found.method.integration.function == "Answer"


def test_static_beats_parameter_beats_greedy() -> None:
    """The most specific resource that has the rest of the path wins; parameters stay percent-encoded."""
    api = read(
        One=resource("{name}", {"Ref": "Files"}),
        Fixed=resource("fixed", {"Ref": "Files"}),
        GetOne=method("One", "GET", "Answer"),
        GetFixed=method("Fixed", "GET", "Answer"),
    )

    def reached(path: str) -> tuple[str, dict[str, str]] | None:
        found = api.match("GET", path)
        return (found.method.resource_path, found.path_parameters) if found else None

    assert reached("/files/fixed") == ("/files/fixed", {})
    assert reached("/files/a%2Fb") == ("/files/{name}", {"name": "a%2Fb"})
    assert reached("/files/fixed/more") == ("/files/{name+}", {"name": "fixed/more"})
    assert reached("/files/a/b") == ("/files/{name+}", {"name": "a/b"})


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/files",
        "/files/",
        "/whole/",
        "//whole",
        "/WHOLE",
        "/whole/x",
        "/files//x",
        "/%77hole",
        "/../whole",
        "whole",
    ],
)
def test_nothing_but_the_exact_path_reaches_a_resource(path: str) -> None:
    """Slashes, case, dots and encodings are never normalised away."""
    assert read().match("GET", path) is None


def test_any_takes_what_no_method_of_its_own_takes() -> None:
    """ANY is the last resort."""
    api = read(AnyWhole=method("Whole", "ANY", "Pour"))

    found = [api.match(verb, "/whole") for verb in ("GET", "PATCH")]
    assert [match and match.method.integration.function for match in found] == ["Answer", "Pour"]


def test_keys_stage_and_responses_are_read() -> None:
    """A key knows its plan; the stage its throttles; arns carry what the pseudo parameters say."""
    settings = [
        {"ResourcePath": "/~1files~1{name+}", "HttpMethod": "GET", "ThrottlingRateLimit": 5, "ThrottlingBurstLimit": 6},
        {"ResourcePath": "/*", "HttpMethod": "*", "MetricsEnabled": True},
    ]
    stage = {"StageName": "dev", "MethodSettings": settings, "Variables": {"a": "b"}}
    api = read(Stage={"Type": "AWS::ApiGateway::Stage", "Properties": stage})

    plan = api.keys["prefix-pro"].plan
    assert plan
    assert plan.throttle == Rate(50, 99)
    assert api.stage.throttles == {("/files/{name+}", "GET"): Rate(5, 6)}
    assert api.stage.variables == {"a": "b"}
    assert api.method_arn("GET", "/x") == "arn:aws:execute-api:eu-central-1:123456789012:api123/dev/GET/x"


def of_type(kind: str, **properties: Any) -> dict[str, Any]:
    """A resource of API Gateway's."""
    return {"Type": f"AWS::ApiGateway{kind}", "Properties": properties}


def put(**more: Any) -> dict[str, Any]:
    """PUT /whole, with `more` properties."""
    return method("Whole", "PUT", "Answer", **more)


REFUSED = [
    ({"X": of_type("::RequestValidator")}, "X: AWS::ApiGateway::RequestValidator"),
    ({"X": of_type("V2::Api")}, "X: AWS::ApiGatewayV2::Api"),
    ({"Rest2": of_type("::RestApi")}, "2 resources of type RestApi"),
    ({"Rest": of_type("::RestApi", EndpointConfiguration={"Types": ["EDGE"]})}, "Rest: RestApi.EndpointConfiguration"),
    ({"Rest": of_type("::RestApi", MinimumCompressionSize=1)}, "Rest: RestApi.MinimumCompressionSize"),
    ({"Rest": of_type("::RestApi", BinaryMediaTypes=["*/*"])}, "Rest: RestApi.BinaryMediaTypes"),
    ({"Rest": of_type("::RestApi", Invented=1)}, "Rest: RestApi.Invented"),
    ({"Key": of_type("::ApiKey", Enabled=True)}, "Key: an ApiKey without a Value"),
    ({"Plan": of_type("::UsagePlan", ApiStages=[{"Throttle": {"/a/GET": {}}}])}, "Plan: UsagePlan.ApiStage.Throttle"),
    ({"Stage": of_type("::Stage", StageName="dev", CacheClusterEnabled=True)}, "Stage: Stage.CacheClusterEnabled"),
    ({"Asks": authorizer(Type="TOKEN")}, "Asks: Authorizer.Type TOKEN"),
    ({"Asks": authorizer(AuthorizerCredentials="x")}, "Asks: Authorizer.AuthorizerCredentials"),
    ({"M": put(AuthorizationType="AWS_IAM")}, "M: Method.AuthorizationType AWS_IAM"),
    ({"M": put(RequestValidatorId="x")}, "M: Method.RequestValidatorId"),
    ({"M": put(Integration={"Type": "MOCK"})}, "M: Method.Integration.Type MOCK"),
    ({"M": put(Integration={"ConnectionType": "VPC_LINK"})}, "M: Method.Integration.ConnectionType"),
    ({"M": put(Integration={"Credentials": "x"})}, "M: Method.Integration.Credentials"),
    ({"M": put(Integration={"TimeoutInMillis": 30_000})}, "M: Method.Integration.TimeoutInMillis"),
    ({"M": put(Integration={"ResponseTransferMode": "STREAM"})}, "M: its Uri does not end in /response-streaming"),
    ({"M": put(Integration={"Uri": uri("Nobody")})}, "M: its Uri names no Lambda function"),
    ({"Odd": resource("x", {"Ref": "Nothing"})}, "Odd: its ParentId"),
    ({"A": resource("{a}", ROOT), "B": resource("{b}", ROOT)}, "/{b} stands beside /{a}"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_is_not_emulated_is_an_error_that_names_it(more: dict[str, Any], words: str) -> None:
    """Nothing that would behave otherwise when deployed is passed over."""
    with pytest.raises(TemplateError) as refused:
        read(**more)

    assert words in str(refused.value)
