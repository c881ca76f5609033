"""The authorizer: who is let in, who is not, and what they are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.authorizer import Authorizer, RefusedError, chosen_by, holder_by_token
from functions.remembered import Remembered
from shared.core import keys
from shared.core.enrolment import Enrolment
from shared.core.principals import from_context
from shared.edge.aws import AwsError
from tests.functions.door import ARN, KEY, NOW, OTHER, PEPPER, RECORD, Shelf, authorizer, bearer, event_of, refused

if TYPE_CHECKING:
    from shared.edge.directory import KeyRecord


def test_lets_a_good_key_in_and_says_whose_it_is() -> None:
    """Allowed on the whole stage, counted against its tier's plan, known to the other functions."""
    verdict = authorizer(RECORD).verdict(event_of(bearer(KEY)))
    assert verdict["policyDocument"]["Statement"] == [
        {
            "Action": "execute-api:Invoke",
            "Effect": "Allow",
            "Resource": "arn:aws:execute-api:us-east-1:123456789012:abc123/prod/*",
        }
    ]
    assert (verdict["principalId"], verdict["usageIdentifierKey"]) == (KEY.id, "stack-pro")
    assert tuple(from_context(verdict["context"])) == (
        KEY.id,
        "default",
        "developer",
        "pro",
        ("simulated", "gpt-4o"),
        NOW + 10,
        "",
        "blue",
        RECORD.hash[:16],
        "",
        0,
    )


@pytest.mark.parametrize(
    ("enrolment", "named"),
    [
        (Enrolment("id", f"stack-{KEY.id}", "pro", NOW), f"stack-{KEY.id}"),
        (Enrolment("id", f"stack-{KEY.id}", "pro", NOW + 1), "stack-pro"),  # not known everywhere yet
        (Enrolment("id", f"stack-{KEY.id}", "free", NOW), "stack-pro"),  # in the plan of a tier that was
        (Enrolment("id", f"stack-{KEY.id}", "", NOW), "stack-pro"),
        (Enrolment("id", f"another-{KEY.id}", "pro", NOW), "stack-pro"),  # of a stack that is gone
        (None, "stack-pro"),
    ],
)
def test_counts_a_key_against_its_own_where_that_can_be_relied_on(enrolment: Enrolment | None, named: str) -> None:
    """And else against the one that all of its tier share: API Gateway refuses what it does not know."""
    verdict = authorizer(RECORD._replace(enrolment=enrolment)).verdict(event_of(bearer(KEY)))
    assert verdict["usageIdentifierKey"] == named


@pytest.mark.parametrize(
    "sent",
    [
        [("authorization", f"bearer {KEY.text}")],
        [("AUTHORIZATION", f"BEARER   {KEY.text} \t")],
        [("x-api-key", KEY.text)],
        [("X-Api-Key", f" {KEY.text} ")],
        [bearer(KEY), ("x-api-key", KEY.text)],
        [bearer(KEY), bearer(KEY)],
        [
            bearer(KEY),
            ("x-api-key", KEY.text),
            ("X-Forwarded-For", "1.2.3.4"),
            ("X-Org", "other"),
            ("X-Role", "admin"),
        ],
    ],
)
def test_accepts_the_forms_in_which_clients_send_a_key(sent: list[tuple[str, str]]) -> None:
    """Any case, either header, the same key twice; headers that claim an identity change nothing."""
    principal = authorizer(RECORD).identify(event_of(*sent))
    assert (principal.key_id, principal.org, principal.role) == (KEY.id, "default", "developer")


@pytest.mark.parametrize("form", [{"multiValueHeaders": None}, {"headers": None}])
def test_reads_either_form_of_headers(form: dict[str, None]) -> None:
    """Both maps are looked at, and one is enough."""
    assert authorizer(RECORD).identify({**event_of(bearer(KEY)), **form}).key_id == KEY.id


@pytest.mark.parametrize(
    "sent",
    [
        [bearer(KEY), bearer(OTHER)],
        [bearer(OTHER), bearer(KEY)],
        [bearer(KEY), ("authorization", f"Bearer {OTHER.text}")],
        [bearer(KEY), ("x-api-key", OTHER.text)],
        [("x-api-key", KEY.text), ("x-api-key", OTHER.text)],
        [("x-api-key", KEY.text), ("Authorization", "Bearer")],
        [("x-api-key", ""), bearer(KEY)],
    ],
)
def test_refuses_two_credentials_that_differ(sent: list[tuple[str, str]]) -> None:
    """No rule picks one of them, even if one is good, wherever it stands."""
    assert "they differ" in refused(event_of(*sent))


def test_refuses_what_only_one_of_the_two_maps_shows() -> None:
    """A key that hides in one form of the headers counts as well."""
    event = {**event_of(bearer(KEY)), "headers": {"Authorization": f"Bearer {OTHER.text}"}}
    assert "they differ" in refused(event)


@pytest.mark.parametrize(
    "event",
    [
        event_of(),
        event_of(("Authorization", "")),
        event_of(("Authorization", "Bearer ")),
        event_of(("x-api-key", " ")),
        event_of(queryStringParameters={"api_key": KEY.text, "key": KEY.text}),
        event_of(("Cookie", f"Authorization=Bearer {KEY.text}")),
        {"methodArn": ARN},
    ],
    ids=["nothing", "empty", "bearer-only", "blank", "query", "cookie", "no-headers"],
)
def test_tells_how_to_send_a_key_when_there_is_none(event: dict[str, Any]) -> None:
    """No key, an empty one, and one in the query string, where it would be logged, are all no key."""
    assert refused(event).startswith("No API key was sent. Send it as Authorization: Bearer")


@pytest.mark.parametrize(
    "value",
    [
        KEY.text,
        f"Basic {KEY.text}",
        f"Bearer{KEY.text}",
        f"Bearer\t{KEY.text}",
        f"Bearer Bearer {KEY.text}",
        f"Bearer {KEY.text}, Bearer {KEY.text}",
        f"Bearer {KEY.text},",
        f'Bearer "{KEY.text}"',
        f"Bearer {KEY.text}\r\nx-api-key: {KEY.text}",
        f"Bearer {KEY.text}\0",
        f"Bearer {KEY.text[:-1]}",
        f"Bearer {KEY.text.upper()}",
        f"Bearer nexus_{KEY.id}",
        "Bearer sk-proj-abc",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "Bearer " + "a" * 9000,
        "Bearer \u212aEY",
        "Bearer ../../etc/passwd",
        "Bearer nexus_a'b\\c\"d\x1b[31m-abcdefghijkl_" + "x" * 43,
    ],
)
def test_refuses_what_is_no_key_without_looking_it_up(value: str) -> None:
    """Malformed credentials cost no read of the table, and are not repeated to the sender."""
    shelf = Shelf(RECORD)
    authorizer = Authorizer(shelf, lambda: PEPPER, "stack", lambda: NOW)
    with pytest.raises(RefusedError, match="is not an API key"):
        authorizer.identify(event_of(("Authorization", value)))
    assert shelf.asked == []
    assert refused(event_of(("Authorization", value)))


@given(st.text(max_size=60), st.sampled_from(["Authorization", "x-api-key"]))
def test_no_text_gets_in(text: str, header: str) -> None:
    """Whatever a header holds, the answer is a refusal in plain words."""
    assert refused(event_of((header, text)))


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ((RECORD._replace(id=OTHER.id),), "does not exist"),
        ((RECORD._replace(hash=keys.digest(PEPPER, OTHER)),), "does not exist"),
        ((RECORD._replace(hash=keys.digest("another pepper", KEY)),), "does not exist"),
        ((RECORD._replace(hash=""),), "does not exist"),
        ((RECORD._replace(hash="0" * 64),), "does not exist"),
        ((RECORD._replace(revoked=True),), "is revoked"),
        ((RECORD._replace(expires_at=NOW),), "expired on 2025-06-15"),
        ((RECORD._replace(expires_at=1),), "expired on 1970-01-01"),
    ],
)
def test_refuses_a_key_that_is_not_good(records: tuple[KeyRecord, ...], told: str) -> None:
    """Unknown, of another secret, revoked, expired to the second: each is told apart only to the key's own holder."""
    assert told in refused(event_of(bearer(KEY)), *records)


def test_tells_strangers_nothing_about_a_key() -> None:
    """Who knows an id but not its secret hears the same of a good, a revoked, an expired and a missing key."""
    stranger = keys.Key(KEY.org, KEY.id, OTHER.secret)
    for record in (RECORD, RECORD._replace(revoked=True), RECORD._replace(expires_at=1), RECORD._replace(id="x")):
        assert "does not exist" in refused(event_of(bearer(stranger)), record)


def test_a_key_may_never_expire() -> None:
    """0 is no date."""
    assert authorizer(RECORD._replace(expires_at=0)).identify(event_of(bearer(KEY))).expires_at == 0


def test_an_outage_is_no_refusal() -> None:
    """When the Directory fails the authorizer fails: a good key is not called bad."""
    shelf = Shelf(RECORD)
    shelf.broken = True
    with pytest.raises(AwsError):
        Authorizer(shelf, lambda: PEPPER, "stack").verdict(event_of(bearer(KEY)))


def test_what_an_organization_wants_of_a_lost_store_is_told() -> None:
    """It is read once a minute for all of its keys; where it cannot be read, the key is good all the same."""

    class Records:
        asked: ClassVar[list[tuple[str, str]]] = []
        broken = False

        def item(self, org: str, name: str) -> dict[str, Any] | None:
            self.asked.append((org, name))
            if self.broken:
                raise AwsError("dynamodb", "ProvisionedThroughputExceededException", "not now")
            return {"on_store_loss": "serve"}

    for broken, told in ((False, "serve"), (True, "")):
        records = Records()
        records.broken = broken
        door = authorizer(RECORD)._replace(on_store_loss=chosen_by(records))
        for _ in range(2):
            assert from_context(door.verdict(event_of(bearer(KEY)))["context"]).on_store_loss == told
    assert Records.asked == [("default", "organization#default")] * 2


def test_a_token_ends_with_the_secret_that_it_was_given_for() -> None:
    """Once the overlap of a rotation is over; a token of before, which does not say for which, lives as it did."""
    old, new = "0" * 64, "1" * 64
    records = [RECORD._replace(hash=new, previous_hash=old, previous_until=NOW + 5)]
    holder = holder_by_token(Remembered(lambda *_: records[-1], lambda: 0.0), lambda: now)
    now = NOW
    assert holder("default", KEY.id, old[:16]).secret == old[:16]
    now = NOW + 5
    with pytest.raises(RefusedError, match="was rotated"):
        holder("default", KEY.id, old[:16])
    assert holder("default", KEY.id, new[:16]).secret == new[:16]
    assert not holder("default", KEY.id, "").secret
    with pytest.raises(RefusedError, match="does not exist"):
        holder_by_token(Remembered(lambda *_: None))("default", KEY.id, "")


def test_a_secret_of_a_moment_ago_is_looked_up() -> None:
    """The authorizer remembers the key with the one before."""
    records = [RECORD._replace(hash="0" * 64)]
    clock = [0.0]
    holder = holder_by_token(Remembered(lambda *_: records[-1], lambda: clock[0]), lambda: NOW)
    assert holder("default", KEY.id, "0" * 16)
    records.append(RECORD._replace(hash="1" * 64))
    clock[0] += 2
    assert holder("default", KEY.id, "1" * 16)
