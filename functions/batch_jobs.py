"""`/v1/batches`, as OpenAI has them: the lines of a file, each served as a request of the key that made the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from boto3.dynamodb.conditions import Attr

from functions.batch_calls import Answer, listed, whole
from functions.batch_files import BATCH, FILE, KEPT_SECONDS
from functions.batch_records import Query
from shared.core import batches
from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from functions.batch_calls import Call
    from functions.batch_records import Item

_USUAL: Final = 20  # on a page, as at OpenAI
_LOST_SECONDS: Final = 7_200  # after its window a batch that is not over has nobody who works on it
_TIMES: Final = (
    *("in_progress_at", "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at"),
)


class TooLate(BadRequest):
    """The batch is over, and cannot be cancelled."""

    status = 409
    code = "batch_is_over"
    should_retry = False  # an SDK tries a 409 again


def create(call: Call) -> Answer:
    """`POST /v1/batches`.

    Raises:
        BadRequest: a field is wrong, or the file is not for a batch.
        Unknown: there is no such file.
        StoreUnavailable: it cannot be stored now.
    """
    wanted = batches.asked(call.body())
    file = call.found(FILE, wanted.input_file_id)
    if file["purpose"] != BATCH:
        raise BadRequest("This file is what a batch came to. Name one with the purpose 'batch'.", param="input_file_id")
    made = new_batch(call, file["id"], wanted)
    call.records.put(call.caller.org, BATCH, made)
    call.queue.send({"org": call.caller.org, "batch": made["id"]})
    return whole(shown(made, call.records.now()))


def show(call: Call) -> Answer:
    """`GET /v1/batches/{id}`; raises as `Call.found` does."""
    return whole(shown(call.found(BATCH), call.records.now()))


def jobs(call: Call) -> Answer:
    """`GET /v1/batches`.

    Raises:
        BadRequest: a parameter is wrong.
        StoreUnavailable: they cannot be listed now.
    """
    call.query("after", "limit")
    found = call.records.page(call.caller.org, Query(BATCH, call.owner, call.limit(_USUAL), call.cursor()))
    return listed([shown(item, call.records.now()) for item in found[0]], more=found[1])


def cancel(call: Call) -> Answer:
    """`POST /v1/batches/{id}/cancel`: lines under way are finished, no other is begun.

    Raises:
        TooLate: it is over.
        Unknown: there is no such batch.
        StoreUnavailable: it cannot be changed now.
    """
    known, now = call.found(BATCH), call.records.now()
    if known["status"] == "cancelling":
        return whole(shown(known, now))
    changes = {"status": "cancelling", "cancelling_at": int(now)}
    only_if = Attr("status").is_in(["validating", "in_progress"])
    changed = call.records.change(call.caller.org, BATCH, known["id"], changes, only_if)
    if changed is None:
        raise TooLate(f"The batch is {call.found(BATCH)['status']} and cannot be cancelled any more.")
    call.queue.send({"org": call.caller.org, "batch": known["id"]})  # should it wait for a limit now
    return whole(shown(changed, now))


def new_batch(call: Call, file_id: str, wanted: batches.BatchFields) -> Item:
    """Return the record of a new batch; it is written nowhere yet.

    The batch is its key's, not that of the secret which opened it: a rotation does not end it.
    """
    now = int(call.records.now())
    return {
        "id": call.records.new_id("batch_"),
        "owner": call.caller.key_id,
        "caller": call.caller._replace(secret="").context(),
        "address": call.address,
        "input_file_id": file_id,
        "endpoint": wanted.endpoint,
        "metadata": wanted.metadata,
        "status": "validating",
        "created_at": now,
        "ends_at": now + batches.WINDOW_SECONDS,
        "expires_at": now + KEPT_SECONDS,
        **dict.fromkeys(("position", "total", "completed", "failed", "turn", "leased_until"), 0),
    }


def shown(item: Item, now: float) -> dict[str, Any]:
    """Return a batch as OpenAI has it, at `now` in epoch seconds."""
    status = item["status"]
    lost = not batches.is_over(status) and now > item["ends_at"] + _LOST_SECONDS
    errors = item.get("errors")
    return {
        "id": item["id"],
        "object": "batch",
        "endpoint": item["endpoint"],
        "errors": {"object": "list", "data": errors} if errors else None,
        "input_file_id": item["input_file_id"],
        "completion_window": "24h",
        "status": "expired" if lost else status,
        "output_file_id": item.get("output_file_id"),
        "error_file_id": item.get("error_file_id"),
        "created_at": item["created_at"],
        "expires_at": item["ends_at"],
        **{name: item.get(name) for name in _TIMES},
        "request_counts": {name: item[name] for name in ("total", "completed", "failed")},
        "metadata": item.get("metadata"),
    }
