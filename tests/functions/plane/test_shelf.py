"""A catalog that is pushed while the gateway runs: taken up without a restart, or left alone when it is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from functions.shelf import STALE_SECONDS, packed
from shared.core.catalog import Catalog, Model, Target, Tier
from tests.functions.plane.rig import encoded

if TYPE_CHECKING:
    from tests.functions.plane.rig import Rig

PLACE = "{default}:policy:catalog:live"


def pushed(rig: Rig, number: int, version: int, compiled: bytes | str, *, told: bool = True) -> None:
    """Have the Directory and the store say that this catalog is live."""
    text = compiled if isinstance(compiled, str) else packed(compiled)
    rig.aws.others = [
        encoded({"sk": "catalog", "version": version, "serves": number}),
        encoded({"sk": f"catalog#{number:06d}", "version": 1, "compiled": text}),
    ]
    if told:
        rig.valkey.hset(PLACE, "version", version)


def with_model(rig: Rig, name: str) -> bytes:
    """The gateway's catalog with one more model, and tiers that nobody deployed."""
    known: Catalog = rig.gateway.catalog
    more = Model(name, "chat", (Target("openai", name),), "openai")
    changed = msgspec.structs.replace(known, models={**known.models, name: more}, tiers={"free": Tier(1)})
    return msgspec.json.encode(changed)


def passed(rig: Rig, seconds: float) -> None:
    """Let the gateway believe that so much time has passed since it last heard of its catalog."""
    shelf: Any = rig.gateway.shelf
    shelf._heard -= seconds
    shelf._not_before = 0.0


def told(rig: Rig) -> list[tuple[str, int]]:
    """What was said of catalogs."""
    return [(line["state"], line["version"]) for line in rig.lines if line["event"] == "catalog.v1"]


def test_a_process_in_use_has_it_after_its_next_request(rig: Rig) -> None:
    """The admission tells the version; then it is read once, and serves; the tiers stay those of the deployment."""
    tiers = rig.gateway.catalog.tiers
    assert rig.chat(stream=False).status == 200
    pushed(rig, 1, 1, with_model(rig, "newest"))
    assert rig.chat(stream=False).status == 200
    rig.aws.calls.clear()
    assert rig.chat(model="newest", stream=False).status == 200
    assert rig.chat(model="newest", stream=False).status == 200
    assert rig.aws.calls[:2] == ["GetItem"] * 2  # what says which is live, and that one
    assert rig.upstream.requests[-1].json["model"] == "newest"
    assert rig.gateway.catalog.tiers == tiers
    assert told(rig) == [("loaded", 1)]


def test_an_idle_process_asks_before_it_serves(rig: Rig) -> None:
    """Once half a minute has passed, and not before."""
    assert rig.chat(stream=False).status == 200
    pushed(rig, 1, 1, with_model(rig, "newest"))
    assert rig.chat(model="newest", stream=False).status == 404
    passed(rig, STALE_SECONDS + 1)
    assert rig.chat(model="newest", stream=False).status == 200


def test_a_new_process_begins_with_the_live_one(rig: Rig) -> None:
    """Also where the store has forgotten it: the Directory knows, and the store is told."""
    pushed(rig, 3, 7, with_model(rig, "newest"), told=False)
    assert rig.chat(model="newest", stream=False).status == 200
    assert rig.valkey.hgetall(PLACE)[b"version"] == b"7"


def test_a_rollback_to_the_deployed_one(rig: Rig) -> None:
    """Number 0 is what the function was deployed with."""
    pushed(rig, 1, 1, with_model(rig, "newest"))
    assert rig.chat(model="newest", stream=False).status == 200
    pushed(rig, 0, 2, "")
    rig.chat(stream=False)
    assert rig.chat(model="newest", stream=False).status == 404


BROKEN = {"no base64": "#", "no zlib": "YWJj", "no catalog": packed(b'{"version": 1}'), "no JSON": packed(b"{")}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_cannot_be_read_changes_nothing(rig: Rig, fault: str) -> None:
    """A line says so, once in a while; the catalog at hand serves on, until a good one comes."""
    assert rig.chat(stream=False).status == 200
    pushed(rig, 1, 1, BROKEN[fault])
    for _ in range(3):
        assert rig.chat(stream=False).status == 200
    assert told(rig) == [("unreadable", 1)]
    pushed(rig, 2, 2, with_model(rig, "newest"))
    rig.chat(stream=False)
    passed(rig, 0)
    assert rig.chat(model="newest", stream=False).status == 200


def test_a_directory_out_of_reach_changes_nothing(rig: Rig) -> None:
    """Neither does a store: what is at hand serves."""
    assert rig.chat(stream=False).status == 200
    pushed(rig, 1, 1, with_model(rig, "newest"))
    rig.chat(stream=False)
    rig.aws.fails = True
    assert rig.chat(stream=False).status == 200
    rig.aws.fails = False
    passed(rig, 0)
    assert rig.chat(model="newest", stream=False).status == 200
