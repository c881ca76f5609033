"""Tokens through the whole stack: issued, used, refused, and verified by a stranger with what is published."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import httpx2
import jwt
import openai
import pytest

from tests.e2e.expect import refused
from tests.e2e.stack import CHAT, Stack

if TYPE_CHECKING:
    from collections.abc import Callable

PASSWORD = "correct horse battery staple"
HI: Any = {"model": CHAT, "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def user(admin: httpx2.Client) -> str:
    """A user with a password."""
    name = f"user-{uuid.uuid4().hex[:8]}"
    made = admin.post("/admin/users", json={"id": name, "name": "A", "password": PASSWORD, "role": "developer"})
    assert made.status_code == 201, made.text
    return name


def log_in(stack: Stack, user: str, password: str = PASSWORD) -> httpx2.Response:
    """Ask for a token without any key."""
    form = {"grant_type": "password", "username": user, "password": password}
    return httpx2.post(f"{stack.base_url}/auth/token", data=form, timeout=30)


def test_the_official_client_works_with_a_users_token(stack: Stack, user: str) -> None:
    """A token is sent where a key would be."""
    token = log_in(stack, user).json()["access_token"]
    with openai.OpenAI(base_url=f"{stack.base_url}/v1", api_key=token, max_retries=0, timeout=30) as client:
        assert client.chat.completions.create(**HI).choices[0].message.content


def test_a_user_may_what_its_role_may(stack: Stack, user: str) -> None:
    """A developer infers, and administers nothing."""
    bearer = {"authorization": f"Bearer {log_in(stack, user).json()['access_token']}"}
    with httpx2.Client(base_url=stack.base_url, headers=bearer, timeout=30) as client:
        refused(client.get("/admin/keys"), 403, "permission_denied")
        assert client.get("/v1/models").status_code == 200


def test_a_wrong_password_is_told_in_oauths_words(stack: Stack, user: str) -> None:
    """The same for a user that does not exist, and with an id to quote."""
    for answer in (log_in(stack, user, "wrong"), log_in(stack, "nobody-here")):
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
        assert answer.headers["x-request-id"]
        assert answer.headers["cache-control"] == "no-store"


def test_anyone_can_verify_a_services_token(stack: Stack, new_key: Callable[..., dict[str, Any]]) -> None:
    """The keys are published; a service's token is its key, and ends with it."""
    made = new_key(role="service")
    form = {"grant_type": "client_credentials"}
    with httpx2.Client(base_url=stack.base_url, timeout=30) as client:
        token = client.post("/auth/token", data=form, auth=(made["id"], made["key"])).json()["access_token"]
        published = jwt.PyJWKSet.from_dict(client.get("/.well-known/jwks.json").json())
        key = published[jwt.get_unverified_header(token)["kid"]]
        said = jwt.decode(token, key, algorithms=["ES256"], audience="ai-nexus")
        assert (said["sub"], said["exp"] - said["iat"]) == (made["id"], 3600)
        bearer = {"authorization": f"Bearer {token}"}
        assert client.post("/v1/chat/completions", headers=bearer, json=HI).status_code == 200
        admin = {"authorization": f"Bearer {stack.admin_key}"}
        assert client.delete(f"/admin/keys/{made['id']}", headers=admin).status_code == 200
        refused(client.post("/v1/chat/completions", headers=bearer, json=HI), 401, "invalid_api_key")


def test_a_forged_token_opens_nothing(stack: Stack, user: str) -> None:
    """Unsigned, or of another signature: 401 in the envelope of all errors."""
    good = log_in(stack, user).json()["access_token"]
    head, said, _ = good.split(".")
    unsigned = jwt.encode({"sub": user}, None, algorithm="none")  # type: ignore[arg-type]
    for forged in (f"{head}.{said}.{'A' * 86}", f"{head}.{said}.", unsigned):
        answer = httpx2.get(f"{stack.base_url}/v1/models", headers={"authorization": f"Bearer {forged}"}, timeout=30)
        refused(answer, 401, "invalid_api_key")


def test_a_disabled_user_is_shut_out_at_once(stack: Stack, admin: httpx2.Client, user: str) -> None:
    """A token that was good a moment ago is refused on the very next request, and no new one is issued."""
    bearer = {"authorization": f"Bearer {log_in(stack, user).json()['access_token']}"}
    with httpx2.Client(base_url=stack.base_url, headers=bearer, timeout=30) as client:
        assert client.post("/v1/chat/completions", json=HI).status_code == 200
        assert admin.patch(f"/admin/users/{user}", json={"disabled": True}).status_code == 200
        refused(client.post("/v1/chat/completions", json=HI), 403, "permission_denied")
    assert log_in(stack, user).json()["error"] == "invalid_grant"


def test_a_new_password_ends_the_tokens_at_once(stack: Stack, admin: httpx2.Client, user: str) -> None:
    """On the very next request; a token for the new one is good."""
    bearer = {"authorization": f"Bearer {log_in(stack, user).json()['access_token']}"}
    with httpx2.Client(base_url=stack.base_url, headers=bearer, timeout=30) as client:
        assert client.post("/v1/chat/completions", json=HI).status_code == 200
        assert admin.patch(f"/admin/users/{user}", json={"password": PASSWORD[::-1]}).status_code == 200
        refused(client.post("/v1/chat/completions", json=HI), 401, "invalid_api_key")
        token = log_in(stack, user, PASSWORD[::-1]).json()["access_token"]
        client.headers["authorization"] = f"Bearer {token}"
        assert client.post("/v1/chat/completions", json=HI).status_code == 200


def test_a_users_own_limit_counts_for_its_tokens(stack: Stack, admin: httpx2.Client) -> None:
    """What an administrator sets for a user holds whichever token the user calls with."""
    user = f"user-{uuid.uuid4().hex[:8]}"
    wanted = {"id": user, "name": "A", "password": PASSWORD, "tier": "pro", "limits": {"requests_per_minute": 2}}
    assert admin.post("/admin/users", json=wanted).status_code == 201
    codes = []
    for _ in range(2):  # two tokens, two requests with each
        bearer = {"authorization": f"Bearer {log_in(stack, user).json()['access_token']}"}
        with httpx2.Client(base_url=stack.base_url, headers=bearer, timeout=30) as client:
            codes += [client.post("/v1/chat/completions", json=HI).status_code for _ in range(2)]
    assert codes == [200, 200, 429, 429]
