"""`/v1/files`: what was uploaded comes back, to whom it belongs, and to nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from functions.batch_objects import Objects
from tests.functions.batches.rig import ADMIN, BUCKET, NOW, OTHER, OURS, STRANGER, Unreachable

if TYPE_CHECKING:
    from shared.core.principals import Principal
    from tests.functions.batches.rig import House


def test_a_file_comes_back_as_it_was_sent(house: House) -> None:
    """Byte for byte, with its name; its record tells all that OpenAI's does."""
    content = '{"a": "é"}\r\n{"b": "\\u20ac"}\n'.encode()
    name = house.upload(content, "in put.jsonl")
    shown = house.call("GET", f"/v1/files/{name}").json
    wanted = {"object": "file", "bytes": len(content), "filename": "in put.jsonl", "purpose": "batch"}
    assert wanted.items() <= shown.items()
    assert (shown["created_at"], shown["expires_at"]) == (NOW, NOW + 30 * 86_400)
    read = house.call("GET", f"/v1/files/{name}/content")
    assert read.body == content
    assert read.headers["content-disposition"] == "attachment; filename*=UTF-8''in%20put.jsonl"
    assert house.keys() == [f"orgs/default/files/{name}"]


def test_a_deleted_file_is_gone(house: House) -> None:
    """Its content too."""
    name = house.upload()
    assert house.call("DELETE", f"/v1/files/{name}").json == {"id": name, "object": "file", "deleted": True}
    assert house.call("GET", f"/v1/files/{name}").status == 404
    assert house.keys() == []


@pytest.mark.parametrize("caller", [OTHER, STRANGER])
@pytest.mark.parametrize(("method", "end"), [("GET", ""), ("DELETE", ""), ("GET", "/content")])
def test_anothers_file_is_as_if_it_were_not(house: House, caller: Principal, method: str, end: str) -> None:
    """Another key, or another organization's administrator: the very answer of an id that does not exist."""
    name = house.upload()
    refused = house.error(house.call(method, f"/v1/files/{name}{end}", caller))
    unknown = house.error(house.call(method, f"/v1/files/file-{'0' * 32}{end}", caller))
    assert refused == unknown
    assert refused["status"] == 404
    assert house.call("GET", "/v1/files", caller).json["data"] == []
    assert house.call("GET", f"/v1/files/{name}/content").body == b"{}\n"


def test_an_administrator_sees_the_organizations(house: House) -> None:
    """All of it, and none of another."""
    mine, theirs = house.upload(), house.upload(caller=OTHER)
    house.upload(caller=STRANGER)
    assert {one["id"] for one in house.call("GET", "/v1/files", ADMIN).json["data"]} == {mine, theirs}
    assert house.call("GET", f"/v1/files/{theirs}", ADMIN).status == 200


def test_pages_go_on_where_the_last_one_ended(house: House) -> None:
    """The newest first, or the oldest; files of others take no place on a page."""
    made = []
    for _ in range(5):
        made.append(house.upload())
        house.upload(caller=OTHER)
        house.now += 1
    for order, wanted in (("desc", made[::-1]), ("asc", made)):
        found: list[str] = []
        more = True
        while more:
            page = house.call("GET", f"/v1/files?order={order}&limit=2&after={found[-1] if found else ''}").json
            found += [one["id"] for one in page["data"]]
            more = page["has_more"]
            assert page["last_id"] == found[-1]
        assert found == wanted
    assert house.call("GET", "/v1/files?purpose=batch_output").json["data"] == []


def test_a_file_ends_when_it_asked_to(house: House) -> None:
    """Before DynamoDB has noticed, too."""
    fields = {"purpose": "batch", "expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    name = house.form(fields, ("a.jsonl", b"{}")).json["id"]
    house.now += 3599
    assert house.call("GET", f"/v1/files/{name}").json["expires_at"] == NOW + 3600
    house.now += 1
    assert house.call("GET", f"/v1/files/{name}").status == 404
    assert house.call("GET", "/v1/files").json["data"] == []


@pytest.mark.parametrize(
    ("fields", "file", "param"),
    [
        ({}, ("a", b"{}"), "purpose"),
        ({"purpose": "vision"}, ("a", b"{}"), "purpose"),
        ({"purpose": "batch"}, None, ""),
        ({"purpose": "batch"}, ("a", b""), "file"),
        ({"purpose": "batch"}, ("a" * 256, b"{}"), "file"),
        ({"purpose": "batch", "owner": "default-otherotherot"}, ("a", b"{}"), "owner"),
        ({"purpose": "batch", "expires_after[seconds]": "3600"}, ("a", b"{}"), "expires_after"),
        (
            {"purpose": "batch", "expires_after[anchor]": "created_at", "expires_after[seconds]": "99"},
            ("a", b"{}"),
            "expires_after",
        ),
    ],
)
def test_a_wrong_form_is_told_what_is_wrong(
    house: House, fields: dict[str, str], file: tuple[str, bytes] | None, param: str
) -> None:
    """With the field's name; nothing is stored."""
    refused = house.error(house.form(fields, file))
    assert (refused["status"], refused["param"]) == (400, param)
    assert house.keys() == []


def test_a_name_with_a_control_character_is_refused(house: House) -> None:
    """It would go into headers and logs."""
    parts = [('"purpose"', "batch"), ('"file"; filename="a\tb"', "{}")]
    body = "".join(f"--x\r\nContent-Disposition: form-data; name={name}\r\n\r\n{text}\r\n" for name, text in parts)
    headers = {"content-type": "multipart/form-data; boundary=x"}
    refused = house.error(house.call("POST", "/v1/files", headers=headers, body=f"{body}--x--\r\n"))
    assert (refused["status"], refused["param"]) == (400, "file")


@pytest.mark.parametrize(
    ("url", "param"),
    [
        ("/v1/files?limit=0", "limit"),
        ("/v1/files?limit=many", "limit"),
        ("/v1/files?after=../../x", "after"),
        ("/v1/files?order=random", "order"),
        ("/v1/files?owner=default-otherotherot", "owner"),
    ],
)
def test_a_wrong_parameter_is_told(house: House, url: str, param: str) -> None:
    """As a 400 that names it."""
    refused = house.error(house.call("GET", url))
    assert (refused["status"], refused["param"]) == (400, param)


@pytest.mark.parametrize("name", ["..", "file-1", "batch_" + "0" * 32, "file-" + "G" * 32])
def test_what_is_no_id_is_not_found(house: House, name: str) -> None:
    """And nobody asks a store for it."""
    assert house.error(house.call("GET", f"/v1/files/{name}"))["code"] == "file_not_found"


def test_a_revoked_key_has_no_files(house: House) -> None:
    """From its next request on, whatever the authorizer remembers."""
    name = house.upload()
    house.staff.revoked = frozenset({OURS.key_id})
    assert house.call("GET", f"/v1/files/{name}/content").status == 401


def test_a_bucket_out_of_reach_is_told(house: House) -> None:
    """As a 503 that SDKs try again; no file is there of which nothing is stored."""
    nowhere: Any = Unreachable()
    house.batches = house.batches._replace(objects=Objects(nowhere, BUCKET))
    refused = house.form({"purpose": "batch"}, ("a.jsonl", b"{}"))
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert house.call("GET", "/v1/files").json["data"] == []


def test_a_content_that_is_gone_is_not_found(house: House) -> None:
    """An operator may have emptied the bucket."""
    name = house.upload()
    house.s3.delete_object(Bucket=BUCKET, Key=house.keys()[0])
    assert house.call("GET", f"/v1/files/{name}/content").status == 404
