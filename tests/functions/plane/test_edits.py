"""An edit of a key acts on its very next request, whatever the authorizer remembers of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.core import addresses, policies
from tests.functions.plane.rig import KEY, encoded, item
from tests.functions.plane.test_gateway import refused

if TYPE_CHECKING:
    from tests.functions.plane.rig import Rig

OLD, NEW = "0" * 64, "1" * 64


def from_address(rig: Rig, address: str, **headers: str) -> int:
    """Ask from an address; returns the status."""
    identity = {"key_id": KEY, "org": "default", "role": "developer", "tier": "pro", "models": "", "expires_at": "0"}
    context = {"authorizer": {**identity, "user": "", "team": ""}, "identity": {"sourceIp": address}}
    return rig.chat(requestContext=context, headers=headers).status


def block(rig: Rig, version: int, networks: dict[str, int]) -> None:
    """Block networks, as administrators do."""
    rig.gateway.admission.tell("default", "org:default", version, policies.policy({"addresses": networks}))


def test_a_role_that_was_taken_away_is_gone(rig: Rig) -> None:
    """Nothing is counted and no provider is asked; the role that is left is kept."""
    assert rig.chat().status == 200
    asked, counted = len(rig.upstream.requests), len(rig.usage())
    rig.edit(role="viewer")
    refused(rig.chat(), 403, "permission_denied")
    assert (len(rig.upstream.requests), len(rig.usage())) == (asked, counted)
    assert rig.call("GET", "/v1/models").status == 200


def test_a_role_that_was_given_is_there(rig: Rig) -> None:
    """The Directory is asked before anybody is refused."""
    rig.edit(role="developer")
    assert rig.chat(identity={"role": "viewer"}).status == 200


def test_models_that_were_taken_away_are_gone_and_given_ones_are_there(rig: Rig) -> None:
    """Both ways on the next request."""
    assert rig.chat(model="gpt-4o").status == 200
    rig.edit(models=["both"])
    refused(rig.chat(model="gpt-4o"), 404, "model_not_found", "model")
    rig.edit(version=3, models=["gpt-4o"])
    assert rig.chat(model="gpt-4o", identity={"models": "both"}).status == 200


def test_a_key_that_changed_its_team_is_charged_to_the_new_one(rig: Rig) -> None:
    """Its limits and its books are the new team's at once."""
    assert rig.chat(identity={"team": "blue"}).status == 200
    rig.edit(team="red")
    assert rig.chat(identity={"team": "blue"}).status == 200
    assert rig.usage()[-1]["team"] == "red"


@pytest.mark.parametrize(("until", "status"), [(4_000_000_000, 200), (1, 401)])
def test_a_secret_is_good_until_its_overlap_ends(rig: Rig, until: int, status: int) -> None:
    """An authorizer that remembers it lets it in; admission does not."""
    rig.aws.item = item(hash=OLD)
    assert rig.chat(identity={"secret": OLD[:16]}).status == 200
    rig.edit(hash=NEW, previous_hash=OLD, previous_until=until)
    assert rig.chat(identity={"secret": OLD[:16]}).status == status
    assert rig.chat(identity={"secret": NEW[:16]}).status == 200


def test_a_token_that_was_ended_is_refused_at_once(rig: Rig) -> None:
    """An authorizer that remembers the user lets it in; admission does not, without asking anybody."""
    ann = {"key_id": "default-jwt-pro-ann", "user": "ann", "tier": "pro"}
    record = {"sk": "user#ann", "role": "developer", "tier": "pro", "tokens_since": 1_000}
    assert rig.chat(identity={**ann, "issued_at": "1000"}).status == 200
    rig.gateway.admission.tell("default", "user:ann", 1, policies.policy(record))
    asked, reads = len(rig.upstream.requests), rig.aws.calls.count("GetItem")
    refused(rig.chat(identity={**ann, "issued_at": "999"}), 401, "invalid_api_key")
    assert (len(rig.upstream.requests), rig.aws.calls.count("GetItem")) == (asked, reads)
    assert rig.chat(identity={**ann, "issued_at": "1000"}).status == 200


@pytest.mark.parametrize("kind", ["user", "team"])
def test_who_was_deleted_stays_refused_when_the_store_has_forgotten(rig: Rig, kind: str) -> None:
    """The Directory knows of it, and nobody has to wait for the books; who never was there passes."""
    rig.aws.item = item(**{kind: "ada"})
    assert rig.chat(identity={kind: "ada"}).status == 200
    rig.valkey.flushall()
    rig.aws.others = [encoded({"pk": "default", "sk": f"{kind}#ada", "deleted": True, "version": 2})]
    refused(rig.chat(identity={kind: "ada"}), 403, "permission_denied")
    assert rig.valkey.hget(f"{{default}}:policy:{kind}:ada", "version") == b"2"


def test_another_issuers_user_is_who_the_token_says(rig: Rig) -> None:
    """A record of theirs holds limits, and nothing of a role that could be missed in it."""
    okta = {"key_id": "default-jwt-pro-okta:1", "user": "okta:1", "tier": "pro"}
    rig.aws.others.append(encoded({"pk": "default", "sk": "user#okta:1", "version": 1, "limits": {"concurrency": 9}}))
    refused(rig.chat(identity={**okta, "role": "viewer"}), 403, "permission_denied")
    assert rig.chat(identity={**okta, "role": "developer"}).status == 200


def test_a_new_secret_opens_before_the_store_has_heard_of_it(rig: Rig) -> None:
    """What the store does not know is read in the Directory, once."""
    rig.edit(hash=OLD)
    rig.aws.item = item(version=3, hash=NEW, previous_hash=OLD, previous_until=1)
    assert rig.chat(identity={"secret": NEW[:16]}).status == 200
    reads = rig.aws.calls.count("GetItem")
    assert rig.chat(identity={"secret": NEW[:16]}).status == 200
    assert rig.aws.calls.count("GetItem") == reads


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("203.0.113.7/32", "203.0.113.7", "203.0.113.6"),
        ("203.0.112.0/23", "203.0.113.255", "203.0.114.0"),
        ("10.0.0.0/9", "::ffff:10.127.0.1", "10.128.0.1"),
        ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
        ("2001:db8::1/128", "2001:0db8:0:0::1", "2001:db8::2"),
    ],
)
def test_a_blocked_network_is_shut_out_for_its_time(rig: Rig, network: str, inside: str, outside: str) -> None:
    """By the address that API Gateway saw, never by what a header says."""
    assert from_address(rig, inside) == 200
    block(rig, 2, {network: 4_000_000_000, "198.51.100.0/24": 4_000_000_000, "fe80::/10": 4_000_000_000})
    assert from_address(rig, inside) == 403
    assert from_address(rig, inside, **{"X-Forwarded-For": outside}) == 403
    assert from_address(rig, outside, **{"X-Forwarded-For": inside}) == 200
    assert from_address(rig, "") == 200
    block(rig, 3, {network: 1})
    assert from_address(rig, inside) == 200


def test_an_address_has_one_form() -> None:
    """What is no address has none."""
    assert addresses.bits("1.2.3.4") == addresses.bits("::ffff:1.2.3.4") == "4:00000001000000100000001100000100"
    assert len(addresses.bits("::1")) == 2 + 128
    assert [addresses.bits(text) for text in ("", "None", "1.2.3", "1.2.3.4.5", "x", "1::2::3")] == [""] * 6
