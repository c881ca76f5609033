"""Files that are laid into the bucket under `inbox/<key id>/`: each becomes a batch of that key.

S3 tells of each at least once, and whoever hears of it may die at any point. So file and batch are named after what S3
says of the object: done again they are the same, and a batch that there is already is left as it is.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote_plus

from boto3.dynamodb.conditions import Attr

from functions.batch_calls import Call
from functions.batch_files import BATCH, FILE, new_file, place
from functions.batch_jobs import new_batch
from functions.batch_outbox import report
from functions.callers import confirmed
from functions.networks import refuse_blocked
from shared.core import batches, keys
from shared.core.batches import INBOX, INBOX_SUFFIX, OUTBOX, BatchFields, Fault
from shared.core.errors import BadRequest, Forbidden, Unauthorized
from shared.edge.directory import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functions.batch_objects import Objects
    from functions.batch_queue import Queue
    from functions.batch_records import Records
    from functions.registry import Registry
    from shared.core.principals import Principal

MOST_BYTES: Final = 16 << 20  # of a file: read as lines it takes some twenty times as much memory, at the worst
_LONGEST_KEY: Final = 1000  # bytes of an object's key; S3 takes 1024, and results have longer names
_USUAL: Final = "/v1/chat/completions"  # of a file without any line in order, which fails whatever it is for


class Laid(NamedTuple):
    """An object in the inbox, as S3 tells of it; `at` is in epoch seconds, `address` that of whoever laid it there."""

    tray: str
    etag: str
    sequencer: str  # tells those of one name and content apart
    size: int
    at: float
    address: str

    @property
    def key_id(self) -> str:
        """The key whose batch it is to be, as its folder says."""
        return self.tray.removeprefix(INBOX).partition("/")[0]

    @property
    def name(self) -> str:
        """What the file is called in that folder."""
        return self.tray.removeprefix(INBOX).partition("/")[2]

    @property
    def outbox(self) -> str:
        """Where what it comes to begins."""
        return OUTBOX + self.tray.removeprefix(INBOX).removesuffix(INBOX_SUFFIX)

    def id(self, prefix: str) -> str:
        """Make an id that is the same each time, and sorts by when the file was laid down."""
        digest = hashlib.sha256(f"{self.tray}\n{self.etag}\n{self.sequencer}".encode()).hexdigest()
        return f"{prefix}{int(self.at * 1000):012x}{digest[:20]}"


class Inbox(NamedTuple):
    """What it takes to make batches of files in `bucket`."""

    registry: Registry
    records: Records
    objects: Objects
    queue: Queue
    bucket: str

    def take(self, message: Mapping[str, Any]) -> None:
        """Make a batch of each file that S3 tells of, or lay down why there is none.

        Raises:
            StoreUnavailable: a store cannot be reached; the message comes again.
        """
        for laid in told(message, self.bucket):
            self._take(laid)

    def _take(self, laid: Laid) -> None:
        org = keys.org_of(laid.key_id) or ""
        if not (org and self.records.get(org, BATCH, laid.id("batch_"))):
            try:
                caller = self._caller(org, laid)
            except (BadRequest, Unauthorized, Forbidden) as refusal:
                report(self.objects, laid.outbox, [Fault(refusal.code, refusal.message)])
                self.objects.clear(laid.tray, laid.etag)
                return
            content = self.objects.fetch(laid.tray, laid.etag)
            if content is None:  # it was taken back, or another laid over it, of which S3 tells, too
                return
            self._create(Call(caller, _event(laid), self.records, self.objects, self.queue), laid, content)
        self.queue.send({"org": org, "batch": laid.id("batch_")})
        self.objects.clear(laid.tray, laid.etag)

    def _create(self, call: Call, laid: Laid, content: bytes) -> None:
        """Write file and batch, unless somebody else just did."""
        org, file_id = call.caller.org, laid.id("file-")
        self.objects.put(org, place(file_id), content)
        self.records.put(org, FILE, {**new_file(call, laid.name, len(content)), "id": file_id})
        made = new_batch(call, file_id, BatchFields(file_id, _endpoint(content), "24h"))
        made |= {"id": laid.id("batch_"), "outbox": laid.outbox}
        self.records.change(org, BATCH, made["id"], made, Attr("pk").not_exists())

    def _caller(self, org: str, laid: Laid) -> Principal:
        """Return whom the file's key stands for, if it may call now.

        Raises:
            BadRequest: no batch is made of such a file.
            Unauthorized, Forbidden: the key is unknown, revoked, expired or blocked, or its role makes no batches.
            StoreUnavailable: the Directory cannot be reached.
        """
        known = self.registry.find(org, f"key#{laid.key_id}") if org else None
        if known is None or known.get("deleted"):
            raise Unauthorized("There is no API key of this id. Lay files into inbox/<key id>/.")
        now = self.records.now()
        caller = confirmed(self.registry, record(known).principal(""), now)
        caller.require("infer")
        refuse_blocked(self.registry.find(org, "org"), laid.address, now)
        if laid.size > MOST_BYTES:
            raise BadRequest(f"A file has at most {MOST_BYTES} bytes. Make several.")
        if len(laid.tray.encode()) > _LONGEST_KEY:
            raise BadRequest(f"The path of a file has at most {_LONGEST_KEY} bytes. Give it a shorter name.")
        return caller


def told(message: Mapping[str, Any], bucket: str) -> list[Laid]:
    """Return what a message of S3 is about: nothing where it only tests the queue, or is about another bucket."""
    return [
        Laid(
            tray=unquote_plus(one["s3"]["object"]["key"]),
            etag=one["s3"]["object"]["eTag"],
            sequencer=one["s3"]["object"]["sequencer"],
            size=one["s3"]["object"]["size"],
            at=datetime.fromisoformat(one["eventTime"]).timestamp(),
            address=one["requestParameters"]["sourceIPAddress"],
        )
        for one in message.get("Records", [])
        if one["s3"]["bucket"]["name"] == bucket
    ]


def _event(laid: Laid) -> dict[str, Any]:
    """Return as much of a request as a call needs."""
    return {"requestContext": {"identity": {"sourceIp": laid.address}}}


def _endpoint(content: bytes) -> Any:  # noqa: ANN401 - one of the literals that a line may have
    """Return what the first line that is in order is for."""
    for number, line in batches.rows(content):
        try:
            return batches.row(number, line).url
        except BadRequest:
            continue
    return _USUAL
