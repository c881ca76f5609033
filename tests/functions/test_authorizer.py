"""The authorizer against a real table: who is let in, who is not, and what they are told."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, ClassVar

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.authorizer import (
    Authorizer,
    RefusedError,
    build,
    chosen_by,
    holder_by_token,
)
from functions.remembered import AGAIN_SECONDS, CACHE_ENTRIES, CACHE_SECONDS, Remembered
from shared.core import keys
from shared.core.enrolment import Enrolment
from shared.core.principals import from_context
from shared.edge.aws import AwsError
from shared.edge.directory import KeyRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PEPPER = "pepper"
NOW = 1_750_000_000
ARN = "arn:aws:execute-api:us-east-1:123456789012:abc123/prod/POST/v1/chat/completions"
KEY = keys.mint("default", bytes(range(48)))
OTHER = keys.mint("default", bytes(range(1, 49)))
RECORD = KeyRecord(
    id=KEY.id,
    org="default",
    hash=keys.digest(PEPPER, KEY),
    name="a key",
    role="developer",
    tier="pro",
    created_at=NOW - 10,
    expires_at=NOW + 10,
    revoked=False,
    last4=KEY.last4,
    version=1,
    limits={},
    models=("simulated", "gpt-4o"),
    team="blue",
)
PLAIN = re.compile(r"[ !#-\[\]-~]+")  # printable ASCII without quotes and backslashes


class Shelf:
    """A Directory in memory that counts how often it is asked, and can be out of order."""

    def __init__(self, *records: KeyRecord) -> None:
        self.records = {(record.org, record.id): record for record in records}
        self.asked: list[tuple[str, str]] = []
        self.broken = False

    def __call__(self, org: str, key_id: str) -> KeyRecord | None:
        """Look up, as `Directory.key` does."""
        self.asked.append((org, key_id))
        if self.broken:
            raise AwsError("dynamodb", "AccessDeniedException", "not yours")
        return self.records.get((org, key_id))


def _authorizer(*records: KeyRecord) -> Authorizer:
    return Authorizer(Shelf(*records), lambda: PEPPER, "stack", lambda: NOW)


def _event(*sent: tuple[str, str], **more: Any) -> dict[str, Any]:
    """An event as API Gateway makes it: the last value of a header in `headers`, all of them in the other."""
    several: dict[str, list[str]] = {}
    for name, value in sent:
        several.setdefault(name, []).append(value)
    single = {name: values[-1] for name, values in several.items()}
    return {"methodArn": ARN, "headers": single, "multiValueHeaders": several, **more}


def _bearer(key: keys.Key) -> tuple[str, str]:
    return ("Authorization", f"Bearer {key.text}")


def _refused(event: Mapping[str, Any], *records: KeyRecord) -> str:
    """The message of a refusal, which must be one in every respect."""
    verdict = _authorizer(*(records or (RECORD,))).verdict(event)
    assert verdict["policyDocument"]["Statement"][0]["Effect"] == "Deny"
    assert "usageIdentifierKey" not in verdict
    assert verdict["context"]["code"] == "invalid_api_key"
    message: str = verdict["context"]["message"]
    assert PLAIN.fullmatch(message)
    for secret in (KEY.secret, OTHER.secret):
        assert secret not in json.dumps(verdict)
    return message


def test_lets_a_good_key_in_and_says_whose_it_is() -> None:
    """Allowed on the whole stage, counted against its tier's plan, known to the other functions."""
    verdict = _authorizer(RECORD).verdict(_event(_bearer(KEY)))
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
    verdict = _authorizer(RECORD._replace(enrolment=enrolment)).verdict(_event(_bearer(KEY)))
    assert verdict["usageIdentifierKey"] == named


@pytest.mark.parametrize(
    "sent",
    [
        [("authorization", f"bearer {KEY.text}")],
        [("AUTHORIZATION", f"BEARER   {KEY.text} \t")],
        [("x-api-key", KEY.text)],
        [("X-Api-Key", f" {KEY.text} ")],
        [_bearer(KEY), ("x-api-key", KEY.text)],
        [_bearer(KEY), _bearer(KEY)],
        [
            _bearer(KEY),
            ("x-api-key", KEY.text),
            ("X-Forwarded-For", "1.2.3.4"),
            ("X-Org", "other"),
            ("X-Role", "admin"),
        ],
    ],
)
def test_accepts_the_forms_in_which_clients_send_a_key(sent: list[tuple[str, str]]) -> None:
    """Any case, either header, the same key twice; headers that claim an identity change nothing."""
    principal = _authorizer(RECORD).identify(_event(*sent))
    assert (principal.key_id, principal.org, principal.role) == (KEY.id, "default", "developer")


@pytest.mark.parametrize("form", [{"multiValueHeaders": None}, {"headers": None}])
def test_reads_either_form_of_headers(form: dict[str, None]) -> None:
    """Both maps are looked at, and one is enough."""
    assert _authorizer(RECORD).identify({**_event(_bearer(KEY)), **form}).key_id == KEY.id


@pytest.mark.parametrize(
    "sent",
    [
        [_bearer(KEY), _bearer(OTHER)],
        [_bearer(OTHER), _bearer(KEY)],
        [_bearer(KEY), ("authorization", f"Bearer {OTHER.text}")],
        [_bearer(KEY), ("x-api-key", OTHER.text)],
        [("x-api-key", KEY.text), ("x-api-key", OTHER.text)],
        [("x-api-key", KEY.text), ("Authorization", "Bearer")],
        [("x-api-key", ""), _bearer(KEY)],
    ],
)
def test_refuses_two_credentials_that_differ(sent: list[tuple[str, str]]) -> None:
    """No rule picks one of them, even if one is good, wherever it stands."""
    assert "they differ" in _refused(_event(*sent))


def test_refuses_what_only_one_of_the_two_maps_shows() -> None:
    """A key that hides in one form of the headers counts as well."""
    event = {**_event(_bearer(KEY)), "headers": {"Authorization": f"Bearer {OTHER.text}"}}
    assert "they differ" in _refused(event)


@pytest.mark.parametrize(
    "event",
    [
        _event(),
        _event(("Authorization", "")),
        _event(("Authorization", "Bearer ")),
        _event(("x-api-key", " ")),
        _event(queryStringParameters={"api_key": KEY.text, "key": KEY.text}),
        _event(("Cookie", f"Authorization=Bearer {KEY.text}")),
        {"methodArn": ARN},
    ],
    ids=["nothing", "empty", "bearer-only", "blank", "query", "cookie", "no-headers"],
)
def test_tells_how_to_send_a_key_when_there_is_none(event: dict[str, Any]) -> None:
    """No key, an empty one, and one in the query string, where it would be logged, are all no key."""
    assert _refused(event).startswith("No API key was sent. Send it as Authorization: Bearer")


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
        authorizer.identify(_event(("Authorization", value)))
    assert shelf.asked == []
    assert _refused(_event(("Authorization", value)))


@given(st.text(max_size=60), st.sampled_from(["Authorization", "x-api-key"]))
def test_no_text_gets_in(text: str, header: str) -> None:
    """Whatever a header holds, the answer is a refusal in plain words."""
    assert _refused(_event((header, text)))


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
    assert told in _refused(_event(_bearer(KEY)), *records)


def test_tells_strangers_nothing_about_a_key() -> None:
    """Who knows an id but not its secret hears the same of a good, a revoked, an expired and a missing key."""
    stranger = keys.Key(KEY.org, KEY.id, OTHER.secret)
    for record in (RECORD, RECORD._replace(revoked=True), RECORD._replace(expires_at=1), RECORD._replace(id="x")):
        assert "does not exist" in _refused(_event(_bearer(stranger)), record)


def test_a_key_may_never_expire() -> None:
    """0 is no date."""
    assert _authorizer(RECORD._replace(expires_at=0)).identify(_event(_bearer(KEY))).expires_at == 0


def test_an_outage_is_no_refusal() -> None:
    """When the Directory fails the authorizer fails: a good key is not called bad."""
    shelf = Shelf(RECORD)
    shelf.broken = True
    with pytest.raises(AwsError):
        Authorizer(shelf, lambda: PEPPER, "stack").verdict(_event(_bearer(KEY)))


class Clock:
    """A clock that only moves when told to."""

    now = 0.0

    def __call__(self) -> float:
        """Seconds, as `time.monotonic`."""
        return self.now


def test_remembers_for_a_minute() -> None:
    """Known and unknown keys are looked up once a minute; a revocation is seen after that at the latest."""
    shelf, clock = Shelf(RECORD), Clock()
    lookup = Remembered(shelf, clock)
    for _ in range(3):
        assert lookup("default", KEY.id) == RECORD
        assert lookup("default", OTHER.id) is None
    assert len(shelf.asked) == 2
    shelf.records = {("default", KEY.id): RECORD._replace(revoked=True)}
    clock.now = CACHE_SECONDS - 0.1
    assert lookup("default", KEY.id) == RECORD
    clock.now = CACHE_SECONDS
    found = lookup("default", KEY.id)
    assert found is not None
    assert found.revoked


def test_a_rotated_key_opens_by_its_new_secret_at_once() -> None:
    """What is remembered does not shut it out; the old secret opens too while the overlap lasts."""
    shelf = Shelf(RECORD)
    lookup = Remembered(shelf, Clock())
    door = Authorizer(lookup, lambda: PEPPER, "stack", lambda: 100.0, look_again=lookup.again)
    assert door.identify(_event(_bearer(KEY))).key_id == KEY.id
    renewed = KEY._replace(secret="n" * 43)
    after: dict[str, Any] = {"hash": keys.digest(PEPPER, renewed), "previous_hash": RECORD.hash, "previous_until": 101}
    shelf.records = {("default", KEY.id): RECORD._replace(**after)}
    assert door.identify(_event(_bearer(renewed))).key_id == KEY.id
    assert door.identify(_event(_bearer(KEY))).key_id == KEY.id
    assert len(shelf.asked) == 2


def test_guessing_costs_few_reads() -> None:
    """A thousand wrong secrets in one moment make one read more in a second, and none for a key that does not exist."""
    shelf, clock = Shelf(RECORD), Clock()
    lookup = Remembered(shelf, clock)
    door = Authorizer(lookup, lambda: PEPPER, "stack", lambda: 100.0, look_again=lookup.again)
    door.identify(_event(_bearer(KEY)))
    for number in range(100):
        for key in (KEY, OTHER):
            with pytest.raises(RefusedError):
                door.identify(_event(_bearer(key._replace(secret=f"{number:043d}"))))
    assert shelf.asked.count(("default", KEY.id)) == 2
    assert shelf.asked.count(("default", OTHER.id)) == 1
    clock.now = AGAIN_SECONDS
    with pytest.raises(RefusedError):
        door.identify(_event(_bearer(KEY._replace(secret="x" * 43))))
    assert shelf.asked.count(("default", KEY.id)) == 3


def test_remembers_no_failure() -> None:
    """After an outage the next request asks again."""
    shelf = Shelf(RECORD)
    lookup = Remembered(shelf, Clock())
    shelf.broken = True
    with pytest.raises(AwsError):
        lookup("default", KEY.id)
    shelf.broken = False
    assert lookup("default", KEY.id) == RECORD


def test_remembers_a_thousand_and_no_more() -> None:
    """A flood of invented ids pushes the oldest out, one for one, and memory stays bounded."""
    shelf = Shelf(RECORD)
    lookup = Remembered(shelf, Clock())
    lookup("default", KEY.id)
    for number in range(CACHE_ENTRIES - 1):
        lookup("default", f"default-{number}")
    lookup("default", KEY.id)
    assert shelf.asked.count(("default", KEY.id)) == 1
    lookup("default", "default-one-more")
    lookup("default", KEY.id)
    assert shelf.asked.count(("default", KEY.id)) == 2


@pytest.fixture
def environment(moto: str) -> Iterator[dict[str, str]]:
    """The function's environment, and in AWS its pepper and a table that holds `RECORD`, good for long."""
    known: Any = {
        "aws_access_key_id": "a",
        "aws_secret_access_key": "b",
        "region_name": "us-east-1",
        "endpoint_url": moto,
    }
    vault, tables = boto3.client("secretsmanager", **known), boto3.resource("dynamodb", **known)
    secret = vault.create_secret(Name="pepper", SecretString=PEPPER)
    table = tables.create_table(
        TableName="directory",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )
    kept = RECORD._replace(expires_at=4_000_000_000)._asdict()
    plain: dict[str, Any] = {"models": list(RECORD.models), "budget": {}}
    table.put_item(Item={**kept, **plain, "pk": "default", "sk": f"key#{KEY.id}"})
    yield {
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": moto,
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "DIRECTORY_TABLE": "directory",
        "PEPPER_SECRET": secret["ARN"],
        "USAGE_KEY_PREFIX": "stack",
        "SIGNING_SECRET": "signing",
        "JWT_ISSUER": "https://nexus.example",
    }
    table.delete()
    vault.delete_secret(SecretId="pepper", ForceDeleteWithoutRecovery=True)
    vault.close()
    tables.meta.client.close()


def test_works_in_its_own_environment(server: Any, start: Any, environment: dict[str, str]) -> None:
    """Under the runtime loop, with table and secret behind HTTP: in, out, and not a word in the log."""
    process = start("functions.authorizer.handler", **environment)
    for key, effect in ((KEY, "Allow"), (OTHER, "Deny"), (KEY, "Allow")):
        server.put(_event(_bearer(key)))
        verdict = json.loads(server.take().body)
        assert verdict["policyDocument"]["Statement"][0]["Effect"] == effect
    assert process.terminate() == (0, "")


def test_fails_for_the_caller_to_see_when_aws_refuses(server: Any, start: Any, environment: dict[str, str]) -> None:
    """An error of the function, of which API Gateway makes a 500; the log has AWS's reason and nothing of the key."""
    process = start("functions.authorizer.handler", **{**environment, "DIRECTORY_TABLE": "missing"})
    server.put(_event(_bearer(KEY)))
    assert server.take().headers["lambda-runtime-function-error-type"] == "AwsError"
    _, log = process.terminate()
    assert "ResourceNotFoundException" in log
    assert KEY.secret not in log


def test_is_built_without_connecting() -> None:
    """Building it takes an environment and no network."""
    environment = {
        "AWS_REGION": "r",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "DIRECTORY_TABLE": "t",
        "PEPPER_SECRET": "p",
        "USAGE_KEY_PREFIX": "stack",
        "SIGNING_SECRET": "signing",
        "JWT_ISSUER": "https://nexus.example",
    }
    assert build(environment).usage_key_prefix == "stack"


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
        door = _authorizer(RECORD)._replace(on_store_loss=chosen_by(records))
        for _ in range(2):
            assert from_context(door.verdict(_event(_bearer(KEY)))["context"]).on_store_loss == told
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
