"""Where origins are allowed, every URL answers a preflight without a key, and every refusal can be read by a page."""

from __future__ import annotations

from typing import Any

import pytest

from cdk import synth
from cdk.config import Config, ConfigError, parse
from shared.manifest import ROUTES


@pytest.fixture(scope="module")
def resources() -> list[dict[str, Any]]:
    """The resources of a deployment for two origins."""
    config = Config(target="host", cors_origins=("https://app.example", "http://localhost:3000"))
    return list(synth.template(synth.synthesize(config))["Resources"].values())


def test_every_url_has_a_preflight(resources: list[dict[str, Any]]) -> None:
    """Open, as a browser sends no credentials with it, and bounded as all that is open."""
    methods = [found["Properties"] for found in resources if found["Type"] == "AWS::ApiGateway::Method"]
    preflights = [method for method in methods if method["HttpMethod"] == "OPTIONS"]
    assert len(preflights) == len({route.path for route in ROUTES})
    assert {method["AuthorizationType"] for method in preflights} == {"NONE"}
    [stage] = [found["Properties"] for found in resources if found["Type"] == "AWS::ApiGateway::Stage"]
    limited = [setting for setting in stage["MethodSettings"] if "ThrottlingRateLimit" in setting]
    assert len([setting for setting in limited if setting["HttpMethod"] == "OPTIONS"]) == len(preflights)


def test_every_function_that_answers_knows_the_origins(resources: list[dict[str, Any]]) -> None:
    """The authorizer and those that the clock starts answer nobody."""
    functions = [found["Properties"] for found in resources if found["Type"] == "AWS::Lambda::Function"]
    named = {function["Environment"]["Variables"].get("CORS_ORIGINS") for function in functions}
    told = [function for function in functions if "CORS_ORIGINS" in function["Environment"]["Variables"]]
    assert named == {None, "https://app.example http://localhost:3000"}
    assert len(told) == len({route.function for route in ROUTES})


def test_every_refusal_of_api_gateway_can_be_read(resources: list[dict[str, Any]]) -> None:
    """It cannot choose among origins, so that all may read what is no secret."""
    answers = [found["Properties"] for found in resources if found["Type"] == "AWS::ApiGateway::GatewayResponse"]
    name = "gatewayresponse.header.access-control-allow-origin"
    assert {answer["ResponseParameters"][name] for answer in answers} == {"'*'"}


@pytest.mark.parametrize("origin", ["*", "https://app.example/", "app.example", "https://*.example", "https://a b"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    """Neither is everybody one."""
    with pytest.raises(ConfigError, match="nexus:cors_origins"):
        parse({"nexus:cors_origins": [origin]})
