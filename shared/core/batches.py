"""A batch: what is asked for, the lines of its file, what each of them comes to, and what is wrong with a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, TypeVar

from msgspec import Meta, Struct

from shared.core import body
from shared.core.errors import BadRequest, GatewayError
from shared.core.fields import typed
from shared.core.wire import encode

if TYPE_CHECKING:
    from collections.abc import Iterator

Endpoint = Literal[
    "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/moderations", "/v1/responses"
]  # fmt: skip
MOST_LINES: Final = 50_000  # OpenAI's own
MOST_TOLD: Final = 50  # mistakes of a file: who has made more has made the same one
WINDOW_SECONDS: Final = 86_400
INBOX, INBOX_SUFFIX = "inbox/", ".jsonl"  # of the bucket's objects that become batches
OUTBOX: Final = "outbox/"
_FINAL: Final = frozenset({"completed", "failed", "expired", "cancelled"})
_WAITED_OUT: Final = frozenset({429, 503})
_USUAL_WAIT: Final = 10.0  # seconds, where a provider that limits us does not say how long

_Fields = TypeVar("_Fields", bound=Struct)
_Text = Annotated[str, Meta(min_length=1, max_length=512)]


class BatchFields(Struct):
    """The members of `POST /v1/batches`."""

    input_file_id: Annotated[str, Meta(min_length=1)]
    endpoint: Endpoint
    completion_window: Literal["24h"]
    metadata: (
        Annotated[
            dict[Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(max_length=512)]],
            Meta(max_length=16),
        ]
        | None
    ) = None


class LineFields(Struct):
    """The members of a line of a batch's file."""

    custom_id: _Text
    method: Literal["POST"]
    url: Endpoint
    body: dict[str, Any]


class Fault(NamedTuple):
    """What is wrong with a file; `line` counts from 1, None is the whole."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class Row(NamedTuple):
    """A line of a file that is in order; `number` counts from 0, blank lines too."""

    number: int
    custom_id: str
    url: str
    body: dict[str, Any]


class Heard(NamedTuple):
    """What a line was answered; `headers` have lower-case names."""

    status: int
    headers: dict[str, str]
    body: Any
    request_id: str


def asked(data: bytes) -> BatchFields:
    """Read the body of `POST /v1/batches`.

    Raises:
        BadRequest: a field is wrong; `param` names it.
    """
    return _strictly(body.parse(data), BatchFields)


def is_over(status: str) -> bool:
    """Tell whether a batch of this status never changes again."""
    return status in _FINAL


def rows(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, each with its number from 0."""
    for number, line in enumerate(content.split(b"\n")):
        if line.strip():
            yield number, line


def row(number: int, line: bytes) -> Row:
    """Read a line.

    Raises:
        BadRequest: it is not one of a batch; `param` names the field, if it is one.
    """
    try:
        found = body.parse(line)
    except GatewayError as error:
        raise BadRequest(f"The line is no JSON object that can be read: {error.message}", param=error.param) from error
    fields = _strictly(found, LineFields)
    if fields.body.get("stream"):
        raise BadRequest("A line cannot be streamed. Leave 'stream' out.", param="body.stream")
    return Row(number, fields.custom_id, fields.url, fields.body)


def read(content: bytes) -> Iterator[Row]:
    """Read a file that is in order; raises as `row` does."""
    return (row(number, line) for number, line in rows(content))


def faults(content: bytes, endpoint: str) -> tuple[int, list[Fault]]:
    """Judge a file; returns how many lines it has, and what is wrong with the first that are not in order."""
    found: list[Fault] = []
    known: set[str] = set()
    total = 0
    for number, line in rows(content):
        total += 1
        if total > MOST_LINES:
            return total, [Fault("too_many_lines", f"A batch has at most {MOST_LINES} lines. Make several.")]
        if len(found) < MOST_TOLD and (fault := _fault(number, line, endpoint, known)):
            found.append(fault)
    if not total:
        found.append(Fault("empty_file", "The file has no lines."))
    return total, found


def _strictly(found: dict[str, Any], shape: type[_Fields]) -> _Fields:
    """Read `found` as `shape`, which has all the members that there may be."""
    for name in found.keys() - set(shape.__struct_fields__):
        known = ", ".join(shape.__struct_fields__)
        raise BadRequest(f"The field '{name[:100]}' is not known. There are {known}.", param=name[:100])
    return typed(found, shape)


def _fault(number: int, line: bytes, endpoint: str, known: set[str]) -> Fault | None:
    try:
        one = row(number, line)
    except BadRequest as error:
        code = "invalid_request" if error.param else "invalid_json_line"
        return Fault(code, error.message, number + 1, error.param)
    if one.url != endpoint:
        return Fault("mismatched_url", f"The batch is for {endpoint}. Use that as the 'url'.", number + 1, "url")
    if one.custom_id in known:
        return Fault("duplicate_custom_id", "An earlier line has this 'custom_id'.", number + 1, "custom_id")
    known.add(one.custom_id)
    return None


def wait(heard: Heard) -> float | None:
    """Return for how many seconds to wait before a line is asked again, or None: that is its answer.

    Limits and stores pass; a spent budget, a limit that the line alone is above, and what is wrong with it do not.
    """
    if heard.status not in _WAITED_OUT or heard.headers.get("x-should-retry") == "false":
        return None
    if "retry-after" in heard.headers:
        return float(heard.headers["retry-after"])
    error = heard.body.get("error") if isinstance(heard.body, dict) else None
    return None if isinstance(error, dict) and "scope" in error else _USUAL_WAIT


def is_settled(heard: Heard) -> bool:
    """Tell whether what has to be waited out may have been charged: a provider was asked."""
    error = heard.body.get("error") if isinstance(heard.body, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return not (isinstance(error, dict) and "scope" in error) and code not in {"store_unavailable", "store_rebuilding"}


def answered(one: Row, name: str, heard: Heard) -> bytes:
    """Write the line of an answer, as OpenAI has it; it stands among the errors where its status is one."""
    response = {"status_code": heard.status, "request_id": heard.request_id, "body": heard.body}
    return encode({"id": name, "custom_id": one.custom_id, "response": response, "error": None}) + b"\n"


def unanswered(custom_id: str, name: str, status: str) -> bytes:
    """Write the line of what was not asked any more, because the batch was `expired` or `cancelled`."""
    told = {
        "expired": "This request could not be executed before the completion window expired.",
        "cancelled": "This request was not executed, because the batch was cancelled.",
    }
    error = {"code": f"batch_{status}", "message": told[status]}
    return encode({"id": name, "custom_id": custom_id, "response": None, "error": error}) + b"\n"
