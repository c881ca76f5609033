"""Catalogs that are pushed, listed and taken back: told to the gateway's store, kept in the Directory, audited."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cdk.catalog import compile_catalog
from functions.shelf import unpacked
from shared.core.catalog import decode
from shared.core.principals import Principal
from tests.functions.control.rig import NOW

if TYPE_CHECKING:
    from tests.functions.control.rig import House

SHIPPED = Path("shared/data/catalog.toml")
TEXT = SHIPPED.read_text()
CHEAP = '[gpu_service]\nsource = "https://x.example"\ndate = 2026-01-02\n[gpu_service.models]\nnew = { input = 1 }\n'


@pytest.fixture
def store(house: House) -> House:
    """The function, deployed with the shipped catalog."""
    house.control = house.control._replace(deployed=decode(compile_catalog(SHIPPED)))
    return house


def changed(name: str) -> str:
    """The shipped catalog with one more model."""
    return f'{TEXT}\n[models.{name}]\nkind = "chat"\ntargets = ["simulated"]\nowned_by = "me"\n'


def push(house: House, text: str, status: int = 200, **more: Any) -> dict[str, Any]:
    """Push a catalog."""
    reply = house.call("PUT", "/admin/catalog", {"catalog": text, **more})
    assert reply.status == status, reply.body
    return reply.body


def live(house: House, org: str = "default") -> tuple[str | None, str | None]:
    """Version and number of the catalog that the gateway is told of."""
    told = house.policy("catalog:live", org)
    return told.get("version"), told.get("serves")


def test_a_pushed_catalog_is_told_to_every_organization(store: House) -> None:
    """With a version that grows; what was pushed is what the gateway will decode, and what is shown."""
    store.call("POST", "/admin/organizations", {"id": "acme", "name": "Acme"})
    first, second = push(store, changed("one")), push(store, changed("two"), name="c.toml")
    assert [(one["number"], one["live"]) for one in (first, second)] == [(1, True), (2, True)]
    assert live(store) == live(store, "acme") == ("2", "2")
    [record] = store.stored("catalog#000002")
    assert {"two", "gpt-4o"} <= set(decode(unpacked(record["compiled"])).models)
    shown = store.call("GET", "/admin/catalog/live").body
    assert (shown["catalog"], shown["name"], shown["digest"]) == (changed("two"), "c.toml", record["digest"])
    listed = store.call("GET", "/admin/catalog").body["data"]
    assert [(one["number"], one["live"]) for one in listed] == [(1, False), (2, True)]
    lines = [line for line in store.lines() if line["action"] == "catalog.push"]
    assert [(line["who"], line["after"]["serves"]) for line in lines] == [("default-bossbossboss", n) for n in (1, 2)]


def test_a_rollback_brings_back_what_was_live(store: House) -> None:
    """The one before, any by its number, or the deployed one; each is a new version, so that it is taken notice of."""
    push(store, changed("one"))
    push(store, changed("two"))
    assert store.call("POST", "/admin/catalog/rollback", {}).body["number"] == 1
    assert live(store) == ("3", "1")
    assert store.call("POST", "/admin/catalog/rollback", {}).body["number"] == 2
    back = store.call("POST", "/admin/catalog/rollback", {"to": 0}).body
    assert (back["number"], back["name"], live(store)) == (0, "deployed", ("5", "0"))
    assert store.call("GET", "/admin/catalog/live").body["catalog"] is None
    assert store.call("POST", "/admin/catalog/rollback", {"to": 9}).status == 404
    assert live(store) == ("5", "0")
    assert push(store, changed("three"))["number"] == 3


BROKEN = {
    "a typo": (TEXT.replace('\ndialect = "openai"', '\ndialect = "opnai"', 1), "dialect: must be"),
    "no TOML": ("[models", "must be valid TOML"),
    "other tiers": (TEXT.replace("requests_per_minute = 10", "requests_per_minute = 11"), "tiers: differ"),
    "a lost fallback": (TEXT + '\n[aliases.x]\nmodels = ["gone"]\n', "there is no model 'gone'"),
    "a key for somebody else": (
        TEXT.replace("//api.openai.com", "//api.openai.example", 1),
        "providers.openai: would be",
    ),
    "a key by way of a variable": (
        TEXT.replace('base_url_env = "OPENAI_BASE_URL"', 'base_url_env = "SIMULATED_BASE_URL"', 1),
        "providers.openai: would be",
    ),
    "a key for one more": (
        f'{TEXT}\n[providers.mine]\ndialect = "openai"\nbase_url = "https://x.example/v1"\nsecret = "GEMINI_API_KEY"\n',
        "providers.mine: would be",
    ),
    "an address inside": (TEXT.replace("https://api.openai.com/v1", "http://169.254.169.254"), "must start with https"),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_broken_catalog_changes_nothing(store: House, mistake: str) -> None:
    """The mistake is told by file, line and field; what was live stays."""
    push(store, changed("one"))
    text, complaint = BROKEN[mistake]
    assert text != TEXT
    error = push(store, text, 400, name="my.toml")["error"]
    assert error["param"] == "catalog"
    assert error["message"].startswith("my.toml:")
    assert complaint in error["message"]
    assert live(store) == ("1", "1")
    assert [item["sk"] for item in store.stored("catalog#")] == ["catalog#000001"]


def test_a_new_provider_comes_with_a_key_of_its_own(store: House) -> None:
    """Which goes nowhere else from then on; a known one may get another path, or serve under another name."""
    ours = '[providers.mine]\ndialect = "openai"\nbase_url = "https://x.example/v1"\nsecret = "MY_KEY"\n'
    other = '[providers.again]\ndialect = "openai"\nbase_url = "https://api.openai.com/v2"\nsecret = "OPENAI_API_KEY"\n'
    push(store, f"{TEXT}\n{ours}\n{other}")
    push(store, f"{TEXT}\n{ours.replace('x.example', 'y.example')}", 400)
    push(store, f"{TEXT}\n{ours.replace('/v1', '/v9')}")


def test_tokens_for_one_service_are_shown_to_no_other(store: House) -> None:
    """Those that are for the place they are sent to may be asked for anywhere."""
    pool = "projects/1/locations/global/workloadIdentityPools/aws/providers/nexus"
    run = '[providers.run]\ndialect = "openai"\nbase_url = "https://run.example/v1"\n[providers.run.identity]\n'
    run += f'workload_identity_provider = "{pool}"\nservice_account = "nexus@p.iam.gserviceaccount.com"\n'
    named = run + 'audience = "https://audience.example"\n'
    push(store, f"{TEXT}\n{named}")
    push(store, f"{TEXT}\n{named.replace('run.example', 'other.example')}", 400)
    push(store, f"{TEXT}\n{run.replace('run.example', 'other.example')}")


def test_prices_come_along_or_stay(store: House) -> None:
    """Those of the live catalog hold until others are pushed."""
    push(store, changed("one"), prices=CHEAP)
    push(store, changed("two"))
    [record] = store.stored("catalog#000002")
    assert list(decode(unpacked(record["compiled"])).prices) == ["gpu_service"]
    error = push(store, changed("three"), 400, prices="[openai]\n")["error"]
    assert error["message"].startswith("prices.toml:1: openai.source")


def test_only_the_first_organization_pushes(store: House) -> None:
    """A catalog serves all of them."""
    store.call("POST", "/admin/organizations", {"id": "acme", "name": "Acme"})
    other = Principal("acme-bossbossboss", "acme", "admin", "enterprise", (), NOW + 100)
    for method, path in (("PUT", ""), ("GET", ""), ("GET", "/1"), ("POST", "/rollback")):
        reply = store.call(method, f"/admin/catalog{path}", {"catalog": TEXT} if method == "PUT" else {}, caller=other)
        assert reply.status == 403


def test_new_models_can_have_limits(store: House) -> None:
    """As soon as they are live."""
    limits = {"requests_per_minute": 5}
    assert store.call("PUT", "/admin/limits/model:newest", limits).status == 404
    push(store, changed("newest"))
    assert store.call("PUT", "/admin/limits/model:newest", limits).status == 200


def test_a_store_out_of_reach_is_told(store: House) -> None:
    """What is stored and not told everywhere asks to be repeated; the gateway finds it in the Directory meanwhile."""
    away = store.without_valkey()
    away.control = away.control._replace(deployed=store.control.deployed)
    assert push(away, changed("one"), 503)["error"]["code"] == "store_unavailable"
    assert push(store, changed("one"))["number"] == 2
