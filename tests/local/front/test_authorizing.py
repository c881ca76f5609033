"""The authorizer: when it is asked, what its answer means, and which API key a request counts against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cdk.local.invocation import FunctionError
from tests.local.front.situation import (
    ALLOWED,
    Functions,
    answers,
    asynchronous,
    authorizer,
    gateway_response,
    policy,
    serving,
    template,
)

if TYPE_CHECKING:
    from cdk.local.invocation import Invocation

OK = answers({"statusCode": 200, "body": "in"})


def functions(verdict: Any = ALLOWED) -> Functions:
    """`Answer` and an authorizer that always says `verdict`."""
    return Functions(Answer=OK, Verdict=answers(verdict))


def asked(invoker: Functions) -> int:
    """How often the authorizer was invoked."""
    return sum(event.get("type") == "REQUEST" for event in invoker.events)


@asynchronous
async def test_the_authorizer_sees_the_request_and_the_function_sees_its_words() -> None:
    """The REQUEST event has AWS's shape; the context reaches the function as strings."""
    invoker = functions({**ALLOWED, "context": {"org": "o", "number": 7, "flag": True, "none": None}})
    async with serving(invoker) as local:
        reply = await local.call("GET", "/closed?a=1&a=2", Authorization="Bearer k")

    event, proxied = invoker.events
    assert reply.status == 200
    assert event["methodArn"] == "arn:aws:execute-api:eu-central-1:123456789012:api123/dev/GET/closed"
    assert event["headers"]["Authorization"] == "Bearer k"
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"]}
    assert event["requestContext"]["identity"]["sourceIp"] == "127.0.0.1"
    assert (event["resource"], event["path"], event["httpMethod"]) == ("/closed", "/closed", "GET")
    context = proxied["requestContext"]
    assert context["authorizer"] == {"principalId": "me", "org": "o", "number": "7", "flag": "true"}
    assert context["identity"]["apiKeyId"] == "Key"
    assert context["requestId"] == reply.headers["x-amzn-requestid"]


@asynchronous
async def test_open_methods_ask_nobody() -> None:
    """A method without an authorizer is served as it is."""
    invoker = functions({})
    async with serving(invoker) as local:
        assert (await local.call("GET", "/whole")).body == b"in"

    assert asked(invoker) == 0


@asynchronous
async def test_without_a_ttl_every_request_is_asked_about() -> None:
    """TTL 0 keeps nothing."""
    invoker = functions()
    async with serving(invoker) as local:
        for _ in range(3):
            assert (await local.call("GET", "/closed", Authorization="a")).status == 200

    assert asked(invoker) == 3


@asynchronous
async def test_a_verdict_is_kept_for_its_identity_sources() -> None:
    """With a TTL, the same header is not asked about twice, another is, and the context is there each time."""
    source = "method.request.header.Authorization"
    invoker = functions({**ALLOWED, "context": {"org": "o"}})
    async with serving(invoker, template(Asks=authorizer(IdentitySource=source))) as local:
        for name in ("a", "a", "b", "a"):
            assert (await local.call("GET", "/closed", authorization=name)).status == 200

    assert asked(invoker) == 2
    assert all(e["requestContext"]["authorizer"]["org"] == "o" for e in invoker.events if "body" in e)


@asynchronous
async def test_a_kept_verdict_is_applied_to_each_method_anew() -> None:
    """The policy, not its outcome, is cached: it may allow one path and not another."""
    only_closed = {**ALLOWED, "policyDocument": policy("Allow", "*/GET/closed")}
    again = {**template()["GetWhole"]["Properties"], "AuthorizationType": "CUSTOM", "AuthorizerId": {"Ref": "Asks"}}
    resources = template(
        Asks=authorizer(IdentitySource="method.request.header.Authorization", AuthorizerResultTtlInSeconds=60),
        GetWhole={"Type": "AWS::ApiGateway::Method", "Properties": again},
    )
    invoker = functions(only_closed)
    async with serving(invoker, resources) as local:
        assert (await local.call("GET", "/closed", Authorization="a")).status == 200
        assert (await local.call("GET", "/whole", Authorization="a")).status == 403

    assert asked(invoker) == 1


@asynchronous
async def test_a_missing_identity_source_is_refused_unasked() -> None:
    """401, and the authorizer is not even invoked."""
    invoker = functions()
    async with serving(invoker, template(Asks=authorizer(IdentitySource="method.request.header.X-Key"))) as local:
        assert (await local.call("GET", "/closed")).status == 401

    assert invoker.events == []


@asynchronous
async def test_a_refusal_may_say_why() -> None:
    """The context of a Deny is there for the gateway response."""
    denied = {"principalId": "x", "policyDocument": policy("Deny"), "context": {"message": "expired"}}
    response = gateway_response("ACCESS_DENIED", '{"message":"$context.authorizer.message"}', "401")
    async with serving(functions(denied), template(Denied=response)) as local:
        reply = await local.call("GET", "/closed")

    assert (reply.status, reply.json) == (401, {"message": "expired"})
    assert reply.headers["x-request-id"] == reply.headers["x-amzn-requestid"]


@pytest.mark.parametrize(
    "verdict",
    [
        None,
        "Allow",
        {"principalId": "x"},
        {"policyDocument": policy("Allow")},
        {**ALLOWED, "policyDocument": {"Statement": []}},
        {**ALLOWED, "context": {"nested": {}}},
        {**ALLOWED, "context": []},
        {**ALLOWED, "usageIdentifierKey": ["prefix-pro"]},
    ],
)
@asynchronous
async def test_an_answer_that_is_no_verdict_is_a_500_without_details(verdict: Any) -> None:
    """A broken authorizer never lets anybody in, nor says how it is broken."""
    invoker = functions(verdict)
    async with serving(invoker) as local:
        reply = await local.call("GET", "/closed")
        (access,) = await local.logged()

    assert (reply.status, reply.json) == (500, {"code": "5xx", "message": "Internal server error"})
    assert access.outcome == "AUTHORIZER_CONFIGURATION_ERROR"
    assert len(invoker.events) == 1


@pytest.mark.parametrize(("words", "status"), [("Unauthorized", 401), ("anything else", 500)])
@asynchronous
async def test_an_authorizer_that_raises_unauthorized_gives_a_401(words: str, status: int) -> None:
    """One message has a meaning; every other failure is a 500."""

    async def fail(_event: dict[str, Any], invocation: Invocation) -> None:
        invocation.end(FunctionError("Exception", words))

    async with serving(Functions(Answer=OK, Verdict=fail)) as local:
        assert (await local.call("GET", "/closed")).status == status


@pytest.mark.parametrize("usage_key", [None, "", "unknown", "prefix-pro "])
@asynchronous
async def test_a_key_that_is_not_of_a_plan_is_forbidden(usage_key: Any) -> None:
    """Without a known usageIdentifierKey the function is not reached."""
    async with serving(functions({**ALLOWED, "usageIdentifierKey": usage_key})) as local:
        reply = await local.call("GET", "/closed", x_api_key="prefix-pro")

    assert (reply.status, reply.json["message"]) == (403, "Forbidden")


@pytest.mark.parametrize("change", [{"Enabled": False}, {"Value": "other"}])
@asynchronous
async def test_a_disabled_key_is_forbidden(change: dict[str, Any]) -> None:
    """So is one with another value."""
    key = {"Type": "AWS::ApiGateway::ApiKey", "Properties": {"Enabled": True, "Value": "prefix-pro", **change}}
    async with serving(functions(), template(Key=key)) as local:
        assert (await local.call("GET", "/closed")).status == 403


@asynchronous
async def test_a_key_from_the_header_counts_where_the_api_says_so() -> None:
    """`ApiKeySourceType` HEADER reads x-api-key and ignores the authorizer's word."""
    rest = {"EndpointConfiguration": {"Types": ["REGIONAL"]}}
    resources = template(Rest={"Type": "AWS::ApiGateway::RestApi", "Properties": rest})
    async with serving(functions({**ALLOWED, "usageIdentifierKey": None}), resources) as local:
        assert (await local.call("GET", "/closed", x_api_key="prefix-pro")).status == 200
        assert (await local.call("GET", "/closed")).status == 403


@asynchronous
async def test_a_plan_throttles_its_key() -> None:
    """The third request of a burst of two is a 429, and reaches no function."""
    plan = {"Type": "AWS::ApiGateway::UsagePlan", "Properties": {"Throttle": {"RateLimit": 0.001, "BurstLimit": 2}}}
    invoker = functions()
    async with serving(invoker, template(Plan=plan)) as local:
        heard = [(await local.call("GET", "/closed")).status for _ in range(3)]

    assert heard == [200, 200, 429]
    assert len(invoker.events) - asked(invoker) == 2
