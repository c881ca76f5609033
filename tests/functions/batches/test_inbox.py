"""Files of the inbox: each becomes one batch of the key that its folder names, whoever dies and how often S3 tells."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pytest

from functions.batch_inbox import Inbox
from functions.batch_queue import Queue
from functions.batch_work import Parts
from functions.batch_worker import serve
from shared.core.errors import StoreUnavailable
from tests.functions.batches.rig import BUCKET, CHAT, NOW, OURS, Unreachable, lines
from tests.functions.batches.test_work import Killed, Script
from tests.functions.plane.rig import Context

if TYPE_CHECKING:
    from tests.functions.batches.rig import House

TEST_EVENT = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET}
FILE = f"{OURS.key_id}/my file+1.jsonl"
TWO = lines("a", "b")


class Tray:
    """The inbox, and who empties it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.inbox = Inbox(house.staff, house.records, house.objects, house.queue, BUCKET)
        self.script = Script()
        self.laid = 0

    def lay(self, content: bytes = TWO, name: str = FILE) -> dict[str, Any]:
        """Lay a file down; returns what S3 says of it."""
        self.laid += 1
        put = self.house.s3.put_object(Bucket=BUCKET, Key=f"inbox/{name}", Body=content)
        told = {"key": quote_plus(f"inbox/{name}", safe="/"), "size": len(content), "eTag": put["ETag"].strip('"')}
        record = {
            "eventSource": "aws:s3",
            "eventTime": datetime.fromtimestamp(NOW, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "eventName": "ObjectCreated:Put",
            "requestParameters": {"sourceIPAddress": "192.0.2.7"},
            "s3": {"bucket": {"name": BUCKET}, "object": {**told, "sequencer": f"{self.laid:018X}"}},
        }
        return {"Records": [record]}

    def work(self) -> None:
        """Work on all that lies in the queue."""
        asking: Any = self.script
        while self.house.sent:
            message, _ = self.house.sent.pop(0)
            serve(message, Context(900), Parts(self.house.records, self.house.objects, self.house.queue, asking))

    def lying(self, prefix: str) -> list[str]:
        """What lies under a prefix, without that."""
        found = self.house.keys()
        return [key.removeprefix(prefix) for key in found if key.startswith(prefix)]

    def read(self, name: str) -> bytes:
        """What lies in the outbox."""
        found: bytes = self.house.s3.get_object(Bucket=BUCKET, Key=f"outbox/{name}")["Body"].read()
        return found

    def faults(self, name: str) -> list[dict[str, Any]]:
        """What is said to be wrong with a file."""
        found: list[dict[str, Any]] = json.loads(self.read(name))["data"]
        return found

    def batches(self) -> list[dict[str, Any]]:
        """The key's batches."""
        found: list[dict[str, Any]] = self.house.call("GET", "/v1/batches").json["data"]
        return found


@pytest.fixture
def tray(house: House) -> Tray:
    """An empty one."""
    return Tray(house)


def test_a_file_becomes_a_batch_and_its_results_lie_in_the_outbox(tray: Tray) -> None:
    """Answers and errors apart, under the file's own name; the inbox is empty again."""
    tray.script.status["b"] = 400
    tray.inbox.take(tray.lay())
    tray.work()
    [batch] = tray.batches()
    assert (batch["status"], batch["endpoint"], tray.lying("inbox/")) == ("completed", CHAT, [])
    file = tray.house.call("GET", f"/v1/files/{batch['input_file_id']}").json
    assert (file["filename"], file["bytes"]) == ("my file+1.jsonl", len(TWO))
    stem = FILE.removesuffix(".jsonl")
    assert tray.lying("outbox/") == [f"{stem}.errors.jsonl", f"{stem}.output.jsonl"]
    assert json.loads(tray.read(f"{stem}.output.jsonl"))["custom_id"] == "a"
    assert json.loads(tray.read(f"{stem}.errors.jsonl"))["custom_id"] == "b"


def test_what_s3_tells_twice_is_done_once(tray: Tray) -> None:
    """Also after the batch is over; the same file laid down again is another one."""
    message = tray.lay()
    tray.inbox.take(message)
    tray.inbox.take(message)
    tray.work()
    tray.inbox.take(message)
    tray.work()
    assert [name for name, _ in tray.script.asked] == ["a", "b"]
    assert len(tray.batches()) == 1
    tray.inbox.take(tray.lay())
    assert len(tray.batches()) == 2


@pytest.mark.parametrize("store", ["records", "objects", "queue"])
@pytest.mark.parametrize("calls", range(3))
def test_whoever_dies_is_followed_by_another(tray: Tray, store: str, calls: int) -> None:
    """At any call of a store: the message comes again, and there is one batch, which runs once."""
    message, left = tray.lay(), calls

    class Dying:
        def __getattr__(self, name: str) -> Any:
            def call(*given: Any, **more: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    raise Killed
                return getattr(getattr(tray.house, store), name)(*given, **more)

            return getattr(tray.house.records, name) if name == "now" else call

    dying: Any = Dying()
    if store == "queue" and calls:
        tray.inbox.take(message)
    else:
        with pytest.raises(Killed):
            tray.inbox._replace(**{store: dying}).take(message)
    tray.work()
    tray.inbox.take(message)
    tray.work()
    assert [name for name, _ in tray.script.asked] == ["a", "b"]
    assert [one["status"] for one in tray.batches()] == ["completed"]
    assert tray.lying("inbox/") == []


def test_two_who_are_told_at_once_make_one_batch(tray: Tray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the other one was so much faster that the batch is over by now."""
    message, put = tray.lay(), tray.house.records.put

    def late(*given: Any) -> None:
        monkeypatch.undo()
        tray.inbox.take(message)
        tray.work()
        put(*given)

    monkeypatch.setattr(tray.house.records, "put", late)
    tray.inbox.take(message)
    assert [one["status"] for one in tray.batches()] == ["completed"]  # and not begun anew
    tray.work()
    assert [name for name, _ in tray.script.asked] == ["a", "b"]


def test_a_batch_that_there_is_runs_on_under_its_own_key(tray: Tray) -> None:
    """Revoked before the message came again: each line is refused by then, and the file was not."""
    message, nowhere = tray.lay(), Queue(Unreachable(), "https://queue")  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable):
        tray.inbox._replace(queue=nowhere).take(message)
    tray.house.staff.more = {"revoked": True}
    tray.inbox.take(message)
    assert len(tray.house.sent) == 1
    assert (tray.lying("inbox/"), tray.lying("outbox/")) == ([], [])


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("default-nobodynobody/x.jsonl", "invalid_api_key", "no API key"),
        ("acme-oursoursours/x.jsonl", "invalid_api_key", "no API key"),
        ("default-jwt-pro-ada/x.jsonl", "invalid_api_key", "no API key"),
        ("x.jsonl", "invalid_api_key", "no API key"),
        (f"{OURS.key_id}/{'x' * 980}.jsonl", "invalid_request", "shorter name"),
    ],
)
def test_a_file_of_nobody_says_so(tray: Tray, name: str, code: str, says: str) -> None:
    """No batch is made, and the file is gone."""
    tray.inbox.take(tray.lay(name=name))
    [fault] = tray.faults(name.removesuffix(".jsonl") + ".errors.json")
    assert fault["code"] == code
    assert says in fault["message"]
    assert (tray.house.sent, tray.lying("inbox/"), tray.lying("orgs/")) == ([], [], [])


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"revoked": True}, "revoked"),
        ({"expires_at": NOW}, "expired"),
        ({"blocked_until": NOW + 9}, "blocked"),
        ({"deleted": True}, "no API key"),
        ({"role": "viewer"}, "role viewer"),
    ],
)
def test_a_key_that_may_not_call_makes_no_batch(tray: Tray, more: dict[str, Any], says: str) -> None:
    """As it could not in the API; laid down again when it may, the file is served, and what was wrong is gone."""
    tray.house.staff.more = more
    tray.inbox.take(tray.lay())
    stem = FILE.removesuffix(".jsonl")
    assert says in tray.faults(f"{stem}.errors.json")[0]["message"]
    assert (tray.house.sent, tray.lying("orgs/")) == ([], [])
    tray.house.staff.more = {}
    tray.inbox.take(tray.lay())
    tray.work()
    assert tray.lying("outbox/") == [f"{stem}.output.jsonl"]


def test_a_file_in_disorder_fails_with_its_lines(tray: Tray) -> None:
    """The first line that can be read says what it is for; a later answer of its name is gone."""
    stem = FILE.removesuffix(".jsonl")
    tray.inbox.take(tray.lay())
    tray.work()
    tray.inbox.take(tray.lay(b"no json\n" + lines("e", url="/v1/embeddings") + b"\n" + TWO))
    tray.work()
    found = [(one["line"], one["code"]) for one in tray.faults(f"{stem}.errors.json")]
    assert found == [(1, "invalid_json_line"), (3, "mismatched_url"), (4, "mismatched_url")]
    assert tray.lying("outbox/") == [f"{stem}.errors.json"]
    tray.inbox.take(tray.lay(b"no json"))
    tray.work()
    assert [one["line"] for one in tray.faults(f"{stem}.errors.json")] == [1]


def test_a_file_that_is_too_large_is_not_read(tray: Tray) -> None:
    """Its size stands in what S3 tells."""
    message = tray.lay()
    message["Records"][0]["s3"]["object"]["size"] = (16 << 20) + 1
    tray.inbox.take(message)
    assert "at most 16777216 bytes" in tray.faults(FILE.removesuffix(".jsonl") + ".errors.json")[0]["message"]


def test_what_was_laid_over_is_another_ones_matter(tray: Tray) -> None:
    """The first message finds nothing of its own, the second one finds it."""
    first, second = tray.lay(), tray.lay(lines("c"))
    tray.inbox.take(first)
    assert (tray.house.sent, tray.lying("inbox/")) == ([], [FILE])
    tray.inbox.take(second)
    tray.work()
    assert [name for name, _ in tray.script.asked] == ["c"]


def test_tests_of_the_queue_and_other_buckets_are_passed_over(tray: Tray) -> None:
    """S3 tests a queue when it is told of it; the queue's policy lets in any bucket of the account."""
    other = tray.lay()
    other["Records"][0]["s3"]["bucket"]["name"] = "another"
    tray.inbox.take(TEST_EVENT)
    tray.inbox.take(other)
    assert (tray.house.sent, tray.lying("inbox/"), tray.lying("outbox/")) == ([], [FILE], [])


def test_a_batch_of_the_api_leaves_nothing_in_the_outbox(tray: Tray) -> None:
    """Whether it is served or fails."""
    for content in (TWO, b"no json"):
        tray.house.create(tray.house.upload(content))
    tray.work()
    assert {one["status"] for one in tray.batches()} == {"completed", "failed"}
    assert tray.lying("outbox/") == []


def test_a_bucket_out_of_reach_brings_the_message_again(tray: Tray) -> None:
    """So the worker fails aloud, and the file is still there."""
    message, nowhere = tray.lay(), Unreachable()
    client: Any = nowhere
    tray.house.objects._client = client
    with pytest.raises(StoreUnavailable):
        tray.inbox.take(message)
    tray.house.objects._client = tray.house.s3
    tray.inbox.take(message)
    assert len(tray.house.sent) == 1
