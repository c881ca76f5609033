"""The audit log: a line for every change, nothing secret in any, and no way to alter one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.functions.control.rig import BOSS, NOW

if TYPE_CHECKING:
    from tests.functions.control.rig import House


def test_says_who_did_what_to_what(house: House) -> None:
    """Each change is a line with the record before and after; the newest comes first."""
    made = house.make(name="old")
    house.now += 1
    house.call("PATCH", f"/admin/keys/{made['id']}", {"name": "new"})
    newest, oldest = house.call("GET", "/admin/audit").body["data"]
    assert (oldest["action"], oldest["before"], oldest["after"]["name"]) == ("key.create", None, "old")
    assert (newest["action"], newest["target"], newest["who"]) == ("key.edit", made["id"], BOSS.key_id)
    assert (newest["before"]["name"], newest["after"]["name"]) == ("old", "new")
    assert (newest["before"]["version"], newest["after"]["version"]) == (1, 2)
    assert (oldest["at"], newest["at"]) == (NOW, NOW + 1)


def test_holds_nothing_that_opens_anything(house: House) -> None:
    """No line has a key, a secret or a digest, not even after a rotation."""
    made = house.make()
    rotated = house.call("POST", f"/admin/keys/{made['id']}/rotate", {}).body
    hashes = [value for name, value in house.stored("key#")[0].items() if "hash" in name]
    assert len(hashes) == 2
    written = json.dumps(house.lines(), default=str)
    for secret in (*hashes, made["key"].rpartition("_")[2], rotated["key"].rpartition("_")[2]):
        assert secret not in written
    assert "hash" not in written


def test_pages_back_into_the_past(house: House) -> None:
    """Each line comes once, in the order of time, also those of one moment."""
    made = [house.make()["id"] for _ in range(5)]
    seen: list[str] = []
    page = house.call("GET", "/admin/audit?limit=2").body
    while True:
        seen += [line["target"] for line in page["data"]]
        if not page["has_more"]:
            break
        page = house.call("GET", f"/admin/audit?limit=2&after={page['last_id'].replace('#', '%23')}").body
    assert seen == made[::-1]


def test_a_page_that_the_table_cuts_short_is_not_the_last(house: House) -> None:
    """It gives a megabyte at a time, which a few lines about long lists of models can be."""
    for number in range(15):
        line = {"pk": "default", "sk": f"{number:017d}#a", "at": number, "who": "w", "action": "a", "target": "t"}
        house.audit.put_item(Item={**line, "before": {"models": "x" * 90_000}, "after": None})
    page = house.call("GET", "/admin/audit?limit=20").body
    assert 0 < len(page["data"]) < 15
    assert page["has_more"]
    after = page["last_id"].replace("#", "%23")
    assert len(page["data"] + house.call("GET", f"/admin/audit?limit=20&after={after}").body["data"]) == 15


@pytest.mark.parametrize("cursor", ["x", "", "0", "key%23a", "%F0%9F%A6%8A"])
def test_refuses_a_cursor_of_its_own_making(house: House, cursor: str) -> None:
    """A cursor is an id of a line, or nothing."""
    reply = house.call("GET", f"/admin/audit?after={cursor}")
    assert (reply.status, reply.error["param"]) == (400, "after")


def test_tells_nothing_of_other_organizations(house: House) -> None:
    """The log of an organization is its own."""
    house.make()
    stranger = BOSS._replace(org="other", key_id="other-bossbossboss")
    assert house.call("GET", "/admin/audit", caller=stranger).body["data"] == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_cannot_be_changed(house: House, method: str) -> None:
    """There is no such route."""
    house.make()
    line = house.lines()[0]["sk"].replace("#", "%23")
    for path in ("/admin/audit", f"/admin/audit/{line}"):
        assert house.call(method, path, {}).status == 404
    assert len(house.lines()) == 1


def test_a_change_without_its_line_does_not_happen(house: House) -> None:
    """Both are one transaction: where the line cannot be written, nothing is."""
    made = house.make()
    house.registry._mark = lambda: house.lines()[0]["sk"].partition("#")[2]  # a line that is there already
    reply = house.call("DELETE", f"/admin/keys/{made['id']}")
    assert reply.status == 503
    assert house.stored("key#")[0]["revoked"] is False
