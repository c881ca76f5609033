"""The gateway at its door: routes, bodies, identity, permissions, health, and failures of its own stores."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from functions.gateway import handler
from functions.plane import build
from shared.core.catalog import Tier
from shared.edge.settings import SettingsError
from tests.functions.plane.rig import CHAT, KEY, item

if TYPE_CHECKING:
    from tests.functions.plane.rig import Client, Rig

MEMBERS = {"type", "message", "code", "param"}


def refused(client: Client, status: int, code: str, param: str | None = None) -> dict[str, Any]:
    """Check that this is the error envelope, whole, and return the error object."""
    assert client.status == status, client.body
    assert client.headers["content-type"] == "application/json"
    assert client.headers["x-request-id"]
    assert client.json["type"] == "error"
    error: dict[str, Any] = client.json["error"]
    assert error.keys() >= MEMBERS
    assert (error["code"], error["param"]) == (code, param)
    return error


def test_the_handler_says_that_it_streams() -> None:
    """The runtime loop looks at this attribute."""
    assert handler.streams is True  # type: ignore[attr-defined]


def test_the_first_request_of_a_key_projects_it(rig: Rig) -> None:
    """Valkey knows nothing: the Directory is read once, consistently; the next requests touch no other store."""
    assert rig.chat(stream=False).status == 200
    assert rig.chat(stream=False).status == 200

    # which catalog is live; then the key, its tier, organization and model
    assert rig.aws.calls == ["GetItem", "GetSecretValue", *["GetItem"] * 4]
    assert rig.valkey.hget(f"{{default}}:policy:key:{KEY}", "rpm") == b"600"


def test_a_tiers_new_limits_hold_for_keys_that_are_known(rig: Rig) -> None:
    """A catalog that was changed and deployed counts from the next request on, for one look at the key and its tier."""
    assert rig.chat(stream=False).headers["x-ratelimit-limit-requests"] == "600"
    known = rig.aws.calls.count("GetItem")

    changed = rig.restarted(tiers={"pro": Tier(requests_per_minute=7)})
    assert changed.chat(stream=False).headers["x-ratelimit-limit-requests"] == "7"
    assert changed.chat(stream=False).headers["x-ratelimit-limit-requests"] == "7"
    assert rig.aws.calls.count("GetItem") == known + 2  # the key, and its tier


def test_two_versions_of_a_deployment_serve_side_by_side(rig: Rig) -> None:
    """While one goes and the other comes, each writes its own limits, and neither is kept from serving by that."""
    changed = rig.restarted(tiers={"pro": Tier(requests_per_minute=7)})
    for version in (rig, changed, rig, changed):
        assert version.chat(stream=False).status == 200


def test_a_flushed_store_heals_itself(rig: Rig) -> None:
    """After FLUSHALL, and after the scripts are lost, requests go on; a revoked key stays revoked."""
    assert rig.chat().status == 200
    rig.valkey.flushall()
    rig.valkey.script_flush()
    assert rig.chat().status == 200

    rig.aws.item = item(revoked=True, version=2)
    rig.valkey.flushall()
    refused(rig.chat(), 401, "invalid_api_key")


@pytest.mark.parametrize("change", [{"revoked": True}, {"expires_at": 5}])
def test_a_dead_key_is_refused_whatever_the_authorizer_remembers(rig: Rig, change: dict[str, Any]) -> None:
    """Revoked or expired in the Directory: 401, nothing reaches the provider, nothing is booked."""
    rig.aws.item = item(**change)

    refused(rig.chat(), 401, "invalid_api_key")

    assert rig.upstream.requests == []
    assert rig.usage() == []


def test_a_deleted_key_is_refused(rig: Rig) -> None:
    """The authorizer's memory outlives the key; admission does not."""
    rig.aws.item = None

    refused(rig.chat(), 401, "invalid_api_key")


def test_the_limit_is_told_before_and_when_it_is_reached(rig: Rig) -> None:
    """Two per minute: the headers count down, the third is a 429 with all that is known of it."""
    rig.aws.item = item(tier="free")
    left = [rig.chat(stream=stream).headers["x-ratelimit-remaining-requests"] for stream in (True, False)]

    client = rig.chat()

    assert left == ["1", "0"]
    error = refused(client, 429, "rate_limit_exceeded")
    assert (error["scope"], error["rule"], error["limit"]) == ("key", "requests_per_minute", 2)
    assert (error["used"], error["reserved"]) == (2, 0)
    assert 55 <= int(client.headers["retry-after"]) <= 60
    assert error["resets_at"] > 1_700_000_000
    assert client.headers["x-ratelimit-remaining-requests"] == "0"
    assert len(rig.upstream.requests) == 2


def test_own_limits_of_a_key_beat_its_tier(rig: Rig) -> None:
    """A key of the pro tier with one request per hour gets one."""
    rig.aws.item = item(limits={"requests_per_hour": 1})
    assert rig.chat().status == 200

    assert refused(rig.chat(), 429, "rate_limit_exceeded")["rule"] == "requests_per_hour"


def test_unknown_and_forbidden_models_look_the_same(rig: Rig) -> None:
    """A model that is not for this key does not exist, nor is it hinted at; nothing is counted or asked."""
    hinted = refused(rig.chat(model="gpt-4p"), 404, "model_not_found", "model")
    assert "Did you mean 'gpt-4o'? GET /v1/models" in hinted["message"]
    rig.aws.item, own = item(models=["far", "both"]), {"models": "far,both"}
    missing = refused(rig.chat(model="gpt-4p", identity=own), 404, "model_not_found", "model")
    forbidden = refused(rig.chat(identity=own), 404, "model_not_found", "model")

    assert missing["message"].replace("gpt-4p", "gpt-4o") == forbidden["message"]
    assert "Did you mean" not in missing["message"]
    assert rig.valkey.keys("*") == [b"{default}:policy:catalog:live"]
    assert {line["model"] for line in rig.lines} == {"none"}


def test_roles_are_kept(rig: Rig) -> None:
    """A viewer reads the lists and asks no model."""
    for role in ("nobody", "viewer"):
        rig.aws.item = item(role=role)
        refused(rig.chat(identity={"role": role}), 403, "permission_denied")
    assert rig.call("GET", "/v1/models", identity={"role": "viewer"}).status == 200


def test_a_request_without_identity_is_refused(rig: Rig) -> None:
    """Should the authorizer ever be left out, nothing opens."""
    for context in ({}, {"authorizer": None}, {"authorizer": {"key_id": KEY}}):
        refused(rig.call("POST", CHAT, {}, requestContext=context), 401, "invalid_api_key")


@pytest.mark.parametrize(
    "body", [None, "", "{", "[" * 100_000, "null", '{"model":NaN}', '{"model":"\ud83d"}', "\x00", "9" * 5000]
)
@pytest.mark.parametrize("resource", [CHAT, "/v1/embeddings"])
def test_a_body_that_is_none_is_a_400(rig: Rig, resource: str, body: str | None) -> None:
    """Whatever comes: the envelope, and neither a count nor a call."""
    client = rig.call("POST", resource, body)

    assert client.status == 400, client.body
    assert client.json["error"]["type"] == "invalid_request_error"
    assert rig.valkey.keys("*") == []
    assert [line["outcome"] for line in rig.lines] == [client.json["error"]["code"]]


def test_a_base64_body_is_decoded(rig: Rig) -> None:
    """API Gateway encodes bodies of binary media types; a broken encoding is a 400."""
    text = json.dumps({"model": "org/embed", "input": "x"})

    encoded = base64.b64encode(text.encode()).decode()
    assert rig.call("POST", "/v1/embeddings", encoded, isBase64Encoded=True).status == 200
    refused(rig.call("POST", "/v1/embeddings", "!!!", isBase64Encoded=True), 400, "invalid_request")


def test_a_body_of_seven_megabytes_is_a_413(rig: Rig) -> None:
    """The limit holds here as well, whoever lets it through."""
    refused(rig.call("POST", CHAT, " " * 7_000_000), 413, "request_too_large")


def test_embeddings_are_served_and_booked(rig: Rig) -> None:
    """The other kind goes the same way."""
    client = rig.call("POST", "/v1/embeddings", {"model": "org/embed", "input": "x", "encoding_format": "float"})

    assert client.status == 200
    assert client.json["data"][0]["embedding"] == [0.5, -0.25]
    assert client.headers["x-nexus-model"] == "org/embed"
    assert [(use["prompt"], use["completion"], use["outcome"]) for use in rig.usage()] == [("3", "0", "ok")]


def test_lists_the_models_this_key_can_use(rig: Rig) -> None:
    """What nobody serves here, or is not for this key, is not listed; ids may hold slashes, encoded or not."""
    listed = rig.call("GET", "/v1/models")
    unserved = {"far"}
    assert {model["id"] for model in listed.json["data"]} == {
        *rig.gateway.catalog.models.keys() - unserved,
        *rig.gateway.catalog.aliases,
    }
    assert listed.json["object"] == "list"
    ends = [listed.json["data"][0]["id"], listed.json["data"][-1]["id"]]
    assert [listed.json[name] for name in ("first_id", "last_id", "has_more")] == [*ends, False]
    assert listed.headers["x-ratelimit-limit-requests"] == "600"

    rig.edit(models=["gpt-4o", "far"])
    narrow = rig.call("GET", "/v1/models", identity={"models": "gpt-4o,far"})
    assert [model["id"] for model in narrow.json["data"]] == ["gpt-4o"]

    rig.edit(version=3)
    for name in ("org/embed", "org%2Fembed"):
        found = rig.call("GET", "/v1/models/{id+}", pathParameters={"id": name})
        assert found.json == {
            "id": "org/embed",
            "object": "model",
            "created": 0,
            "owned_by": "org",
            "type": "model",
            "display_name": "org/embed",
            "created_at": "1970-01-01T00:00:00Z",
        }
    for name in ("far", "none", ""):
        refused(rig.call("GET", "/v1/models/{id+}", pathParameters={"id": name}), 404, "model_not_found", "model")
    assert rig.leases() == 0


def test_a_key_may_name_a_model_that_its_catalog_lacks(rig: Rig) -> None:
    """As after a push without that model: this one is not found, the key's others are there, and no other one is."""
    rig.edit(models=["dropped", "gpt-4o"])
    identity = {"models": "dropped,gpt-4o"}
    assert [one["id"] for one in rig.call("GET", "/v1/models", identity=identity).json["data"]] == ["gpt-4o"]
    for name in ("dropped", "both"):
        refused(rig.chat(identity=identity, model=name, stream=False), 404, "model_not_found", "model")
    assert rig.chat(identity=identity, model="gpt-4o", stream=False).status == 200


def test_paths_and_methods_that_are_none(rig: Rig) -> None:
    """The envelope for them too, with the methods there are."""
    refused(rig.call("GET", "/v1/nothing"), 404, "unknown_url")
    client = rig.call("DELETE", CHAT)
    refused(client, 405, "method_not_allowed")
    assert client.headers["allow"] == "POST"


def test_health_needs_no_key_and_no_store(rig: Rig) -> None:
    """Alive is alive, with everything around it gone."""
    rig.upstream.stop()
    rig.aws.fails = True
    for path in ("/health", "/health/live"):
        client = rig.call("GET", path, requestContext={})
        assert (client.status, client.json) == (200, {"status": "ok"})
    assert rig.call("GET", "/health/ready", requestContext={}).json == {"status": "ok", "checks": {"valkey": "ok"}}


def test_an_unforeseen_error_is_told_without_a_word_of_it(rig: Rig) -> None:
    """A bug in us is a 500 that says nothing; its type and place are logged once, its message never."""
    del rig.gateway.catalog.providers["openai"]

    error = refused(rig.chat(), 500, "internal_error")

    assert "openai" not in json.dumps(error)
    faults = [line for line in rig.lines if line["event"] == "fault"]
    assert [fault["error"] for fault in faults] == ["KeyError"]
    assert any("routing.py" in frame for frame in faults[0]["frames"])
    assert "'openai'" not in json.dumps(rig.lines)


def test_directory_and_secrets_that_fail_are_a_503(rig: Rig) -> None:
    """Nobody steps in for a provider because its secret cannot be read, and no key is waved through."""
    rig.aws.fails = True
    refused(rig.chat(), 503, "upstream_unavailable")
    assert rig.call("GET", "/v1/models").status == 200  # no secret, and nothing to count on

    rig.aws.fails = False
    rig.gateway.providers.configured()
    rig.aws.fails = True
    client = rig.chat()
    refused(client, 503, "store_unavailable")
    assert int(client.headers["retry-after"]) >= 1
    assert rig.upstream.requests == []


def test_a_secret_that_was_pasted_with_its_line_end_works(rig: Rig) -> None:
    """What an editor or `echo` appended to it is no part of it."""
    rig.aws.secrets["OPENAI_API_KEY"] = " sk-pasted\r\n"

    assert rig.chat().status == 200
    assert rig.upstream.requests[0].headers["authorization"] == "Bearer sk-pasted"


@pytest.mark.parametrize("secret", ["sk-a\r\nx-admin: 1", "sk-\u2026", "sk-\x00"])
def test_a_secret_that_no_header_can_carry_is_a_503(rig: Rig, secret: str) -> None:
    """It is called by its name, its value is not shown, and nothing is sent."""
    rig.aws.secrets["OPENAI_API_KEY"] = secret

    error = refused(rig.chat(), 503, "upstream_unavailable")

    assert "OPENAI_API_KEY" in error["message"]
    assert rig.upstream.requests == []
    assert "sk-" not in json.dumps([error, rig.lines])


def test_a_model_without_credentials_is_a_503(rig: Rig) -> None:
    """It exists, but nobody here may ask for it."""
    refused(rig.chat(model="far"), 503, "upstream_unavailable")


def test_an_environment_that_lacks_something_is_named() -> None:
    """Building the gateway says which variable is missing."""
    with pytest.raises(SettingsError, match="AWS_REGION"):
        build({})
