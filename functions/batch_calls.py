"""One request about files or batches, whose files it may be about, and how it is answered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from functions import arrival
from shared.core.errors import BadRequest, NotFound
from shared.core.wire import encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from functions.batch_objects import Objects
    from functions.batch_queue import Queue
    from functions.batch_records import Item, Records
    from shared.core.principals import Principal

JSON: Final = {"content-type": "application/json", "cache-control": "no-store"}
MOST_LISTED: Final = 1000  # OpenAI lists ten times as many files; all beyond come with the next page
_ID: Final = re.compile(r"(?:file-|batch_)[0-9a-f]{32}")
_COUNT: Final = re.compile(r"[0-9]{1,6}")


class Unknown(NotFound):
    """No such file or batch, or another's: they look the same on purpose."""

    code = "unknown_id"

    def __init__(self, kind: str) -> None:
        """`kind` is what it would be."""
        super().__init__(f"There is no {kind} with this id.", param="id")
        self.code = f"{kind}_not_found"


class Answer(NamedTuple):
    """What a request gets, in pieces."""

    pieces: Iterable[bytes]
    headers: Mapping[str, str] = JSON
    status: int = 200


class Call(NamedTuple):
    """Who asks for what, of these stores."""

    caller: Principal
    event: Mapping[str, Any]
    records: Records
    objects: Objects
    queue: Queue

    @property
    def address(self) -> str:
        """The caller's address: API Gateway's word, for headers say what clients like."""
        return str(self.event["requestContext"].get("identity", {}).get("sourceIp", ""))

    @property
    def owner(self) -> str:
        """Whose files and batches the caller may see: its own key's, or "" for all of its organization."""
        return "" if self.caller.may("administer") else self.caller.key_id

    def found(self, kind: str, name: str | None = None) -> Item:
        """Return the record that the path names, or the one called `name`.

        Raises:
            Unknown: there is none, or none that the caller may see.
            StoreUnavailable: nobody can look it up now.
        """
        asked = (self.event.get("pathParameters") or {}).get("id", "") if name is None else name
        known = self.records.get(self.caller.org, kind, asked) if _ID.fullmatch(asked) else None
        if known is None or self.owner not in {"", known["owner"]}:
            raise Unknown(kind)
        return known

    def query(self, *known: str) -> dict[str, str]:
        """Return the parameters of the URL, all of which must be `known`.

        Raises:
            BadRequest: one is not.
        """
        sent: dict[str, str] = self.event.get("queryStringParameters") or {}
        for name in sent.keys() - set(known):
            raise BadRequest(f"The parameter '{name[:100]}' is not known. Use {', '.join(known)}.", param=name[:100])
        return sent

    def cursor(self) -> str:
        """Return the id behind which a page begins, "" for the first one.

        Raises:
            BadRequest: it is no id.
        """
        after: str = (self.event.get("queryStringParameters") or {}).get("after", "")
        if after and not _ID.fullmatch(after):
            raise BadRequest("The cursor 'after' is no id. Use the last_id of the page before.", param="after")
        return after

    def limit(self, usual: int) -> int:
        """Return how many are wanted on a page.

        Raises:
            BadRequest: that is no number of them.
        """
        text = (self.event.get("queryStringParameters") or {}).get("limit") or str(usual)
        if not _COUNT.fullmatch(text) or not int(text):
            raise BadRequest(f"The 'limit' of a page is a number from 1 to {MOST_LISTED}.", param="limit")
        return min(int(text), MOST_LISTED)

    def header(self, name: str) -> str:
        """Return a header of the request, "" if it has none; `name` is in lower case."""
        return arrival.header(self.event, name)

    def body(self) -> bytes:
        """Return the bytes that the client sent.

        Raises:
            BadRequest: they are said to be base64 and are not.
        """
        return arrival.body(self.event)


def whole(value: Mapping[str, Any]) -> Answer:
    """Answer with an object."""
    return Answer([encode(value)])


def listed(items: list[dict[str, Any]], *, more: bool) -> Answer:
    """Answer with one page of a list; its last id is the cursor of the next."""
    ends = {"first_id": items[0]["id"], "last_id": items[-1]["id"]} if items else {"first_id": None, "last_id": None}
    return whole({"object": "list", "data": items, **ends, "has_more": more})


def download(filename: str, pieces: Iterator[bytes]) -> Answer:
    """Answer with a file."""
    named = f"attachment; filename*=UTF-8''{quote(filename)}"
    return Answer(pieces, {"content-type": "application/octet-stream", "content-disposition": named})
