"""What every refusal of the gateway looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2

_LEAKS = ("Traceback", "/functions/", "site-packages", ".py", "sk-upstream-canary")


def refused(answer: httpx2.Response, status: int, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """Check the envelope with its four fields, the request id and that nothing leaks; return the error."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    assert answer.headers["x-request-id"]
    body = answer.json()
    assert body["type"] == "error"
    error: dict[str, Any] = body["error"]
    assert error.keys() >= {"message", "type", "code", "param"}
    assert error["message"]
    if code is not None:
        assert error["code"] == code
    if param is not None:
        assert error["param"] == param
    assert not [leak for leak in _LEAKS if leak in answer.text]
    return error
