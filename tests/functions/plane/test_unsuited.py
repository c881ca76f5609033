"""A 4xx that says what one target cannot do is no word on the request: the others are asked, each of them once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.functions.plane.acts import status
from tests.functions.plane.languages import LANGUAGES, ask
from tests.functions.plane.rig import well

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functions.plane.rig import Rig
    from tests.functions.plane.upstream import Request, Wire

    Act = Callable[[Wire, Request], None]

ARN = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/ours"


def says(line: str, message: str, **members: str) -> Act:
    """Refuse in these words."""
    return status(line, json.dumps({"error": {"message": message, **members}}).encode())


UNSUITED = {
    "no such field": says("400 Bad Request", "Unsupported parameter: 'x'.", code="unsupported_parameter"),
    "no probabilities": says("400 Bad Request", "Logprobs is not enabled for models/gemini-1"),
    "too long for it": says("400 Bad Request", f"This model's maximum context length is 4 tokens ({ARN})."),
    "no such model": says("404 Not Found", "The model does not exist."),
    "too large for it": says("413 Payload Too Large", "Too large."),
}
REFUSED = {
    "a bad field": says("400 Bad Request", "Invalid value for 'messages[0].content'."),
    "a bad picture": says("422 Unprocessable Entity", "Could not process image."),
}


def by_model(**acts: Act) -> Act:
    """Do what is said for the provider's model."""
    return lambda wire, request: acts.get(request.json["model"], well)(wire, request)


def asked(rig: Rig) -> list[str]:
    """The models that the provider was asked for."""
    return [request.json["model"] for request in rig.upstream.requests]


def failures(rig: Rig, target: str) -> int:
    """How often in a row this target has failed."""
    return int(rig.valkey.hget(f"{{default}}:target:{target}", "fails") or 0)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("fault", UNSUITED)
@pytest.mark.parametrize("name", LANGUAGES)
def test_another_target_serves_what_one_cannot(rig: Rig, name: str, fault: str, stream: bool) -> None:  # noqa: FBT001
    """The client never hears of it; it costs nothing, and is no failure of a target that others are content with."""
    rig.upstream.default = by_model(one=UNSUITED[fault])
    client = ask(rig, LANGUAGES[name], "both", stream=stream)
    assert (client.status, client.headers["x-nexus-provider"], asked(rig)) == (200, "second", ["one", "two"])
    assert (rig.pauses, failures(rig, "openai:one"), rig.lines[-1]["tries"], rig.leases()) == ([], 0, 2, 0)
    [use] = rig.usage()
    assert (use["outcome"], use["prompt"]) == ("ok", "9")


@pytest.mark.parametrize("fault", UNSUITED)
def test_where_nobody_can_the_client_hears_it_once(rig: Rig, fault: str) -> None:
    """With the provider's status, after each was asked once; nothing of an account is in it, and nothing is booked."""
    rig.upstream.default = UNSUITED[fault]
    client = rig.chat(model="both", stream=False)
    assert client.status in {400, 404, 413}
    assert client.json["error"]["type"] == "invalid_request_error"
    assert (asked(rig), rig.pauses) == (["one", "two"], [])
    assert b"123456789012" not in client.body
    assert rig.settled()["cost"] == "0"


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_wrong_with_the_request_is_told_at_once(rig: Rig, fault: str) -> None:
    """Another provider would refuse it as well."""
    rig.upstream.default = REFUSED[fault]
    client = rig.chat(model="both", stream=False)
    assert client.status in {400, 422}
    assert asked(rig) == ["one"]


@pytest.mark.parametrize("fault", [*UNSUITED, *REFUSED])
def test_a_refusal_is_no_case_for_the_degraded_answer(rig: Rig, fault: str) -> None:
    """That is for when nobody answers; here the client has to change something, and must learn what."""
    rig.upstream.default = (UNSUITED | REFUSED)[fault]
    client = rig.chat(model="careful", stream=False)
    assert 400 <= client.status < 500
    assert "x-nexus-degraded" not in client.headers
    assert rig.lines[-1]["outcome"] == "upstream_refused"


def test_one_that_is_down_is_asked_again_beside_one_that_cannot(rig: Rig) -> None:
    """The one that cannot is not asked again."""
    down = status("503 Service Unavailable")
    rig.upstream.default = by_model(one=UNSUITED["no such model"], two=down)
    client = rig.chat(model="both", stream=False)
    assert (client.status, asked(rig)) == (503, ["one", "two", "two"])
