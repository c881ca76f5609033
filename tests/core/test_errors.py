"""Every error leaves in one envelope that both families of SDKs read."""

from __future__ import annotations

import inspect
import json

import pytest

from shared.core import errors
from shared.core.errors import GatewayError, RateLimited, UpstreamRefused

TREE = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, GatewayError)]


@pytest.mark.parametrize(
    "kind", [kind for kind in TREE if not issubclass(kind, UpstreamRefused)], ids=lambda kind: kind.__name__
)
def test_every_error_has_all_members(kind: type[GatewayError]) -> None:
    """type, message, code and param are always there; the status is one that HTTP knows for errors."""
    found = json.loads(errors.envelope(kind("What to do.")))
    assert found["type"] == "error"
    assert found["error"] == {"type": kind.type, "message": "What to do.", "code": kind.code, "param": None}
    assert 400 <= kind.status < 600


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """Every class is drawn, with its status."""
    drawn = inspect.getdoc(errors) or ""
    for kind in TREE:
        assert kind.__name__ in drawn
        if kind not in {GatewayError, errors.UpstreamFailed} and not issubclass(kind, UpstreamRefused):
            line = next(line for line in drawn.splitlines() if f"── {kind.__name__} " in line)
            assert str(kind.status) in line


def test_a_limit_tells_its_numbers_and_when_to_come_back() -> None:
    """Details stand beside the message; the wait is in whole seconds, never too short."""
    error = RateLimited("Slow down.", retry_after=0.2, details={"scope": "key", "limit": 10, "used": 10})
    assert json.loads(errors.envelope(error))["error"]["limit"] == 10
    assert errors.headers(error) == {"content-type": "application/json", "retry-after": "1"}


def test_an_unknown_exception_tells_nothing() -> None:
    """A mistake of ours is a 500 without its text."""
    found = errors.envelope(KeyError("secret-thing"))
    assert b"secret-thing" not in found
    assert json.loads(found)["error"]["code"] == "internal_error"
    assert errors.translate(KeyError()).status == 500


def test_details_cannot_hide_the_members_of_the_envelope() -> None:
    """A detail called like a member does not replace it."""
    error = RateLimited("Slow down.", details={"code": "other", "scope": "key"})
    assert json.loads(errors.envelope(error))["error"]["code"] == "rate_limit_exceeded"


def test_lone_surrogates_in_a_message_do_no_harm() -> None:
    """What a client called a model may be quoted back to it."""
    assert json.loads(errors.envelope(errors.BadRequest("odd \ud83d")))["error"]["message"] == "odd \ud83d"


def test_a_retry_that_cannot_help_is_told_off() -> None:
    """x-should-retry leaves only where somebody has decided."""
    error = errors.UpstreamError("Our key is refused.")
    assert "x-should-retry" not in errors.headers(error)
    error.should_retry = False
    assert errors.headers(error)["x-should-retry"] == "false"
