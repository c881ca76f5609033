"""The judge of answers sees what the document does not tell of."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functions.judging import document, undocumented

REFUSED: dict[str, Any] = {"type": "error", "error": {"type": "t", "message": "m", "code": None, "param": None}}


@pytest.mark.parametrize(
    ("method", "path", "status", "body", "said"),
    [
        ("GET", "/admin/keys", 404, REFUSED, ""),
        ("GET", "/admin/keys", 404, {**REFUSED, "type": "mistake"}, ".type is 'mistake'"),
        ("GET", "/admin/keys", 404, {"type": "error"}, ".error is missing"),
        ("GET", "/admin/keys/some-id", 404, {**REFUSED, "error": {**REFUSED["error"], "code": 5}}, ".error.code is 5"),
        ("GET", "/admin/keys", 200, [], "is []"),
        ("DELETE", "/admin/teams/a", 200, {"object": "team", "id": "a", "deleted": True}, ""),
        ("DELETE", "/admin/teams/a", 200, {"object": "team", "id": "a", "deleted": True, "x": 1}, ".x is not told of"),
        ("POST", "/admin/keys", 200, {}, "may answer with status 200"),
        ("POST", "/auth/token", 400, {"error": "e", "error_description": "d"}, ""),
        ("POST", "/auth/token", 400, {"error": "e"}, ".error_description is missing"),
        ("POST", "/auth/token", 200, {"access_token": "t", "token_type": "Bearer", "expires_in": True}, "is True"),
        ("POST", "/nowhere", 200, [], ""),
    ],
)
def test_an_answer_is_judged_by_the_document(method: str, path: str, status: int, body: Any, said: str) -> None:
    """Status, kinds, constants and members; of operations that it does not know nothing is said."""
    found = undocumented(method, path, status, body, document())
    assert len(found) == bool(said)
    assert said in "".join(found)


def test_what_a_call_may_carry_is_told() -> None:
    """Versions where they are minded, repetition where things are made, and what may be left out."""
    paths = document()["paths"]
    sent = {
        (path, method): {one["name"] for one in operation.get("parameters", ()) if one["in"] == "header"}
        for path, operations in paths.items()
        for method, operation in operations.items()
    }
    assert sent["/admin/keys/{key_id}", "patch"] == sent["/admin/budgets/{name}", "put"] == {"If-Match"}
    assert sent["/admin/keys", "post"] == sent["/admin/organizations", "post"] == {"Idempotency-Key"}
    assert sent["/admin/keys/{key_id}/rotate", "post"] == {"If-Match", "Idempotency-Key"}
    assert sent["/admin/blocks", "post"] == sent["/admin/catalog", "put"] == sent["/admin/keys", "get"] == set()
    assert paths["/admin/keys/{key_id}/rotate"]["post"]["requestBody"]["required"] is False
