"""`/v1/batches`: made, looked at, listed and cancelled by whose they are, and by nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.functions.batches.rig import ADMIN, CHAT, NOW, OTHER, STRANGER, lines

if TYPE_CHECKING:
    from shared.core.principals import Principal
    from tests.functions.batches.rig import House


def test_a_batch_is_made_and_somebody_is_told(house: House) -> None:
    """As OpenAI has it; the message names it and nothing else."""
    file_id = house.upload(lines("a"))
    made = house.create(file_id, metadata={"night": "1"}).json
    wanted = {"object": "batch", "status": "validating", "input_file_id": file_id, "endpoint": CHAT, "errors": None}
    assert wanted.items() <= made.items()
    assert (made["created_at"], made["expires_at"], made["metadata"]) == (NOW, NOW + 86_400, {"night": "1"})
    assert house.call("GET", f"/v1/batches/{made['id']}").json == made
    assert house.sent == [({"org": "default", "batch": made["id"]}, 0)]


@pytest.mark.parametrize("caller", [OTHER, STRANGER])
def test_anothers_batch_is_as_if_it_were_not(house: House, caller: Principal) -> None:
    """Nor can a batch be made of another's file."""
    file_id = house.upload(lines("a"))
    made = house.create(file_id).json["id"]
    for method, end in (("GET", ""), ("POST", "/cancel")):
        refused = house.error(house.call(method, f"/v1/batches/{made}{end}", caller))
        assert refused == house.error(house.call(method, f"/v1/batches/batch_{'0' * 32}{end}", caller))
        assert (refused["status"], refused["code"]) == (404, "batch_not_found")
    assert house.error(house.create(file_id, caller))["code"] == "file_not_found"
    assert house.call("GET", "/v1/batches", caller).json["data"] == []
    assert len(house.sent) == 1


def test_an_administrator_sees_the_organizations(house: House) -> None:
    """And may end one."""
    made = house.create(house.upload(lines("a"), caller=OTHER), OTHER).json["id"]
    assert [one["id"] for one in house.call("GET", "/v1/batches", ADMIN).json["data"]] == [made]
    assert house.call("POST", f"/v1/batches/{made}/cancel", ADMIN).json["status"] == "cancelling"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"endpoint": "/v1/messages"}, "endpoint"),
        ({"completion_window": "7d"}, "completion_window"),
        ({"input_file_id": "file-none"}, "id"),
        ({"owner": "default-otherotherot"}, "owner"),
    ],
)
def test_a_wrong_request_is_told(house: House, more: dict[str, Any], param: str) -> None:
    """And nobody is set to work."""
    assert house.error(house.create(house.upload(), **more))["param"] == param
    assert house.sent == []


def test_a_batch_that_is_over_cannot_be_cancelled(house: House) -> None:
    """Once it is cancelling it stays so; once it is over that is a conflict which no SDK tries again."""
    made = house.create(house.upload(lines("a"))).json["id"]
    assert house.call("POST", f"/v1/batches/{made}/cancel").json["cancelling_at"] == NOW
    assert house.call("POST", f"/v1/batches/{made}/cancel").json["status"] == "cancelling"
    place = {"pk": "default", "sk": f"batch#{made}"}
    house.table.put_item(Item={**house.table.get_item(Key=place)["Item"], "status": "completed"})
    refused = house.call("POST", f"/v1/batches/{made}/cancel")
    assert (refused.status, refused.headers["x-should-retry"]) == (409, "false")


def test_a_batch_that_nobody_ended_is_expired(house: House) -> None:
    """Should all who worked on it have failed, it does not look as if somebody still did."""
    made = house.create(house.upload(lines("a"))).json["id"]
    house.now += 86_400 + 7_200
    assert house.call("GET", f"/v1/batches/{made}").json["status"] == "validating"
    house.now += 1
    assert house.call("GET", f"/v1/batches/{made}").json["status"] == "expired"
