"""`/v1/files`, as OpenAI has them: what goes into a batch, and what came out of one.

A file is its key's own; an administrator sees those of the organization. It goes after 30 days, or when it asks to.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from functions.batch_calls import MOST_LISTED, Answer, Unknown, download, listed, whole
from functions.batch_records import Query
from shared.core import multipart
from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from functions.batch_calls import Call
    from functions.batch_records import Item

FILE: Final = "file"
KEPT_SECONDS: Final = 30 * 86_400  # as the bucket's own rule has it
SHORTEST_SECONDS: Final = 3_600  # OpenAI's own
BATCH, BATCH_OUTPUT = "batch", "batch_output"
_ORDERS: Final = {"asc": False, "desc": True}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST_NAME: Final = 255
_FIELDS: Final = frozenset({"purpose", "file", "expires_after[anchor]", "expires_after[seconds]"})


def upload(call: Call) -> Answer:
    """`POST /v1/files`.

    Raises:
        BadRequest: a field of the form is missing or wrong.
        StoreUnavailable: nothing can be stored now.
    """
    form = multipart.parse(call.header("content-type"), call.body())
    for name in form.keys() - _FIELDS:
        raise BadRequest(f"The field '{name[:100]}' is not known. Remove it.", param=name[:100])
    if "purpose" not in form or form["purpose"].content.decode(errors="replace") != BATCH:
        raise BadRequest("The only purpose of a file here is 'batch'.", param="purpose")
    if "file" not in form or not form["file"].content:
        raise BadRequest("The form has no file, or an empty one. Send JSON lines as the field 'file'.", param="file")
    sent = form["file"]
    if not sent.filename or len(sent.filename) > _LONGEST_NAME or _CONTROL.search(sent.filename):
        raise BadRequest("A file has a name of 1 to 255 characters, none of them a control character.", param="file")
    made = new_file(call, sent.filename, len(sent.content), _lifetime(form))
    call.objects.put(call.caller.org, place(made["id"]), sent.content)
    call.records.put(call.caller.org, FILE, made)
    return whole(shown(made))


def show(call: Call) -> Answer:
    """`GET /v1/files/{id}`; raises as `Call.found` does."""
    return whole(shown(call.found(FILE)))


def files(call: Call) -> Answer:
    """`GET /v1/files`.

    Raises:
        BadRequest: a parameter is wrong.
        StoreUnavailable: they cannot be listed now.
    """
    query = call.query("after", "limit", "order", "purpose")
    if query.get("order", "desc") not in _ORDERS:
        raise BadRequest("The 'order' is asc or desc, by when they were made.", param="order")
    fields = {"purpose": query["purpose"]} if query.get("purpose") else {}
    newest_first = _ORDERS[query.get("order", "desc")]
    wanted = Query(FILE, call.owner, call.limit(MOST_LISTED), call.cursor(), newest_first, fields)
    items, more = call.records.page(call.caller.org, wanted)
    return listed([shown(item) for item in items], more=more)


def content(call: Call) -> Answer:
    """`GET /v1/files/{id}/content`.

    Raises:
        Unknown: there is no such file, or its content is gone.
        StoreUnavailable: it cannot be read now.
    """
    known = call.found(FILE)
    pieces = call.objects.read(call.caller.org, place(known["id"]))
    if pieces is None:
        raise Unknown(FILE)
    return download(known["filename"], pieces)


def delete(call: Call) -> Answer:
    """`DELETE /v1/files/{id}`; raises as `Call.found` does."""
    known = call.found(FILE)
    call.records.delete(call.caller.org, FILE, known["id"])
    call.objects.delete(call.caller.org, place(known["id"]))
    return whole({"id": known["id"], "object": FILE, "deleted": True})


def new_file(call: Call, filename: str, size: int, seconds: int = KEPT_SECONDS, purpose: str = BATCH) -> Item:
    """Return the record of a file of `size` bytes that lasts so many seconds; it is written nowhere yet."""
    now = int(call.records.now())
    return {
        "id": call.records.new_id("file-"),
        "owner": call.caller.key_id,
        "purpose": purpose,
        "filename": filename,
        "bytes": size,
        "created_at": now,
        "expires_at": now + seconds,
    }


def place(name: str) -> str:
    """Return where the content of a file lies, within its organization."""
    return f"files/{name}"


def shown(item: Item) -> dict[str, Any]:
    """Return a file as OpenAI has it."""
    known = {name: item[name] for name in ("id", "bytes", "created_at", "expires_at", "filename", "purpose")}
    return {**known, "object": FILE, "status": "processed", "status_details": None}


def _lifetime(form: dict[str, multipart.Part]) -> int:
    """Return for how many seconds a file is wanted."""
    anchor, seconds = form.get("expires_after[anchor]"), form.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return KEPT_SECONDS
    text = seconds.content.decode(errors="replace") if seconds else ""
    wanted = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
    if not SHORTEST_SECONDS <= wanted <= KEPT_SECONDS or anchor is None or anchor.content != b"created_at":
        least = f"{SHORTEST_SECONDS} to {KEPT_SECONDS} seconds behind the anchor 'created_at'"
        raise BadRequest(f"A file expires {least}.", param="expires_after")
    return wanted
