"""One turn of work on a batch: judge its file, ask its lines piece by piece, and put together what they came to.

It may die at any point. What a piece came to is stored before the record says that it is done, under the piece's own
name, so a line whose answer is stored is not asked again; one that was answered and not stored is asked under the same
request id, which settles once. Of two that work on the same batch one goes away: a lease says whose it is.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from boto3.dynamodb.conditions import Attr, ConditionBase

from functions.batch_files import BATCH, BATCH_OUTPUT, FILE, KEPT_SECONDS, place
from functions.batch_lines import LINE_SECONDS, Job
from functions.batch_outbox import deliver, report
from shared.core import batches
from shared.core.wire import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from functions.batch_lines import Asking
    from functions.batch_objects import Objects
    from functions.batch_queue import Queue
    from functions.batch_records import Item, Records
    from shared.core.batches import Heard, Row

PIECE: Final = 32  # lines that are asked before what they came to is stored
_MARGIN: Final = 30.0  # seconds beside the lines: to store, to say so, and to send a message
_FINISHING_SECONDS: Final = 120.0
_HTTP_ERROR: Final = 400


class Parts(NamedTuple):
    """What outlives a turn; `left` says how many seconds of the invocation there are."""

    records: Records
    objects: Objects
    queue: Queue
    asking: Asking


class Lost(Exception):  # noqa: N818 - what happened
    """Somebody else works on this batch."""


class Turn:
    """Work on one batch until it is over, has to wait, or time runs out."""

    def __init__(self, parts: Parts, org: str, item: Item, left: Callable[[], float]) -> None:
        self._records, self._objects, self._queue, self._asking = parts
        self._org = org
        self.item = item
        self._left = left

    def work(self) -> None:
        """Do what can be done now, and send a message if there will be more.

        Raises:
            Lost: the lease is another's.
            StoreUnavailable: a store cannot be reached; the message comes again.
        """
        content = self._content()
        if self.item["status"] == "validating":
            self._judge(content)
        wait = self._ask(content) if self.item["status"] == "in_progress" else 0.0
        if batches.is_over(self.item["status"]):
            return
        if self._ended() is None or self._left() < _FINISHING_SECONDS:
            self._release()
            left = self.item["ends_at"] - self._records.now()
            self._queue.send({"org": self._org, "batch": self.item["id"]}, min(wait, left))
        else:
            self._finish(content)

    def _content(self) -> bytes | None:
        pieces = self._objects.read(self._org, place(self.item["input_file_id"]))
        return None if pieces is None else b"".join(pieces)

    def _judge(self, content: bytes | None) -> None:
        """Find out whether the file is in order; a batch of one that is not has failed."""
        total, found = batches.faults(content or b"", self.item["endpoint"])
        if content is None:
            found = [batches.Fault("file_not_found", "The content of the file is gone.")]
        now = int(self._records.now())
        if found:
            if self.item.get("outbox"):
                report(self._objects, self.item["outbox"], found)
            told = [fault._asdict() for fault in found]
            self._change({"status": "failed", "failed_at": now, "errors": told, "leased_until": 0})
        else:
            self._change({"status": "in_progress", "in_progress_at": now, "total": total})

    def _ask(self, content: bytes | None) -> float:
        """Ask piece after piece; returns for how many seconds to wait before the next one."""
        pieces = _pieces(list(batches.read(content or b"")))
        while self.item["position"] < len(pieces):
            if self._ended() or self._left() < LINE_SECONDS + _MARGIN:
                return 0.0
            wait = self._piece(self.item["position"], pieces[self.item["position"]])
            if wait is not None:
                return wait
        return 0.0

    def _piece(self, number: int, rows: list[Row]) -> float | None:
        """Ask those lines of a piece that have no answer yet; returns how long to wait if some stay without."""
        stored = self._stored(number)
        job = Job(self.item["id"], self.item["caller"], self.item["address"], self.item["turn"])
        said = self._asking.ask(job, [row for row in rows if row.number not in stored])
        stored |= {row.number: self._kept(row, said.heard[row.number]) for row in rows if row.number in said.heard}
        if said.heard:
            lines = (encode([at, *stored[at]]) for at in sorted(stored))
            self._objects.put(self._org, self._piece_name(number), b"\n".join(lines))
        if said.wait is not None:
            return said.wait
        failed = sum(is_error for is_error, _ in stored.values())
        counts = {"failed": self.item["failed"] + failed}
        counts["completed"] = self.item["completed"] + len(stored) - failed
        self._change({"position": number + 1, **counts})
        return None

    def _kept(self, row: Row, heard: Heard) -> tuple[bool, str]:
        name = self._name("batch_req_", str(row.number))
        return heard.status >= _HTTP_ERROR, batches.answered(row, name, heard).decode()

    def _stored(self, number: int) -> dict[int, tuple[bool, str]]:
        """Return what the lines of a piece came to as far as that is stored: whether it is an error, and its line."""
        pieces = self._objects.read(self._org, self._piece_name(number))
        lines = b"".join(pieces).split(b"\n") if pieces else []
        return {at: (is_error, line) for at, is_error, line in map(decode, lines)}

    def _ended(self) -> str | None:
        """Return what the batch will be when what there is has been put together; None while there is more to ask."""
        if self.item["status"] == "cancelling":
            return "cancelled"
        if self.item["position"] * PIECE >= self.item["total"] and self.item["status"] != "validating":
            return "completed"
        return "expired" if self._records.now() >= self.item["ends_at"] else None

    def _finish(self, content: bytes | None) -> None:
        """Put the answers into one file and the errors into another; done again they are the same files."""
        status, now = self._ended() or "completed", int(self._records.now())
        if self.item["status"] == "in_progress":
            self._change({"status": "finalizing", "finalizing_at": now})
            if self.item["status"] == "cancelling":  # a moment ago
                status = "cancelled"
        rows = [] if self.item["total"] == 0 else list(batches.read(content or b""))
        files = {}
        for name, is_error in (("output_file_id", False), ("error_file_id", True)):
            file_id = self._name("file-", name)
            lines = self._lines(rows, status) if is_error else self._answers(is_error=False)
            size = self._objects.write(self._org, place(file_id), lines)
            if size:
                self._records.put(self._org, FILE, self._file(file_id, is_error=is_error, size=size))
                files[name] = file_id
        if self.item.get("outbox"):
            deliver(self._objects, self._org, self.item["outbox"], files)
        self._change({"status": status, f"{status}_at": now, "leased_until": 0, **files})

    def _answers(self, *, is_error: bool) -> Iterator[bytes]:
        """Yield the lines that are stored, those of errors or the others."""
        for number in range(self.item["position"] + 1):
            yield from (line.encode() for is_one, line in self._stored(number).values() if is_one == is_error)

    def _lines(self, rows: list[Row], status: str) -> Iterator[bytes]:
        """Yield the lines of errors: of what was answered with one, and of what was not asked any more."""
        yield from self._answers(is_error=True)
        if status == "completed":
            return
        known = self._stored(self.item["position"])
        for row in rows[self.item["position"] * PIECE :]:
            if row.number not in known:
                yield batches.unanswered(row.custom_id, self._name("batch_req_", str(row.number)), status)

    def _file(self, file_id: str, *, is_error: bool, size: int) -> Item:
        now = int(self._records.now())
        return {
            "id": file_id,
            "owner": self.item["owner"],
            "purpose": BATCH_OUTPUT,
            "filename": f"{self.item['id']}_{'error' if is_error else 'output'}.jsonl",
            "bytes": size,
            "created_at": now,
            "expires_at": now + KEPT_SECONDS,
        }

    def _name(self, prefix: str, what: str) -> str:
        """Make an id that is the same each time, sorts as the batch's own does, and is as hard to guess."""
        own: str = self.item["id"].removeprefix("batch_")
        return prefix + own[:12] + hashlib.sha256(f"{own} {what}".encode()).hexdigest()[:20]

    def _piece_name(self, number: int) -> str:
        return f"pieces/{self.item['id']}/{number:05d}"

    def _release(self) -> None:
        self._change({"leased_until": 0, "turn": self.item["turn"] + 1})

    def _change(self, changes: dict[str, Any]) -> None:
        """Change the record, whose status another may have changed to `cancelling` meanwhile."""
        mine: ConditionBase = Attr("worker").eq(self.item["worker"])
        if "status" in changes:
            mine &= Attr("status").eq(self.item["status"])
        changed = self._records.change(self._org, BATCH, self.item["id"], changes, mine)
        if changed is None:
            self.item = self._current()
            return
        self.item = changed

    def _current(self) -> Item:
        """Return the record as it is now, if the lease is still ours."""
        found = self._records.get(self._org, BATCH, self.item["id"])
        if found is None or found["worker"] != self.item["worker"]:
            raise Lost
        return found


def _pieces(rows: list[Row]) -> list[list[Row]]:
    return [rows[start : start + PIECE] for start in range(0, len(rows), PIECE)]


def leased(records: Records, org: str, name: str, worker: str, seconds: float) -> Item | None:
    """Take a batch for so many seconds; None if there is none, it is over, or another's for now."""
    now = int(records.now())
    free = Attr("leased_until").lte(now) & Attr("status").is_in(
        ["validating", "in_progress", "finalizing", "cancelling"]
    )
    return records.change(org, BATCH, name, {"worker": worker, "leased_until": now + int(seconds)}, free)
