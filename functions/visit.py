"""One request of an administrator, and how it is answered: what all topics of the control plane share."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.registry import Change, Exists
from shared.core.errors import BadRequest
from shared.core.wire import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from functions.control import Control
    from functions.registry import Item

JSON = "application/json"
SALT_BYTES = 16
REMEMBERED_SECONDS = 86_400  # how long a create can be repeated under its Idempotency-Key

Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = str | None

_VERSION = re.compile(r'(?:W/)?("?)(\d{1,15})\1')
_TOKEN = re.compile(r"[\x21-\x7e]{1,255}")


class Repeated(Exists):
    """The Idempotency-Key was used for another request."""

    code = "idempotency_conflict"


class Visit(NamedTuple):
    """One request, in the organization of its caller; `headers` have lower-case names."""

    control: Control
    org: str
    who: str  # the id of the caller's key
    headers: Mapping[str, str]
    body: bytes
    address: str = ""  # the caller's, "" for one who invoked the function directly
    user: str = ""  # whom the caller's key or token is of
    observes: bool = False  # all of the organization's figures

    def change(self, action: str, target: str, before: Item | None, after: Item | None) -> Change:
        """Return the audit log's line on what the caller does; the records as they may be shown."""
        return Change(self.who, action, target, before, after)

    def version(self) -> int | None:
        """Return the version that the caller wants to edit, from If-Match, or None for whatever there is.

        Raises:
            BadRequest: the header is no version.
        """
        sent = self.headers.get("if-match", "*").strip()
        if sent == "*":
            return None
        found = _VERSION.fullmatch(sent)
        if not found:
            raise BadRequest("Send the 'version' that was read as If-Match, or *.", param="If-Match")
        return int(found[2])

    def token(self) -> str | None:
        """Return the Idempotency-Key of a create.

        Raises:
            BadRequest: it is none.
        """
        sent = self.headers.get("idempotency-key")
        if sent is not None and not _TOKEN.fullmatch(sent):
            raise BadRequest("An Idempotency-Key has 1 to 255 visible ASCII characters.", param="Idempotency-Key")
        return sent


class Repeat(NamedTuple):
    """What the Directory remembers of a create under an Idempotency-Key: the request's digest, and what it made."""

    place: Item
    digest: str
    salt: str  # the same for the same request, and of no use without the pepper
    until: int
    known: Item | None  # what is remembered under the key, however old

    @classmethod
    def of(cls, visit: Visit, kind: str, chance: Callable[[int], bytes] = secrets.token_bytes) -> Repeat | None:
        """Look up the request's Idempotency-Key, or return None if it has none.

        Raises:
            Repeated: it was another request's.
        """
        token = visit.token()
        if token is None:
            return None
        name = hashlib.sha256(f"{visit.who}\n{kind}\n{token}".encode()).hexdigest()
        place = {"pk": visit.org, "sk": f"idem#{name}"}
        now = int(visit.control.now())
        known = visit.control.registry.find(visit.org, place["sk"])
        digest = hmac.digest(
            visit.control.keyring.pepper().encode(), visit.body, "sha256"
        ).hex()  # it may hold a password
        fresh = known if known and known["forget_at"] > now else None
        if fresh and fresh["digest"] != digest:
            raise Repeated("This Idempotency-Key was sent with another body. Use a new one for a new request.")
        salt = fresh["salt"] if fresh else chance(SALT_BYTES).hex()
        return cls(place, digest, salt, now + REMEMBERED_SECONDS, known)

    def made(self, now: float) -> str | None:
        """Return the sort key of what the same request made before."""
        return self.known["made"] if self.known and self.known["forget_at"] > now else None

    def memory(self, made: str) -> tuple[Item | None, Item]:
        """Return the record to write together with what the request makes."""
        memory = {"digest": self.digest, "salt": self.salt, "made": made, "forget_at": self.until}
        return self.known, {**self.place, **memory}


def checked_cursor(after: str | None, form: re.Pattern[str]) -> str | None:
    """Return a cursor that can be one.

    Raises:
        BadRequest: this cannot.
    """
    if after is not None and not form.fullmatch(after):
        raise BadRequest("The cursor 'after' is no id. Use the last_id of the page before.", param="after")
    return after


def answer(value: Mapping[str, Any], status: int = 200) -> Response[str]:
    """Answer with an object; one that has a version carries it as its ETag too."""
    headers: dict[str, str | list[str]] = {"cache-control": "no-store"}
    if "version" in value:
        headers["etag"] = f'"{value["version"]}"'
    return Response(status, JSON, encode(value).decode(), headers=headers)


def listed(items: Iterable[Item], show: Callable[[Item], dict[str, Any]], *, more: bool) -> Response[str]:
    """Answer with one page of a list; its last id is the cursor of the next."""
    data = [show(item) for item in items]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return answer({"object": "list", "data": data, **ends, "has_more": more})
