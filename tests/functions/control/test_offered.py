"""Keys and users name models that there are: a slip is told when it is made, and not by every later request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.functions.control.test_catalog import changed, push, store

if TYPE_CHECKING:
    from tests.functions.control.rig import House

__all__ = ("store",)  # the fixture
ADA = {"id": "ada", "name": "Ada"}


def refused(house: House, method: str, url: str, body: dict[str, Any]) -> tuple[int, str, str]:
    """Send what is wrong; status, field and message of the answer."""
    reply = house.call(method, url, body)
    return reply.status, reply.error["param"], reply.error["message"]


def test_a_name_that_there_is_not_is_refused_with_the_nearest(house: House) -> None:
    """Wherever models are named; nothing is written."""
    key = house.make()
    house.call("POST", "/admin/users", ADA)
    before = house.stored()
    for method, url, more in (
        ("POST", "/admin/keys", {"name": "a key"}),
        ("PATCH", f"/admin/keys/{key['id']}", {}),
        ("POST", "/admin/users", {"id": "eve", "name": "Eve"}),
        ("PATCH", "/admin/users/ada", {}),
    ):
        status, param, message = refused(house, method, url, {**more, "models": ["acme/chat:1", "Simulatd"]})
        assert (status, param) == (400, "models.1")
        assert message == (
            "The field 'models.1' names 'Simulatd', and there is no such model or alias. Did you mean 'simulated'? "
            "List them with GET /v1/models or `nexus models`."
        )
    assert house.stored() == before
    reply = house.call("PUT", "/admin/limits/model:simulate", {"concurrency": 1})
    assert (reply.status, reply.error["code"]) == (404, "model_not_found")
    assert "Did you mean 'simulated'?" in reply.error["message"]


@pytest.mark.parametrize("name", ["*", "simulated*", "x" * 200, "mödel", "\x85\u2028"])
def test_what_is_like_no_name_has_no_nearest(house: House, name: str) -> None:
    """There are no patterns; what was sent is repeated short and printable."""
    status, param, message = refused(house, "POST", "/admin/keys", {"name": "a key", "models": [name]})
    assert (status, param) == (400, "models.0")
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 350
    assert ("Did you mean" in message) is (name == "simulated*")


def test_only_models_of_the_live_catalog_can_be_named(store: House) -> None:
    """As soon as they are pushed, and not after they were taken back."""
    body = {"name": "a key", "models": ["newest"]}
    assert refused(store, "POST", "/admin/keys", body)[0] == 400
    push(store, changed("newest"))
    assert store.call("POST", "/admin/keys", body).status == 201
    assert refused(store, "POST", "/admin/keys", {**body, "models": ["acme/chat:1"]})[0] == 400  # deployed, not live
    store.call("POST", "/admin/catalog/rollback", {})
    assert refused(store, "POST", "/admin/keys", body)[0] == 400


def test_a_catalog_that_lacks_a_model_breaks_no_key(store: House) -> None:
    """The name stays with whoever has it, through other edits and when it is sent along; nobody else can have it."""
    push(store, changed("newest"))
    key = store.make(models=["newest", "simulated"])
    store.call("POST", "/admin/users", {**ADA, "models": ["newest"]})
    store.call("PUT", "/admin/limits/model:newest", {"concurrency": 1})
    push(store, changed("other"))
    path = f"/admin/keys/{key['id']}"
    assert store.call("GET", path).body["models"] == ["newest", "simulated"]
    for edit in ({"name": "renamed"}, {"models": ["newest", "simulated", "gpt-4o"]}, {"models": ["newest"]}):
        reply = store.call("PATCH", path, edit)
        assert (reply.status, "newest" in reply.body["models"]) == (200, True)
    assert store.call("PATCH", "/admin/users/ada", {"tier": "pro", "models": ["newest"]}).status == 200
    assert store.admitted(key["id"]) == 10
    assert store.call("PATCH", path, {"models": ["simulated"]}).status == 200
    assert refused(store, "PATCH", path, {"models": ["newest"]})[:2] == (400, "models.0")
