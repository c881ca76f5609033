"""What an organization's administrators choose to hear, and where."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from functions.alert_wishes import wish
from tests.functions.control.rig import BOSS

if TYPE_CHECKING:
    from tests.functions.control.rig import House

PLACE = "/admin/alerts"
HOOK = "https://hooks.example.com/T00/secret-path"
OWN = BOSS._replace(org="acme", key_id="acme-bossbossboss")


def test_everybody_hears_of_80_percent_unless_they_choose(house: House) -> None:
    """What holds without a choice is shown as what it is, with version 0; of the deployment only operators hear."""
    assert house.call("GET", PLACE, caller=OWN).body == {
        "object": "alerts", "webhook": None, "events": ["budget", "security"], "threshold": 80, "version": 0,
    }  # fmt: skip
    assert house.call("GET", PLACE).body["events"] == ["budget", "security", "breaker", "fault"]


def test_the_signing_secret_is_shown_once(house: House) -> None:
    """Where the webhook is new; it stays while only the rest is edited, and neither it nor the path is shown again."""
    put = house.call("PUT", PLACE, {"webhook": HOOK}, caller=OWN)
    secret = put.body["signing_secret"]
    assert (put.status, put.body["webhook"], put.headers["etag"]) == (200, "https://hooks.example.com/...", '"1"')
    again = house.call("PUT", PLACE, {"webhook": HOOK, "threshold": 50, "events": ["budget"]}, caller=OWN)
    assert "signing_secret" not in again.body
    assert (again.body["threshold"], again.body["events"], again.body["version"]) == (50, ["budget"], 2)
    [kept] = house.stored("alerts")
    assert (kept["secret"], kept["webhook"]) == (secret, HOOK)
    assert wish("acme", kept) == (("budget",), 50, HOOK, secret)
    other = house.call("PUT", PLACE, {"webhook": HOOK + "2"}, caller=OWN)
    assert other.body["signing_secret"] not in {secret, None}
    written = json.dumps([house.call("GET", PLACE, caller=OWN).body, house.lines()], default=str)
    assert "secret-path" not in written
    assert "nxa_" not in written


def test_each_organization_has_its_own(house: House) -> None:
    """And a line of the audit log for each change."""
    house.call("PUT", PLACE, {"webhook": HOOK}, caller=OWN)
    assert house.call("GET", PLACE).body["version"] == 0
    [line] = house.call("GET", "/admin/audit", caller=OWN).body["data"]
    assert (line["action"], line["target"], line["before"]) == ("alerts.put", "alerts", None)
    assert line["after"]["webhook"] == "https://hooks.example.com/..."
    assert house.call("GET", "/admin/audit").body["data"] == []


def test_what_is_taken_away_is_gone(house: House) -> None:
    """The address and the secret, too; then there is nothing to take away, and the next one is new."""
    first = house.call("PUT", PLACE, {"webhook": HOOK}, caller=OWN).body["signing_secret"]
    assert house.call("DELETE", PLACE, caller=OWN, headers={"if-match": "7"}).status == 412
    assert house.call("DELETE", PLACE, caller=OWN).body == {"id": "alerts", "object": "alerts", "deleted": True}
    assert house.call("DELETE", PLACE, caller=OWN).status == 404
    assert "hooks.example.com" not in str(house.stored("alerts"))
    assert house.call("GET", PLACE, caller=OWN).body["webhook"] is None
    assert house.call("PUT", PLACE, {"webhook": HOOK}, caller=OWN).body["signing_secret"] != first


def test_an_edit_is_on_top_of_what_was_read(house: House) -> None:
    """Another version now is a 412; the same again writes nothing."""
    assert house.call("PUT", PLACE, {"webhook": HOOK}, caller=OWN, headers={"if-match": "0"}).status == 200
    assert house.call("PUT", PLACE, {"webhook": HOOK}, caller=OWN, headers={"if-match": "0"}).status == 412
    assert house.call("PUT", PLACE, {"webhook": HOOK}, caller=OWN).body["version"] == 1


def test_operators_choose_without_a_webhook(house: House) -> None:
    """For they have their topic; nobody else has, and nobody else hears of the deployment and of others."""
    put = house.call("PUT", PLACE, {"events": ["organizations", "breaker"], "threshold": 100})
    assert (put.status, put.body["webhook"], put.body["threshold"]) == (200, None, 100)
    without = house.call("PUT", PLACE, {"threshold": 50}, caller=OWN)
    assert (without.status, without.error["param"]) == (400, "webhook")
    for kind in ("organizations", "breaker", "fault"):
        refused = house.call("PUT", PLACE, {"webhook": HOOK, "events": [kind]}, caller=OWN)
        assert (refused.status, refused.error["param"]) == (400, "events")


@pytest.mark.parametrize(
    "address",
    [
        "http://hooks.example.com/", "ftp://hooks.example.com/", "hooks.example.com", "https://", "https:///x",
        "https://ann:pw@hooks.example.com/", "https://hooks.example.com/#here", "https://hooks.example.com:99999/",
        "https://127.0.0.1/", "https://10.1.2.3/x", "https://169.254.169.254/latest/meta-data", "https://[::1]/",
        "https://[fd00::1]/", "https://[fe80::1]/", "https://[::ffff:10.0.0.1]/", "https://[64:ff9b::a9fe:a9fe]/",
        "https://100.64.0.1/", "https://0/", "https://2130706433/", "https://localhost/", "https://db/",
        "https://a.localhost/", "https://metadata.google.internal/", "https://printer.local/", "https://example.com./",
        "https://hooks.example.com/a b", "https://hooks.example.com/\n", "https://hooks.exämple.com/", "x" * 2001,
        "https://[::1/", "", 7,
    ],
)  # fmt: skip
def test_no_webhook_leads_inside(house: House, address: object) -> None:
    """Only https, to a host of the public internet: neither this machine, nor its link, nor any network behind it."""
    refused = house.call("PUT", PLACE, {"webhook": address}, caller=OWN)
    assert (refused.status, refused.error["param"]) == (400, "webhook"), refused.body
    assert "example.com/a" not in refused.error["message"]
    assert house.stored("alerts") == []


@pytest.mark.parametrize("wrong", [{"threshold": 70}, {"threshold": "80"}, {"events": []}, {"events": ["all"]}])
def test_a_wrong_field_is_named(house: House, wrong: dict[str, object]) -> None:
    """As everywhere in the administration."""
    refused = house.call("PUT", PLACE, {"webhook": HOOK, **wrong}, caller=OWN)
    assert (refused.status, refused.error["param"].partition(".")[0]) == (400, next(iter(wrong)))


def test_a_local_run_allows_this_machine(house: House) -> None:
    """Over plain HTTP, so that a receiver can be tried out; still no other scheme, and no password in an address."""
    house.control = house.control._replace(webhooks_to_loopback=True)
    for address in ("http://127.0.0.1:9/x", "http://localhost:9/x", "http://[::1]:9/x", HOOK):
        assert house.call("PUT", PLACE, {"webhook": address}, caller=OWN).status == 200
    for address in ("file:///etc/passwd", "http://a:b@127.0.0.1/", "http://", "http://10.0.0.1/", "http://db/"):
        assert house.call("PUT", PLACE, {"webhook": address}, caller=OWN).status == 400
