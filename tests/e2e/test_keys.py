"""API keys: who may make, see and revoke them, what they open, and that they outlive a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests.e2e.expect import refused
from tests.e2e.stack import CHAT, EMBEDDING, Stack, end, start
from tests.e2e.trace import descendants, still_alive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    NewKey = Callable[..., dict[str, Any]]

PATH = "/v1/chat/completions"
HI: Any = {"model": CHAT, "messages": [{"role": "user", "content": "Hi"}]}


def bearing(stack: Stack, key: str) -> httpx2.Client:
    """Return a client that carries `key`."""
    return httpx2.Client(base_url=stack.base_url, headers={"authorization": f"Bearer {key}"}, timeout=30)


def test_a_new_key_works_at_once(stack: Stack, new_key: NewKey) -> None:
    """A key answers in full once, when it is made, and serves from then on."""
    made = new_key(name="tea")
    assert made["key"].startswith(f"nexus_{made['id']}_")
    assert made["last4"] == made["key"][-4:]
    assert made["expires_at"] - made["created_at"] == 90 * 24 * 3600
    with bearing(stack, made["key"]) as owner:
        assert owner.post(PATH, json=HI).status_code == 200


def test_a_key_is_never_shown_again(admin: httpx2.Client, new_key: NewKey) -> None:
    """The list and a single look have all but the secret and its hash."""
    made = new_key(name="coffee", tier="pro")
    shown = admin.get(f"/admin/keys/{made['id']}")
    assert shown.status_code == 200
    assert (shown.json()["name"], shown.json()["tier"]) == ("coffee", "pro")
    pages = [admin.get("/admin/keys")]
    while pages[-1].json()["has_more"]:  # other tests' keys are in the list, too
        pages.append(admin.get("/admin/keys", params={"after": pages[-1].json()["last_id"]}))
    assert any(made["id"] in page.text for page in pages)
    for answer in (*pages, shown):
        assert made["key"].rpartition("_")[2] not in answer.text
        assert "hash" not in answer.text


def test_only_administrators_manage_keys(stack: Stack, new_key: NewKey) -> None:
    """Every other role is refused the administration of keys, and none of its tries changes a thing."""
    victim = new_key()
    for role in ("developer", "viewer", "service"):
        with bearing(stack, new_key(role=role)["key"]) as member:
            refused(member.post("/admin/keys", json={"name": "mine", "role": "admin"}), 403, "permission_denied")
            refused(member.get("/admin/keys"), 403, "permission_denied")
            refused(member.get(f"/admin/keys/{victim['id']}"), 403, "permission_denied")
            refused(member.delete(f"/admin/keys/{victim['id']}"), 403, "permission_denied")
    with bearing(stack, victim["key"]) as owner:
        assert owner.post(PATH, json=HI).status_code == 200


def test_a_viewer_may_look_and_not_ask(stack: Stack, new_key: NewKey) -> None:
    """A viewer lists the models and may not spend."""
    with bearing(stack, new_key(role="viewer")["key"]) as viewer:
        assert viewer.get("/v1/models").status_code == 200
        refused(viewer.post(PATH, json=HI), 403, "permission_denied")


def test_a_key_for_some_models(stack: Stack, new_key: NewKey) -> None:
    """A key that names its models sees and reaches no other: those do not exist for it."""
    with bearing(stack, new_key(models=[CHAT])["key"]) as owner:
        assert [model["id"] for model in owner.get("/v1/models").json()["data"]] == [CHAT]
        assert owner.post(PATH, json=HI).status_code == 200
        refused(owner.post("/v1/embeddings", json={"model": EMBEDDING, "input": "Hi"}), 404, "model_not_found", "model")


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x", "role": "god"}, "role"),
        ({"name": "x", "tier": "platinum"}, "tier"),
        ({"name": "x", "limits": {"requests_per_minute": -1}}, "limits"),
        ({"name": "x", "expires_days": "soon"}, "expires_days"),
        ({"name": "x", "id": "default-abcdefghijkl"}, "id"),
        ({"name": "x", "hash": "0" * 64}, "hash"),
    ],
)
def test_a_key_that_cannot_be_made(admin: httpx2.Client, wrong: Any, param: str) -> None:
    """A wrong or foreign field is a 400 naming it."""
    assert str(refused(admin.post("/admin/keys", json=wrong), 400)["param"]).startswith(param)


def test_a_key_that_is_not_there(admin: httpx2.Client) -> None:
    """An unknown key, or one of another organization, is a 404 to look at and to revoke."""
    for name in ("default-zzzzzzzzzzzz", "other-zzzzzzzzzzzz", "nonsense"):
        refused(admin.get(f"/admin/keys/{name}"), 404)
        refused(admin.delete(f"/admin/keys/{name}"), 404)


def test_revoking_twice(admin: httpx2.Client, new_key: NewKey) -> None:
    """Revocation can be repeated, and the list says that the key is revoked."""
    made = new_key()
    for _ in range(2):
        assert admin.delete(f"/admin/keys/{made['id']}").status_code == 200
    assert admin.get(f"/admin/keys/{made['id']}").json()["revoked"] is True


@pytest.mark.xdist_group("second-stack")
def test_a_restart_keeps_keys_and_leaves_no_process(tmp_path: Path, guarded: int) -> None:
    """Ctrl-C ends every process; with the same state directory, yesterday's keys work and revoked ones stay revoked.

    No provider has a key here, so the stand-in answers, and says so.
    """
    state = tmp_path / "state"
    first = start(tmp_path, state, guarded, upstream=None)
    try:
        with bearing(first, first.admin_key) as admin:
            kept = admin.post("/admin/keys", json={"name": "kept", "tier": "pro"}).json()
            gone = admin.post("/admin/keys", json={"name": "gone"}).json()
            admin.delete(f"/admin/keys/{gone['id']}")
        answer = _ask(first, kept["key"])
        assert answer.headers["x-nexus-provider"] == "simulated"
        assert "simulated answer" in answer.text
        family = descendants(first.process)
        assert len(family) > 5
    finally:
        end(first.process)
    assert still_alive(family) == []
    second = start(tmp_path, state, guarded, upstream=None)
    try:
        assert [_ask(second, key).status_code for key in (kept["key"], first.client_key, gone["key"])] == [
            200,
            200,
            401,
        ]
        with bearing(second, second.admin_key) as admin:
            assert kept["id"] in admin.get("/admin/keys").text
    finally:
        end(second.process)


def _ask(stack: Stack, key: str) -> httpx2.Response:
    with bearing(stack, key) as owner:
        return owner.post(PATH, json={**HI, "model": "simulated"})
