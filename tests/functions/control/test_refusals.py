"""What the admin function refuses: wrong pages, strangers, wrong fields, broken bodies, other URLs."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from functions import requests
from functions.admin import described
from tests.functions.control.rig import BOSS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.functions.control.rig import House


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"limit": "1.5"}, "limit"),
        ({"after": "x"}, "after"),
        ({"after": ""}, "after"),
        ({"after": "other-abcdefghijkl"}, "after"),
    ],
)
def test_refuses_a_page_that_does_not_exist(house: House, query: dict[str, str], param: str) -> None:
    """Sizes out of range, and cursors that are not of this organization, are named."""
    reply = house.call("GET", f"/admin/keys?{urlencode(query)}")
    assert (reply.status, reply.error["param"], reply.error["type"]) == (400, param, "invalid_request_error")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_tells_nothing_of_other_organizations(house: House, method: str) -> None:
    """A foreign key, a missing one, and no id at all are the same 404, and the foreign key stays as it was."""
    made = house.make()
    stranger = BOSS._replace(org="other")
    replies = [
        house.call(method, f"/admin/keys/{made['id']}", caller=stranger),
        house.call(method, "/admin/keys/other-abcdefghijkl", caller=stranger),
        house.call(method, "/admin/keys/nonsense", caller=stranger),
        house.call(method, "/admin/keys/default-ABCDEFGHIJKL"),
        house.call(method, "/admin/keys/default-abcdefghijkl%23"),
    ]
    assert {(reply.status, json.dumps(reply.body)) for reply in replies} == {(404, json.dumps(replies[0].body))}
    assert replies[0].error["code"] == "key_not_found"
    assert house.stored()[0]["revoked"] is False
    assert house.call("GET", "/admin/keys", caller=stranger).body["data"] == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_revoked_administrator_is_stopped_at_once(house: House, method: str) -> None:
    """The authorizer may remember the key for a minute, time enough to make another; the Directory is asked again."""
    made = house.make(role="admin")
    caller = BOSS._replace(key_id=made["id"])
    assert house.call("GET", "/admin/keys", caller=caller).status == 200
    house.call("DELETE", f"/admin/keys/{made['id']}")
    for former in (caller, BOSS._replace(key_id="default-abcdefghijkl")):
        reply = house.call(method, "/admin/keys", {"name": "a way back"}, caller=former)
        assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
    assert len(house.stored("key#")) == 1


def test_every_request_leaves_one_line(house: House) -> None:
    """Who (a hash), what, and how it ended: of a success, a wrong field, a refusal; no name and no key is in it."""
    house.make()
    house.call("POST", "/admin/keys", {"name": "a secret name", "tier": "gold"})
    house.call("GET", "/admin/keys", caller=BOSS._replace(role="viewer"))
    lines = [json.loads(line) for line in house.log]
    assert [(line["status"], line["outcome"]) for line in lines] == [
        (201, "ok"),
        (400, "invalid_request"),
        (403, "permission_denied"),
    ]
    assert len({line["key"] for line in lines}) == 1
    assert not any(word in str(lines) for word in ("secret name", "nexus_", BOSS.key_id))


@pytest.mark.parametrize("role", ["developer", "viewer", "service", "root", ""])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/admin/keys"), ("GET", "/admin/keys"), ("DELETE", "/admin/keys/x")]
)
def test_is_for_administrators_only(house: House, role: str, method: str, path: str) -> None:
    """Every other role is told which one it takes, before its body is looked at; nothing is written."""
    reply = house.call(method, path, "{broken", caller=BOSS._replace(role=role))
    assert (reply.status, reply.error["type"], reply.error["code"]) == (403, "permission_error", "permission_denied")
    assert "admin" in reply.error["message"]
    assert house.stored() == []


def test_serves_nobody_without_an_identity(house: House) -> None:
    """An event without the authorizer's word is refused, not trusted."""
    assert house.call("GET", "/admin/keys", caller=None).status == 401


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("name", "", "name"),
        ("name", None, "name"),
        ("name", 1, "name"),
        ("name", "a\nb", "name"),
        ("name", "a\u2028b", "name"),
        ("name", "a" * 201, "name"),
        ("role", "root", "role"),
        ("tier", "gold", "tier"),
        ("tier", ["free"], "tier"),
        ("expires_days", 0, "expires_days"),
        ("expires_days", 3651, "expires_days"),
        ("expires_days", "90", "expires_days"),
        ("expires_days", True, "expires_days"),
        ("expires_days", 1.5, "expires_days"),
        ("models", "simulated", "models"),
        ("models", ["a,b"], "models.0"),
        ("models", ["ok", ""], "models.1"),
        ("models", ["m"] * 101, "models"),
        ("limits", [], "limits"),
        ("limits", {"requests_per_minute": 0}, "limits.requests_per_minute"),
        ("limits", {"requests_per_minute": -1}, "limits.requests_per_minute"),
        ("limits", {"concurrency": "5"}, "limits.concurrency"),
        ("limits", {"requests_per_day": 5}, "limits.requests_per_day"),
        ("org", "other", "org"),
        ("hash", "00", "hash"),
        ("version", 9, "version"),
        ("is_admin", True, "is_admin"),
        ("budget", 5, "budget"),
        ("budget", {"total_usd": -1}, "budget.total_usd"),
        ("budget", {"total_usd": 4000000.01}, "budget.total_usd"),
        ("budget", {"total_usd": "0.0000000001"}, "budget.total_usd"),
        ("budget", {"total_usd": "NaN"}, "budget.total_usd"),
        ("budget", {"total_usd": "1" * 41}, "budget.total_usd"),
        ("budget", {"total_usd": True}, "budget.total_usd"),
        ("budget", {"yearly_usd": 1}, "budget.yearly_usd"),
        ("id", "default-abcdefghijkl", "id"),
        ("__proto__", {}, "__proto__"),
        ("api_key", "x", "api_key"),
    ],
)
def test_names_the_field_that_is_wrong(house: House, field: str, value: object, param: str) -> None:
    """Wrong types and values, and fields that nobody may set, are 400 with the field's name; nothing is written."""
    reply = house.call("POST", "/admin/keys", {"name": "a key", field: value})
    assert (reply.status, reply.error["param"], reply.error["type"]) == (400, param, "invalid_request_error")
    assert param in reply.error["message"]
    assert house.stored() == []


@pytest.mark.parametrize(
    ("url", "field", "value", "form"),
    [
        ("keys", "name", "a\tb", "control character"),
        ("keys", "models", ["a b"], "no comma, space"),
        ("users", "id", "Ada", "small letters"),
        ("users", "email", "ada", "ada@example.com"),
        ("organizations", "id", "a-b", "1 to 20 small letters and digits"),
    ],
)
def test_says_which_form_a_field_has(house: House, url: str, field: str, value: object, form: str) -> None:
    """And not only that what was sent has another one."""
    place = {} if url == "keys" else {"id": "x"}
    reply = house.call("POST", f"/admin/{url}", {**place, "name": "X", field: value})
    assert (reply.status, form in reply.error["message"]) == (400, True)


def test_every_pattern_has_words() -> None:
    """A field whose form nobody has put into words would be a failure of ours."""
    schemas = json.loads(described())["components"]["schemas"]
    found = set(patterns([schemas[name] for name in schemas if name.startswith(("New", "Key", "User", "Team"))]))
    assert found == requests._FORMS.keys()


def patterns(part: Any) -> Iterator[str]:
    """Yield every pattern of a schema."""
    if isinstance(part, dict):
        yield from (one for one in [part.get("pattern")] if isinstance(one, str))
    for one in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from patterns(one)


def test_names_the_field_that_is_missing(house: House) -> None:
    """A name is all it takes, and it does take that."""
    reply = house.call("POST", "/admin/keys", {})
    assert (reply.status, reply.error["param"]) == (400, "name")
    assert reply.error["message"] == "The field 'name' is missing. Add it."


def test_repeats_no_value_that_was_refused(house: House) -> None:
    """A secret in the wrong field does not come back, and a huge field name is cut."""
    reply = house.call("POST", "/admin/keys", {"name": ["sk-secret"]})
    assert "sk-secret" not in json.dumps(reply.body)
    assert len(house.call("POST", "/admin/keys", {"name": "a", "x" * 9000: 1}).error["message"]) < 500


@pytest.mark.parametrize(
    "body",
    [
        None,
        "",
        "{",
        "[]",
        "null",
        '"name"',
        '{"name": "a", "expires_days": NaN}',
        '{"name": "a", "expires_days": 1e999}',
        '{"name": "a", "expires_days": ' + "9" * 5000 + "}",
        '{"name": "\\ud800"}',
        '{"name": "a\\u0000b"}',
        "\ufeff{}",
        "[" * 100_000,
        '{"name":' * 100_000,
        "name=a&role=admin",
    ],
    ids=lambda body: str(body)[:33],
)
def test_refuses_a_body_that_is_none(house: House, body: str | None) -> None:
    """Broken, hostile and missing JSON is a 400 in the same envelope, and never a trace."""
    reply = house.call("POST", "/admin/keys", body)
    assert (reply.status, reply.error["type"]) == (400, "invalid_request_error")
    assert house.stored() == []
    assert [json.loads(line)["event"] for line in house.log] == ["request"]  # and no fault of ours


def test_refuses_a_body_that_is_too_large(house: House) -> None:
    """413, before anything is decoded."""
    assert house.call("POST", "/admin/keys", json.dumps({"name": "a" * 7_000_000})).status == 413


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""])
def test_a_body_is_json_whatever_it_calls_itself(house: House, kind: str) -> None:
    """No content type makes the function read it in another way."""
    headers: Any = {"headers": {"content-type": kind}, "multiValueHeaders": {"content-type": [kind]}}
    assert house.call("POST", "/admin/keys", {"name": "a"}, **headers).status == 201
    assert house.call("POST", "/admin/keys", "name=a&role=admin", **headers).status == 400


def test_reads_a_body_in_base64(house: House) -> None:
    """API Gateway encodes what it takes for binary; damaged base64 is the sender's error."""
    body = base64.b64encode(b'{"name": "a"}').decode()
    assert house.call("POST", "/admin/keys", body, isBase64Encoded=True).status == 201
    assert house.call("POST", "/admin/keys", body[:-3] + "!", isBase64Encoded=True).status == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/admin/keys"), ("GET", "/admin"), ("GET", "/admin/keys/a/b"), ("DELETE", "/admin/keys"), ("GET", "/")],
)
def test_serves_no_other_url(house: House, method: str, path: str) -> None:
    """What is not in the table of routes is a 404 of ours."""
    reply = house.call(method, path)
    assert (reply.status, reply.error["code"]) == (404, "unknown_url")


def test_a_method_is_not_overridden_by_a_header(house: House) -> None:
    """A GET stays a GET, whatever a header or the query asks for."""
    made = house.make()
    headers = {"X-HTTP-Method-Override": "DELETE", "X-Method-Override": "DELETE"}
    query = {"_method": "DELETE"}
    house.call("GET", f"/admin/keys/{made['id']}", headers=headers, queryStringParameters=query)
    assert house.stored()[0]["revoked"] is False
