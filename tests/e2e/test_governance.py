"""Governance on the running system: edits act on the next request, over HTTP and from the terminal."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from typing import TYPE_CHECKING, Any

import httpx2

from tests.e2e.expect import refused
from tests.e2e.stack import CHAT, NEXUS, Stack

if TYPE_CHECKING:
    from collections.abc import Callable

    NewKey = Callable[..., dict[str, Any]]

PATH = "/v1/chat/completions"
PATIENCE = 30.0  # seconds
HI: Any = {"model": CHAT, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}


def ask(stack: Stack, key: str) -> httpx2.Response:
    """Ask for one completion."""
    with httpx2.Client(base_url=stack.base_url, timeout=30) as client:
        return client.post(PATH, json=HI, headers={"authorization": f"Bearer {key}"})


def test_a_rotated_key_opens_by_both_secrets(stack: Stack, admin: httpx2.Client, new_key: NewKey) -> None:
    """The new one at once, although the old one was just used; the old one while the overlap lasts."""
    made = new_key(tier="pro")
    assert ask(stack, made["key"]).status_code == 200
    rotated = admin.post(f"/admin/keys/{made['id']}/rotate", json={"overlap_seconds": 600}).json()
    assert rotated["key"] != made["key"]
    assert [ask(stack, key).status_code for key in (rotated["key"], made["key"])] == [200, 200]


def test_an_edit_of_a_key_acts_on_its_next_request(stack: Stack, admin: httpx2.Client, new_key: NewKey) -> None:
    """Role, models and secrets, taken away or given, although the authorizer remembers the key for a minute."""
    made = new_key(tier="pro")
    assert ask(stack, made["key"]).status_code == 200
    for edit, status in (({"role": "viewer"}, 403), ({"role": "developer"}, 200), ({"models": ["o3"]}, 404)):
        assert admin.patch(f"/admin/keys/{made['id']}", json=edit).status_code == 200
        assert ask(stack, made["key"]).status_code == status
    admin.patch(f"/admin/keys/{made['id']}", json={"models": []})
    assert ask(stack, made["key"]).status_code == 200
    rotated = admin.post(f"/admin/keys/{made['id']}/rotate", json={"overlap_seconds": 0}).json()
    assert [ask(stack, key).status_code for key in (made["key"], rotated["key"])] == [401, 200]


def test_nobody_blocks_the_address_they_call_from(admin: httpx2.Client) -> None:
    """It is the one that the front saw, whatever a header says."""
    block = {"kind": "ip", "id": "127.0.0.0/8", "seconds": 60}
    answer = admin.post("/admin/blocks", json=block, headers={"x-forwarded-for": "203.0.113.7"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "id")
    made = admin.post("/admin/blocks", json={**block, "id": "203.0.113.7"}, headers={"x-forwarded-for": "203.0.113.7"})
    assert made.status_code == 201
    assert admin.get("/admin/blocks", headers={"x-forwarded-for": "203.0.113.7"}).status_code == 200
    assert admin.delete("/admin/blocks/ip:203.0.113.7%2F32").status_code == 200


def test_a_blocked_network_is_shut_out_of_what_is_open_to_anyone(stack: Stack, admin: httpx2.Client) -> None:
    """Health, tokens and descriptions too, for callers of that network alone, until the block is ended."""
    elsewhere = "127.0.0.2"  # as much this machine as 127.0.0.1, from which everybody else calls
    made = admin.post("/admin/blocks", json={"kind": "ip", "id": elsewhere, "seconds": 600})
    assert made.status_code == 201
    with httpx2.Client(
        base_url=stack.base_url, transport=httpx2.HTTPTransport(local_address=elsewhere), timeout=30
    ) as caller:
        until(lambda: caller.get("/health/live").status_code == 403)
        refused(caller.post("/auth/token", data={"grant_type": "password"}), 403, "permission_denied")
        for path in ("/health", "/health/ready", "/.well-known/jwks.json", "/openapi.json", "/nowhere"):
            refused(caller.get(path), 403, "permission_denied")
            assert admin.get(path).status_code != 403
        assert admin.delete(f"/admin/blocks/ip:{elsewhere}%2F32").status_code == 200
        until(lambda: caller.get("/health/live").status_code == 200)


def until(done: Callable[[], bool]) -> None:
    """Wait for what comes within seconds."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_user_is_paid_for_blocked_and_erased(stack: Stack, admin: httpx2.Client, new_key: NewKey) -> None:
    """Each edit is felt by the very next request of the user's key."""
    user = f"u{uuid.uuid4().hex[:12]}"
    assert admin.post("/admin/users", json={"id": user, "name": "Somebody"}).status_code == 201
    key = new_key(tier="pro", user=user)["key"]
    assert ask(stack, key).status_code == 200
    admin.put(f"/admin/budgets/user:{user}", json={"total_usd": 0})
    refused(ask(stack, key), 429, "insufficient_quota")
    admin.put(f"/admin/budgets/user:{user}", json={})
    assert ask(stack, key).status_code == 200
    admin.post("/admin/blocks", json={"kind": "user", "id": user, "seconds": 600})
    refused(ask(stack, key), 403, "permission_denied")
    admin.delete(f"/admin/blocks/user:{user}")
    assert ask(stack, key).status_code == 200
    assert admin.post(f"/admin/users/{user}/erase").json()["keys_revoked"] == 1
    assert ask(stack, key).status_code == 401


def test_the_terminal_does_the_same(stack: Stack) -> None:
    """A command ends with 0 and the gateway's answer, or with 1 and its reason."""
    team = f"t{uuid.uuid4().hex[:12]}"
    way = ["--base-url", stack.base_url, "--admin-key", stack.admin_key, "--json"]

    def nexus(*asked: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([NEXUS, *asked, *way], capture_output=True, text=True, check=False, timeout=60)

    assert nexus("teams", "create", team, "--name", "Blue").returncode == 0
    put = nexus("budgets", "set", f"team:{team}", "--monthly-usd", "12.50")
    assert json.loads(put.stdout)["budget"] == {"monthly_usd": "12.50"}
    lines = json.loads(nexus("audit", "--limit", "100").stdout)["data"]
    assert [line["action"] for line in lines if team in line["target"]] == ["budget.put", "team.create"]
    gone = nexus("limits", "get", "team:nobody")
    assert (gone.returncode, "There is no team" in gone.stderr) == (1, True)


def test_the_description_needs_no_key(stack: Stack) -> None:
    """OpenAPI, for everybody."""
    answer = httpx2.get(f"{stack.base_url}/openapi.json")
    assert (answer.status_code, answer.json()["openapi"][:2]) == (200, "3.")
