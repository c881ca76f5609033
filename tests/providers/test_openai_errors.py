"""A provider's refusal tells the client what is the client's to know."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.core import errors
from shared.core.errors import GatewayError, UpstreamRefused, UpstreamUnsuited
from shared.providers.adapter import Head
from shared.providers.redaction import redact
from tests.providers.exchange import SECRET, adapter


def refused(status: int, body: Any = b"", **headers: str) -> GatewayError:
    """Let the provider answer with this."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = {name.replace("_", "-"): value for name, value in headers.items()}
    return adapter().error(Head(status, found), data)


def error(message: str, **members: Any) -> dict[str, Any]:
    """Write an error as OpenAI does."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **members}}


@pytest.mark.parametrize(
    ("status", "seen", "code", "failover"),
    [
        (400, 400, "upstream_refused", False),
        (404, 404, "upstream_refused", True),
        (413, 413, "upstream_refused", True),
        (422, 422, "upstream_refused", False),
        (401, 502, "upstream_error", True),
        (402, 502, "upstream_error", True),
        (403, 502, "upstream_error", True),
        (408, 504, "upstream_timeout", True),
        (409, 503, "upstream_unavailable", True),
        (429, 429, "rate_limit_exceeded", True),
        (500, 502, "upstream_error", True),
        (502, 502, "upstream_error", True),
        (503, 503, "upstream_unavailable", True),
        (504, 504, "upstream_timeout", True),
        (529, 503, "upstream_unavailable", True),
        (999, 502, "upstream_error", True),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"<html>nginx</html>", b'{"error": {"message": "Nope."}}'], ids=["none", "page", "json"]
)
def test_each_status_has_its_meaning(status: int, seen: int, code: str, failover: bool, body: bytes) -> None:  # noqa: FBT001
    """And tells whether another target may do better; a page is never shown."""
    found = refused(status, body)
    assert (found.status, found.code, found.failover) == (seen, code, failover)
    assert "nginx" not in found.message


@pytest.mark.parametrize(
    ("message", "members"),
    [
        ("Logprobs is not enabled for models/gemini-2.5-pro", {}),
        ("Multiple candidates is not enabled for this model", {}),
        ("The input token count (5) exceeds the maximum number of tokens allowed (4).", {}),
        ("`temperature` is deprecated for this model.", {}),
        ("prompt is too long: 212345 tokens > 200000 maximum", {}),
        ("This model doesn't support tool use in streaming mode.", {}),
        ("Invocation of model ID x with on-demand throughput isn\u2019t supported.", {}),
        ("This model's maximum context length is 4096 tokens.", {}),
        ("No.", {"code": "unsupported_parameter"}),
        ("No.", {"code": "model_not_found"}),
        ("No.", {"code": "context_length_exceeded"}),
    ],
)
def test_what_only_this_target_cannot_do_another_one_may(message: str, members: dict[str, str]) -> None:
    """The status stays, for the case that nobody can; it is no failure of the target."""
    found = refused(400, error(message, **members))
    assert isinstance(found, UpstreamUnsuited)
    assert (found.status, found.failover, found.breaks) == (400, True, False)


@pytest.mark.parametrize(
    "message",
    [
        "Invalid value for 'messages[0].content': expected a string.",
        "Your input image may contain content that is not allowed by our safety system.",
        "Invalid schema for response_format 'x'.",
        "messages: roles must alternate",
        "Could not process image",
        "",
    ],
)
def test_what_is_wrong_with_a_request_is_wrong_everywhere(message: str) -> None:
    """So nobody else is asked."""
    assert refused(400, error(message)).failover is False


LEAKS = {
    "arn:aws:bedrock:us-east-1:123456789012:inference-profile/eu.x": "123456789012",
    "of account 123456789012": "123456789012",
    "in project 987654321 or it is disabled": "987654321",
    "in project_number:987654321": "987654321",
    "projects/our-secret-project/locations/x": "our-secret-project",
    "gateway@our-secret-project.iam.gserviceaccount.com": "our-secret-project",
    "http://10.1.2.3:8000/v1": "10.1.2.3",
    "HTTPConnectionPool(host='vllm-7', port=8000)": "vllm-7",
    "http://vllm-7.models.svc.cluster.local:8000": "vllm-7",
    "http://localhost:11434": "11434",
    "http://[fd00::7]:8000": "fd00",
    "ip-10-0-0-7.eu-central-1.compute.internal": "ip-10-0-0-7",
    "in organization org-abc123def456 on tokens": "abc123def456",
}


@pytest.mark.parametrize("status", [400, 404, 422, 408, 500, 503, 504, 529])
@pytest.mark.parametrize("text", LEAKS)
def test_no_account_and_no_address_is_told(text: str, status: int) -> None:
    """Whatever the provider says of ours, or of itself inside."""
    found = refused(status, error(f"It failed: {text} (sorry).", code=text, param=text))
    assert "It failed: " in found.message
    for shown in (found.message, found.code, found.param or ""):
        assert LEAKS[text] not in shown


def test_what_is_wrong_with_the_request_is_told_in_the_providers_words() -> None:
    """Message, code and param come through."""
    found = refused(400, error("Unsupported value: 'temperature'.", param="temperature", code="unsupported_value"))
    assert isinstance(found, UpstreamRefused)
    assert (found.param, found.code, found.type) == ("temperature", "unsupported_value", "invalid_request_error")
    assert "Unsupported value: 'temperature'." in found.message


@pytest.mark.parametrize("body", [{"detail": "Too long."}, {"message": "Too long."}, {"error": "Too long."}], ids=str)
def test_other_shapes_of_errors_are_read(body: dict[str, str]) -> None:
    """FastAPI's, API Gateway's, and a plain text."""
    assert "Too long." in refused(400, body).message


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
@pytest.mark.parametrize("odd", [{}, {"a": 1}, [], [1], 7, 1.5, True, None], ids=str)
def test_an_error_of_the_wrong_types_is_still_one(status: int, odd: object) -> None:
    """Each member may be anything; the status alone is believed then."""
    for body in (
        {"error": dict.fromkeys(("message", "type", "code", "param"), odd)},
        {"error": odd},
        {"code": odd},
        odd,
    ):
        assert refused(status, body).code == refused(status, {}).code


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500, 503])
def test_our_key_is_never_echoed(status: int) -> None:
    """Nor anything that looks like one, in no member."""
    said = f"Incorrect API key provided: {SECRET}, Bearer abc.def, sk-other1234, sk-proj-****wxyz, org-AbCdEf123456."
    rendered = errors.envelope(refused(status, error(said, code=SECRET, param=f"x {SECRET}"))).decode()
    for hidden in (SECRET, "abc.def", "sk-other1234", "wxyz", "AbCdEf123456"):
        assert hidden not in rendered


def test_a_key_of_any_shape_is_hidden() -> None:
    """A token of our own service looks like no provider's key, and is known all the same."""
    made = adapter()
    made.request("plain words as a token")
    found = made.error(Head(400, {}), json.dumps(error("No: plain words as a token.")).encode())
    assert "plain words" not in found.message


def test_a_bad_key_of_ours_is_not_the_callers() -> None:
    """A client must not think that its own key is wrong, nor try again."""
    found = refused(401, error("Incorrect API key provided."))
    assert errors.headers(found)["x-should-retry"] == "false"
    assert "Incorrect" not in found.message


def test_an_empty_account_is_not_a_limit_that_passes() -> None:
    """Nothing is gained by trying again."""
    found = refused(
        429, error("You exceeded your current quota.", type="insufficient_quota", code="insufficient_quota")
    )
    assert errors.headers(found)["x-should-retry"] == "false"
    assert "credit" in found.message


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry_after": "7"}, 7),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after_ms": "250", "retry_after": "9"}, 0.25),
        ({"retry_after": "Sun, 06 Nov 1994 08:49:37 GMT", "date": "Sun, 06 Nov 1994 08:49:07 GMT"}, 30),
        ({"retry_after": "Sun, 06 Nov 1994 08:49:37 GMT", "date": "Sun, 06 Nov 1994 09:49:07 GMT"}, 0),
        ({"retry_after": "Sun, 06 Nov 1994 08:49:37 GMT"}, None),
        ({"retry_after": "1e308"}, 3600),
        ({"retry_after": "inf"}, 3600),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "-5"}, 0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": ""}, None),
        ({}, None),
    ],
    ids=str,
)
def test_the_wait_is_kept_within_reason(headers: dict[str, str], wait: float | None) -> None:
    """Seconds, milliseconds or a date by the provider's own clock, from none to an hour."""
    for status in (429, 503):
        assert refused(status, **headers).retry_after == wait


def test_foreign_text_is_one_short_line() -> None:
    """Control characters and novels do not pass."""
    shown = redact("a\r\nb\x1b[31m\x00" + "x" * 10_000)
    assert shown.isprintable()
    assert len(shown) < 600


@pytest.mark.parametrize("unit", ["org-", "eyJa.", "sk-", "bearer ", "user_key_", "a.", "1.", "a-", "fd:", "project 1"])
def test_a_novel_takes_no_longer_than_a_page(unit: str) -> None:
    """The pattern looks at what may be shown, not at megabytes: this would take hours."""
    assert len(redact(unit * 500_000)) < 600


@pytest.mark.parametrize(
    "plain",
    [
        "user-friendly",
        "key-value pairs",
        "api-version",
        "task-force",
        "messages[0].content",
        "gpt-4.1-2025-04-14",
        "maximum is 128000 tokens, 1047576 asked",
        "https://platform.openai.com/docs/models",
        "a local project",
        "models/gemini-2.5-pro",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "max_tokens: 5 > 4",
        "at 12:30:45",
    ],
)
def test_plain_words_stay(plain: str) -> None:
    """What helps the caller is not hidden with the rest."""
    assert redact(plain) == plain
