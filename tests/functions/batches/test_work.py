"""Work on a batch: every line is answered once, wherever the worker dies, waits, is stopped or out of time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from functions.batch_lines import Job, Said
from functions.batch_work import PIECE, Parts
from functions.batch_worker import serve
from shared.core.batches import Heard
from tests.functions.batches.rig import NOW, Unreachable, lines
from tests.functions.plane.rig import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shared.core.batches import Row
    from tests.functions.batches.rig import House

NAMES = [f"line-{number}" for number in range(2 * PIECE + 3)]


class Killed(BaseException):
    """The process ends here."""


class Script:
    """Answers lines as a test says, and notes under which request each was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []  # names of lines, with the ids of their requests
        self.wait: dict[str, float] = {}  # who has to wait
        self.status: dict[str, int] = {}
        self.then: Callable[[], None] = lambda: None  # happens when lines have been asked

    def ask(self, job: Job, rows: Sequence[Row]) -> Said:
        """Answer, as `Asking.ask` does."""
        heard = {}
        for row in rows:
            if row.custom_id not in self.wait:
                self.asked.append((row.custom_id, job.request_id(row.number, 0)))
                said = {"said": row.custom_id}
                heard[row.number] = Heard(self.status.get(row.custom_id, 200), {}, said, "r-1")
        self.then()
        waits = [self.wait[row.custom_id] for row in rows if row.custom_id in self.wait]
        return Said(heard, max(waits) if waits else None)


class Works:
    """A batch, and who works on it."""

    def __init__(self, house: House, content: bytes) -> None:
        self.house = house
        self.script = Script()
        asking: Any = self.script
        self.parts = Parts(house.records, house.objects, house.queue, asking)
        self.id: str = house.create(house.upload(content)).json["id"]

    def turn(self, seconds: float = 900, worker: str | None = None) -> None:
        """Take the next message."""
        message, _ = self.house.sent.pop(0)
        context = Context(seconds, worker) if worker else Context(seconds)
        serve(message, context, self.parts)

    def die(self) -> None:
        """Take the next message and be killed after some lines were asked; the message comes again."""
        message = self.house.sent[0]

        def kill() -> None:
            raise Killed

        self.script.then = kill
        with pytest.raises(Killed):
            self.turn()
        self.script.then = lambda: None
        self.house.sent.insert(0, message)

    def shown(self) -> dict[str, Any]:
        """The batch as its owner sees it."""
        found: dict[str, Any] = self.house.call("GET", f"/v1/batches/{self.id}").json
        return found

    def file(self, which: str) -> list[dict[str, Any]]:
        """The lines of what it came to."""
        name = self.shown()[which]
        if name is None:
            return []
        content = self.house.call("GET", f"/v1/files/{name}/content").body
        assert self.house.call("GET", f"/v1/files/{name}").json["bytes"] == len(content)
        return [json.loads(line) for line in content.splitlines()]


@pytest.fixture
def works(house: House) -> Works:
    """A batch of three pieces."""
    return Works(house, lines(*NAMES))


def ended(works: Works, status: str = "completed") -> None:
    """Every line has one answer, in the order of the file."""
    shown = works.shown()
    assert shown["status"] == status
    assert [one["custom_id"] for one in works.file("output_file_id")] == NAMES
    assert shown["request_counts"] == {"total": len(NAMES), "completed": len(NAMES), "failed": 0}
    assert works.house.sent == []


def test_every_line_is_answered(works: Works) -> None:
    """In OpenAI's form, each once."""
    works.turn()
    ended(works)
    assert [name for name, _ in works.script.asked] == NAMES
    first = works.file("output_file_id")[0]
    assert first["response"] == {"status_code": 200, "request_id": "r-1", "body": {"said": "line-0"}}
    assert (first["error"], first["id"][:10]) == (None, "batch_req_")
    assert works.shown()["error_file_id"] is None


def test_what_fails_stands_among_the_errors(works: Works) -> None:
    """It is the line's matter, and no other's."""
    works.script.status = {"line-1": 404, "line-40": 400}
    works.turn()
    assert [one["custom_id"] for one in works.file("error_file_id")] == ["line-1", "line-40"]
    assert works.shown()["request_counts"] == {"total": len(NAMES), "completed": len(NAMES) - 2, "failed": 2}
    assert works.shown()["status"] == "completed"


def test_a_file_that_is_not_in_order_fails(house: House) -> None:
    """Before any line is asked; the mistakes stand in the batch with their lines."""
    works = Works(house, lines("a") + b"\n{\n" + lines("a"))
    works.turn()
    shown = works.shown()
    assert (shown["status"], shown["failed_at"]) == ("failed", NOW)
    assert [(one["line"], one["code"]) for one in shown["errors"]["data"]] == [
        (2, "invalid_json_line"),
        (3, "duplicate_custom_id"),
    ]
    assert works.script.asked == []


def test_a_killed_worker_costs_nothing_twice_and_loses_nothing(works: Works) -> None:
    """Lines that were asked and not stored are asked under the same requests, which settle once; no others are."""
    works.die()
    before = works.script.asked.copy()
    assert len(before) == PIECE
    works.turn()  # too early: nobody knows that the other is dead
    assert works.script.asked == before
    works.house.sent.append(({"org": "default", "batch": works.id}, 0))
    works.house.now += 901
    works.turn()
    assert works.script.asked[PIECE : 2 * PIECE] == before
    assert len(works.script.asked) == len(NAMES) + PIECE
    assert len({request for _, request in works.script.asked}) == len(NAMES)
    ended(works)


def test_what_is_stored_is_not_asked_again(works: Works) -> None:
    """Even if the record knows nothing of it: the worker was killed between the two."""
    change = works.house.records.change

    def killed(org: str, kind: str, name: str, changes: dict[str, Any], only_if: Any) -> Any:
        if changes.get("position") == 2:
            raise Killed
        return change(org, kind, name, changes, only_if)

    works.house.records.change = killed  # type: ignore[method-assign]
    message = works.house.sent[0]
    with pytest.raises(Killed):
        works.turn()
    works.house.records.change = change  # type: ignore[method-assign]
    works.house.sent.append(message)
    works.house.now += 901
    works.turn()
    assert [name for name, _ in works.script.asked] == NAMES
    ended(works)


def test_a_limit_is_waited_out(works: Works) -> None:
    """What was answered beside it is kept; the next message comes when the limit ends, at most a quarter hour on."""
    works.script.wait = {"line-5": 50.0}
    works.turn()
    assert works.house.sent == [({"org": "default", "batch": works.id}, 50)]
    works.script.wait = {}
    works.turn()
    ended(works)
    names = [name for name, _ in works.script.asked]
    assert sorted(names) == sorted(NAMES)
    assert names.index("line-5") == PIECE - 1


def test_a_long_wait_takes_several_messages(works: Works) -> None:
    """SQS keeps none back for longer."""
    works.script.wait = {"line-5": 3000.0}
    works.turn()
    assert works.house.sent[0][1] == 900
    assert works.shown()["status"] == "in_progress"


def test_a_new_turn_is_a_new_request(works: Works) -> None:
    """Or what a line cost that was waited for would be settled already, by its first try."""
    job = Job("batch", {}, "", 0)
    assert job.request_id(1, 0) == job.request_id(1, 0)
    assert len({job.request_id(1, 0), job.request_id(2, 0), job.request_id(1, 1)}) == 3
    assert job._replace(turn=1).request_id(1, 0) != job.request_id(1, 0)
    works.script.wait = {"line-5": 1.0}
    works.turn()
    place = {"pk": "default", "sk": f"batch#{works.id}"}
    assert works.house.table.get_item(Key=place)["Item"]["turn"] == 1


def test_time_runs_out_between_pieces(works: Works) -> None:
    """The next message goes on; no line is begun that could not be ended."""
    works.turn(seconds=329)
    assert works.script.asked == []
    assert works.house.sent == [({"org": "default", "batch": works.id}, 0)]
    works.turn()
    ended(works)


def test_what_is_left_at_the_end_of_the_window_expires(works: Works) -> None:
    """The answers there are can be read, and what has none stands among the errors."""
    works.script.wait = {"line-5": 900.0}
    works.turn()
    works.house.now += 86_400
    works.turn()
    shown = works.shown()
    assert (shown["status"], shown["expired_at"]) == ("expired", NOW + 86_400)
    answered = [one["custom_id"] for one in works.file("output_file_id")]
    left = works.file("error_file_id")
    assert answered == [name for name in NAMES[:PIECE] if name != "line-5"]
    assert [one["custom_id"] for one in left] == ["line-5", *NAMES[PIECE:]]
    assert {one["error"]["code"] for one in left} == {"batch_expired"}


def test_a_cancelled_batch_stops_at_the_next_piece(works: Works) -> None:
    """What is under way is kept."""

    def cancel() -> None:
        works.house.call("POST", f"/v1/batches/{works.id}/cancel")

    works.script.then = cancel
    works.turn()
    assert [one["custom_id"] for one in works.file("output_file_id")] == NAMES[:PIECE]
    assert {one["error"]["code"] for one in works.file("error_file_id")} == {"batch_cancelled"}
    assert works.shown()["status"] == "cancelled"
    works.turn()  # the message of the cancellation
    assert works.house.sent == []


def test_a_batch_cancelled_before_it_began_has_nothing(works: Works) -> None:
    """Not even a look at its file."""
    works.house.call("POST", f"/v1/batches/{works.id}/cancel")
    works.turn()
    assert (works.shown()["status"], works.script.asked) == ("cancelled", [])


def test_two_messages_are_one_work(works: Works) -> None:
    """SQS may bring one twice: who comes second goes away."""
    works.house.sent.append(works.house.sent[0])

    def second() -> None:
        works.script.then = lambda: None
        works.turn()

    works.script.then = second
    works.turn()
    ended(works)
    assert [name for name, _ in works.script.asked] == NAMES


def test_a_file_that_was_deleted_meanwhile_fails_the_batch(works: Works) -> None:
    """Before it began."""
    works.house.call("DELETE", f"/v1/files/{works.shown()['input_file_id']}")
    works.turn()
    assert [one["code"] for one in works.shown()["errors"]["data"]] == ["file_not_found"]


def test_a_store_out_of_reach_brings_the_message_again(works: Works) -> None:
    """So the worker fails aloud."""
    nowhere: Any = Unreachable()
    works.parts.objects._client = nowhere
    with pytest.raises(Exception, match="cannot be reached"):
        works.turn()
    works.house.objects._client = works.house.s3


def test_a_batch_that_is_over_is_left_alone(works: Works) -> None:
    """A late message changes nothing."""
    message = works.house.sent[0]
    works.turn()
    works.house.sent.append(message)
    works.turn()
    ended(works)
