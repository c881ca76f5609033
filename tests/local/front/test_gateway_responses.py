"""Gateway responses: statuses, words, variables and headers as API Gateway renders them."""

from __future__ import annotations

import json

import pytest

from cdk.local.api import TemplateError
from cdk.local.gateway_responses import DEFAULTS, GatewayResponse, GatewayResponses

CONTEXT = {"requestId": "r-1", "authorizer": {"message": "expired"}, "identity": {"sourceIp": "10.0.0.1"}}


def test_without_customisation_the_defaults_speak() -> None:
    """Each type has API Gateway's own status and sentence."""
    for name, (status, message) in DEFAULTS.items():
        answer = GatewayResponses({}).render(name, CONTEXT)
        assert (answer.status, json.loads(answer.body)) == (status, {"message": message})


def test_variables_are_replaced_and_strings_quoted() -> None:
    """`messageString` is JSON already; context, authorizer and identity are filled in; the rest of the text stays."""
    text = (
        '[$context.error.messageString,"$context.requestId $context.authorizer.message $context.identity.sourceIp $5"]'
    )
    responses = GatewayResponses({"THROTTLED": GatewayResponse("THROTTLED", template=text)})

    answer = responses.render("THROTTLED", CONTEXT, message='say "no"')
    assert json.loads(answer.body) == ['say "no"', "r-1 expired 10.0.0.1 $5"]


def test_a_value_that_is_missing_is_empty() -> None:
    """An authorizer that gave no such word leaves nothing behind."""
    response = GatewayResponse("ACCESS_DENIED", template='"$context.authorizer.other."')

    assert GatewayResponses({"ACCESS_DENIED": response}).render("ACCESS_DENIED", CONTEXT).body == b'"."'


def test_a_default_of_the_family_serves_what_has_none_of_its_own() -> None:
    """DEFAULT_4XX words all other 4xx; its status, where it has one, replaces theirs."""
    kept = GatewayResponses({"DEFAULT_4XX": GatewayResponse("DEFAULT_4XX", template='"x"')})
    moved = GatewayResponses({"DEFAULT_4XX": GatewayResponse("DEFAULT_4XX", status=418)})

    assert kept.render("THROTTLED", CONTEXT)[::2] == (429, b'"x"')
    assert kept.render("DEFAULT_4XX", CONTEXT, status=431)[::2] == (431, b'"x"')
    assert moved.render("THROTTLED", CONTEXT).status == 418
    assert kept.render("AUTHORIZER_FAILURE", CONTEXT).status == 500


def test_headers_come_from_the_context_or_are_static() -> None:
    """A quoted source is itself; content-type can be replaced."""
    sources = {"x-request-id": "context.requestId", "retry-after": "'1'", "content-type": "'text/plain'"}
    response = GatewayResponse("THROTTLED", headers=sources)

    headers = dict(GatewayResponses({"THROTTLED": response}).render("THROTTLED", CONTEXT).headers)
    assert {name: headers[name] for name in sources} == {
        "x-request-id": "r-1",
        "retry-after": "1",
        "content-type": "text/plain",
    }


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"ResponseTemplates": {"application/json": "$context.invented"}}, "$context.invented"),
        ({"ResponseTemplates": {"application/json": "$stageVariables.x"}}, "$stageVariables.x"),
        ({"ResponseTemplates": {"text/html": "x"}}, "only application/json"),
        ({"ResponseParameters": {"gatewayresponse.header.x": "context.invented"}}, "context.invented"),
        ({"ResponseParameters": {"gatewayresponse.header.x": "method.request.header.y"}}, "method.request.header.y"),
        ({"ResponseParameters": {"gatewayresponse.path.x": "'1'"}}, "gatewayresponse.path.x"),
    ],
)
def test_what_cannot_be_rendered_is_refused_when_it_is_read(properties: dict[str, dict[str, str]], words: str) -> None:
    """A wrong variable is found at the start, not on the first error."""
    with pytest.raises(TemplateError) as refused:
        GatewayResponses.read("THROTTLED", properties)

    assert words in str(refused.value)


def test_an_unknown_type_is_refused() -> None:
    """A typing error in the type's name does not pass."""
    with pytest.raises(TemplateError, match="TROTTLED"):
        GatewayResponses.read("TROTTLED", {})
