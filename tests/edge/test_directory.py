"""The Directory: records are read as they were written, and what is no record of ours is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from boto3.dynamodb.types import TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from shared.edge.directory import BrokenRecordError, Directory, decode, record
from tests.fakes.patience import dynamodb

if TYPE_CHECKING:
    from collections.abc import Iterator

ITEM: dict[str, Any] = {
    "pk": "default",
    "sk": "key#default-abcdefghijkl",
    "hash": "00ff",
    "name": "Grüße",
    "role": "developer",
    "tier": "pro",
    "created_at": 1_700_000_000,
    "expires_at": 1_800_000_000,
    "revoked": False,
    "last4": "wxyz",
    "version": 3,
    "limits": {"requests_per_minute": 7},
    "models": ["simulated"],
    "team": "blue",
}


@pytest.fixture(scope="module")
def table(moto: str) -> Iterator[Any]:
    """A table with the Directory's primary key."""
    known: Any = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    resource = boto3.resource("dynamodb", endpoint_url=moto, **known)
    table = resource.create_table(
        TableName="directory",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )
    yield table
    table.delete()
    resource.meta.client.close()


@pytest.fixture
def directory(moto: str) -> Iterator[Directory]:
    """The Directory over a real connection."""
    aws = dynamodb(moto)
    yield Directory(aws, "directory")
    aws.drop()


@pytest.mark.parametrize("consistent", [True, False])
def test_reads_a_record_as_it_was_written(table: Any, directory: Directory, consistent: bool) -> None:  # noqa: FBT001
    """Every field arrives, typed; what is absent has its default."""
    table.put_item(Item=ITEM)
    found = directory.key("default", "default-abcdefghijkl", consistent=consistent)
    assert found is not None
    assert found._asdict() == {
        **{name: value for name, value in ITEM.items() if name not in {"pk", "sk"}},
        "id": "default-abcdefghijkl",
        "org": "default",
        "models": ("simulated",),
        "user": None,
        "budget": {},
        "blocked_until": 0,
        "previous_hash": None,
        "previous_until": 0,
        "enrolment": None,
    }


def test_a_rotated_key_opens_by_both_secrets_for_a_while() -> None:
    """The digest before the rotation counts until the overlap ends, and from that second on no more."""
    rotated = record({**ITEM, "previous_hash": "11ee", "previous_until": 100})
    assert rotated.hashes(99.9) == ("00ff", "11ee")
    assert rotated.hashes(100) == ("00ff",)
    assert record(ITEM).hashes(0) == ("00ff",)


def test_reads_any_item_but_no_deleted_one(table: Any, directory: Directory) -> None:
    """Users, teams and the like come as they are stored; a tombstone is nobody."""
    table.put_item(Item={"pk": "default", "sk": "team#blue", "version": 2, "budget": {"daily_nano": 10**15}})
    table.put_item(Item={"pk": "default", "sk": "team#red", "version": 2, "deleted": True})
    found = directory.item("default", "team#blue", consistent=True)
    assert found is not None
    assert found["budget"] == {"daily_nano": 10**15}
    assert directory.item("default", "team#red", consistent=True) is None
    assert directory.item("other", "team#blue") is None


def test_knows_what_is_not_there(table: Any, directory: Directory) -> None:
    """Neither another id nor another organization finds the record."""
    table.put_item(Item=ITEM)
    assert directory.key("default", "default-aaaaaaaaaaaa") is None
    assert directory.key("other", "default-abcdefghijkl") is None


@pytest.mark.parametrize(
    "change",
    [{"hash": None}, {"version": "x"}, {"limits": ["a"]}, {"sk": 1}, {"created_at": None}, {"limits": {"a": "b"}}],
)
def test_refuses_a_broken_record(change: dict[str, Any]) -> None:
    """A missing or senseless field is an error here, not a surprise later; a None here stands for absent."""
    item = {name: value for name, value in {**ITEM, **change}.items() if value is not None}
    with pytest.raises(BrokenRecordError):
        record(item)


@given(
    st.recursive(
        st.text(st.characters(exclude_categories=["Cs"])) | st.integers(-(10**37), 10**37) | st.booleans() | st.none(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=4),
        max_leaves=10,
    )
)
def test_decodes_what_boto3_encodes(value: Any) -> None:
    """Any nesting of the values that we store comes back as it was."""
    assert decode(TypeSerializer().serialize(value)) == value


@pytest.mark.parametrize("attribute", [{"B": "YQ=="}, {"SS": ["a"]}, {"N": "1.5"}])
def test_refuses_types_that_are_never_stored(attribute: dict[str, Any]) -> None:
    """Binary, sets and fractions were not written by us."""
    with pytest.raises((BrokenRecordError, ValueError)):
        decode(attribute)
