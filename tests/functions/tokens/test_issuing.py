"""Tokens are issued to whoever proves to be somebody, open the door, and are refused in OAuth's words."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from functions import passwords
from shared.core import keys
from shared.edge.attempts import MOST_OF_USER_FROM_ADDRESS
from shared.edge.signing import derive
from tests.fakes.tokens import ALICE, KID, NOW, OLD_SEED, OURS
from tests.functions.tokens.conftest import HASH, KEY, PASSWORD, RECORD

if TYPE_CHECKING:
    from tests.functions.tokens.conftest import Desk, Reply

FORM = "application/x-www-form-urlencoded"


def claims_of(reply: Reply, desk: Desk) -> dict[str, Any]:
    """Verify a token as a stranger does who has fetched our keys; the times are those of the tests."""
    published = desk.call({"httpMethod": "GET", "resource": "/.well-known/jwks.json"}).json
    token = reply.json["access_token"]
    key = jwt.PyJWKSet.from_dict(published)[jwt.get_unverified_header(token)["kid"]]
    options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    found: dict[str, Any] = jwt.decode(
        token, key, algorithms=["ES256"], audience="ai-nexus", issuer=OURS, options=options
    )
    return found


def test_a_user_gets_a_token_for_an_hour(desk: Desk) -> None:
    """It says who the user is and not what they may; it is signed with the current key; no cache keeps it."""
    reply = desk.log_in()
    assert (reply.status, reply.json["token_type"], reply.json["expires_in"]) == (200, "Bearer", 3600)
    assert reply.headers["cache-control"] == "no-store"
    said = claims_of(reply, desk)
    assert jwt.get_unverified_header(reply.json["access_token"]) == {"alg": "ES256", "kid": KID, "typ": "at+jwt"}
    assert said.pop("jti")
    assert said == {
        "iss": OURS,
        "aud": "ai-nexus",
        "sub": "alice",
        "org": "default",
        "kind": "user",
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 3600,
    }


def test_the_token_opens_the_door_as_the_directory_says_now(desk: Desk) -> None:
    """Role, tier, team and models are read when it is used, so that an edit of the user needs no new token."""
    token = desk.log_in().json["access_token"]
    context = desk.gate.verdict(token)["context"]
    assert (context["key_id"], context["user"], context["team"]) == ("default-jwt-pro-alice", "alice", "red")
    assert (context["role"], context["tier"], context["models"]) == ("developer", "pro", "simulated")
    desk.gate.users["default", "alice"] = ALICE._replace(role="viewer", tier="free", team=None)
    verdict = desk.gate.verdict(token)
    assert (verdict["context"]["role"], verdict["usageIdentifierKey"]) == ("viewer", "stack-free")


@pytest.mark.parametrize("change", [{"disabled": True}, {"tokens_since": NOW + 1}])
def test_a_token_ends_with_its_users_right_to_it(desk: Desk, change: dict[str, Any]) -> None:
    """A user who was disabled, or whose password was changed, is let in with no older token."""
    token = desk.log_in().json["access_token"]
    desk.gate.users["default", "alice"] = ALICE._replace(**change)
    assert "void" in desk.gate.verdict(token)["context"]["message"]


def test_no_token_is_void_from_the_start(desk: Desk) -> None:
    """Within the second in which the user's older tokens ended, and by a clock that is behind."""
    desk.gate.users["default", "alice"] = ALICE._replace(password_hash=HASH, tokens_since=NOW + 1)
    token = desk.log_in().json["access_token"]
    context = desk.gate.verdict(token)["context"]
    assert (context["user"], context["issued_at"]) == ("alice", str(NOW + 1))


def test_json_will_do_as_well(desk: Desk) -> None:
    """A JSON object with the same fields gives the same."""
    fields = {"grant_type": "password", "username": "alice", "password": PASSWORD}
    assert desk.send(json.dumps(fields), "application/json").status == 200


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("alice", "wrong"),
        ("alice", PASSWORD + " "),
        ("alice", PASSWORD.upper()),
        ("alice", "x" * 5000),
        ("mallory", PASSWORD),
        ("Alice", PASSWORD),
        ("okta:00u1", PASSWORD),
        ("../user", PASSWORD),
        ("nobody-has-set-one", PASSWORD),
        ("disabled", PASSWORD),
    ],
)
def test_whoever_is_not_known_hears_one_thing(desk: Desk, user: str, password: str) -> None:
    """A wrong password, an unknown, disabled or passwordless user: one answer for all, so that none can be told."""
    desk.gate.users["default", "nobody-has-set-one"] = ALICE._replace(id="nobody-has-set-one")
    desk.gate.users["default", "disabled"] = ALICE._replace(id="disabled", disabled=True, password_hash=HASH)
    reply = desk.log_in(user, password)
    assert (reply.status, reply.json["error"]) == (400, "invalid_grant")
    assert reply.json == desk.log_in("alice", "also wrong").json
    assert PASSWORD not in reply.text + json.dumps(desk.lines)


def test_passwords_are_the_same_however_they_are_typed() -> None:
    """An e with an accent, in one sign or in two, is one password; a hash is never the same twice."""
    stored = passwords.hashed("caf\u00e9")
    assert passwords.verify(stored, "cafe\u0301")
    assert stored != passwords.hashed("caf\u00e9")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert not passwords.verify(None, "caf\u00e9")
    assert not passwords.verify("damaged", "caf\u00e9")
    for refused in ("", "x" * 1025):
        with pytest.raises(ValueError, match="1 to 1024"):
            passwords.hashed(refused)


def test_who_is_not_there_takes_as_long(desk: Desk) -> None:
    """Or the time of an answer would tell who is."""

    def took(user: str) -> float:
        began = time.process_time()
        assert desk.log_in(user, "wrong").status == 400
        return time.process_time() - began

    assert min(took("nobody") for _ in range(3)) > min(took("alice") for _ in range(3)) / 3


def test_guessing_is_slow(desk: Desk) -> None:
    """After ten wrong tries from one address the right password is no good there, and still good elsewhere."""
    for _ in range(MOST_OF_USER_FROM_ADDRESS):
        assert desk.log_in(password="guess").status == 400
    reply = desk.log_in()
    assert (reply.status, reply.json["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 0 < int(reply.headers["retry-after"]) <= 300
    assert desk.log_in("bob", "guess").status == 400
    assert desk.log_in(address="192.0.2.2").status == 200


def test_logging_in_often_is_no_guessing(desk: Desk) -> None:
    """Who knows the password is not counted against it."""
    assert {desk.log_in().status for _ in range(MOST_OF_USER_FROM_ADDRESS + 2)} == {200}


def test_a_service_gets_a_token_for_its_key(desk: Desk) -> None:
    """Client id and secret are the key's id and the key; the token is the key: same id, role, limits, revocation."""
    reply = desk.ask(grant_type="client_credentials", client_id=KEY.id, client_secret=KEY.text)
    assert reply.status == 200
    said = claims_of(reply, desk)
    assert (said["sub"], said["kind"]) == (KEY.id, "key")
    verdict = desk.gate.verdict(reply.json["access_token"])
    assert (verdict["principalId"], verdict["context"]["secret"]) == (KEY.id, keys.mark(RECORD.hash))


def test_a_service_may_use_http_basic(desk: Desk) -> None:
    """As RFC 6749 demands; but not both ways at once."""
    basic = "Basic " + base64.b64encode(f"{KEY.id}:{KEY.text}".encode()).decode()
    assert desk.send("grant_type=client_credentials", FORM, Authorization=basic).status == 200
    both = f"grant_type=client_credentials&client_secret={KEY.text}"
    assert desk.send(both, FORM, Authorization=basic).json["error"] == "invalid_request"
    for broken in ("Basic", "Basic !", "Basic eA==", "Basic /w=="):
        reply = desk.send("grant_type=client_credentials", FORM, Authorization=broken)
        assert (reply.status, reply.json["error"]) == (401, "invalid_client")


def test_a_token_does_not_outlive_its_key(desk: Desk) -> None:
    """A key that ends in a minute gives a token for a minute."""
    desk.keys["default", KEY.id] = RECORD._replace(expires_at=NOW + 60)
    reply = desk.ask(grant_type="client_credentials", client_id=KEY.id, client_secret=KEY.text)
    assert reply.json["expires_in"] == 60


@pytest.mark.parametrize(
    ("client_id", "secret", "change"),
    [
        (KEY.id, "wrong", {}),
        (KEY.id, KEY.secret, {}),
        (KEY.id, keys.Key("default", KEY.id, "x" * 43).text, {}),
        ("default-aaaaaaaaaaaa", KEY.text, {}),
        (KEY.id, KEY.text, {"revoked": True}),
        (KEY.id, KEY.text, {"expires_at": NOW}),
        (KEY.id, KEY.text, {"hash": "0" * 64}),
    ],
)
def test_a_client_that_is_not_known(desk: Desk, client_id: str, secret: str, change: dict[str, Any]) -> None:
    """One answer for all of them, 401 as RFC 6749 has it."""
    desk.keys["default", KEY.id] = RECORD._replace(**change)
    reply = desk.ask(grant_type="client_credentials", client_id=client_id, client_secret=secret)
    assert (reply.status, reply.json["error"]) == (401, "invalid_client")
    assert reply.headers["www-authenticate"].startswith("Basic")
    assert KEY.secret not in reply.text


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        ("", FORM, "invalid_request"),
        ("grant_type=password", FORM, "invalid_request"),
        ("grant_type=password&username=alice", FORM, "invalid_request"),
        ("grant_type=password&username=alice&password=", FORM, "invalid_request"),
        ("grant_type=password&grant_type=password&username=a&password=b", FORM, "invalid_request"),
        ("grant_type=refresh_token", FORM, "unsupported_grant_type"),
        ("grant_type=password&username=%ff&password=b", FORM, "invalid_request"),
        ("&".join(f"a{n}=1" for n in range(30)), FORM, "invalid_request"),
        ("x" * 20_000, FORM, "invalid_request"),
        ("{", "application/json", "invalid_request"),
        ("[]", "application/json", "invalid_request"),
        ('{"grant_type": ["password"]}', "application/json", "invalid_request"),
        ('{"grant_type": "password", "username": {"$ne": ""}, "password": "x"}', "application/json", "invalid_request"),
        ("[" * 10_000, "", "invalid_request"),
    ],
)
def test_a_request_that_makes_no_sense(desk: Desk, body: str, kind: str, error: str) -> None:
    """400 in OAuth's words, whatever came; nothing is counted or looked up."""
    reply = desk.send(body, kind)
    assert (reply.status, reply.json["error"]) == (400, error)
    assert isinstance(reply.json["error_description"], str)


def test_both_keys_are_published_and_the_old_one_still_verifies(desk: Desk) -> None:
    """After a rotation the key before it stays for the tokens that it signed; private halves are never shown."""
    published = desk.call({"httpMethod": "GET", "resource": "/.well-known/jwks.json"})
    assert [key["kid"] for key in published.json["keys"]] == [KID, derive(OLD_SEED).jwk["kid"]]
    assert not any("d" in key for key in published.json["keys"])
    assert published.headers["cache-control"] == "public, max-age=300"
    old = desk.log_in().json["access_token"]
    desk.gate.vault.text = json.dumps({"current": "n" * 64, "previous": json.loads(desk.gate.vault.text)["current"]})
    desk.gate.vault.kept = desk.gate.vault.text
    new = desk.log_in().json["access_token"]
    for token in (old, new):
        assert desk.gate.verdict(token)["context"].get("user") == "alice"
    assert OLD_SEED not in published.text


def test_an_unknown_key_of_ours_is_looked_for_once_more(desk: Desk) -> None:
    """A token signed right after a rotation is good where the old secret is still remembered."""
    stale = desk.gate.vault.text
    desk.gate.vault.text = json.dumps({"current": "n" * 64, "previous": "c" * 64})
    desk.gate.vault.kept = desk.gate.vault.text
    token = desk.log_in().json["access_token"]
    desk.gate.vault.kept = stale
    assert desk.gate.verdict(token)["context"].get("user") == "alice"
    assert desk.gate.vault.refreshed == 1


def test_other_paths_are_not_there(desk: Desk) -> None:
    """In the envelope of all errors, and without the path in the log."""
    reply = desk.call({"httpMethod": "GET", "resource": "/secret"})
    assert (reply.status, reply.json["error"]["code"]) == (404, "unknown_url")
    assert desk.lines[-1]["route"] == ""


def test_nobody_logs_in_uncounted(desk: Desk) -> None:
    """While attempts cannot be counted, passwords are not tried: 503, and it may be tried again."""
    desk.store._connection.port = 9
    desk.store.drop()
    reply = desk.log_in()
    assert (reply.status, reply.json["error"]["code"]) == (503, "store_unavailable")
    assert reply.headers["retry-after"] == "1"
