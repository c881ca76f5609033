"""What a form with files sends (`multipart/form-data`, RFC 7578): named parts, their bytes as they came."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

_FORM: Final = "multipart/form-data"
_BOUNDARY: Final = re.compile(r';\s*boundary=(?:"([^"]{1,70})"|([^\s";,]{1,70}))', re.IGNORECASE)
_FIELD: Final = re.compile(rb';\s*(name|filename)="([^"\r\n]*)"')
_MOST_PARTS: Final = 20
_BROKEN: Final = "The form does not end as its content-type announces. Let the HTTP library write it."


class Part(NamedTuple):
    """One field of a form; `filename` is "" where it is no file."""

    name: str
    filename: str
    content: bytes


def parse(content_type: str, body: bytes) -> dict[str, Part]:
    """Return the parts of a form by their names; of several of one name the first.

    Raises:
        BadRequest: it is no form, or not a whole one.
    """
    found = _BOUNDARY.search(content_type)
    if not found or not content_type.strip().lower().startswith(_FORM):
        raise BadRequest("Send the file as multipart/form-data, with the fields 'purpose' and 'file'.")
    parts: dict[str, Part] = {}
    for part in _parts(f"--{found[1] or found[2]}".encode("latin-1"), body):
        parts.setdefault(part.name, part)
    return parts


def _parts(delimiter: bytes, body: bytes) -> Iterator[Part]:
    first, *pieces = (b"\r\n" + body).split(b"\r\n" + delimiter)
    if first.strip() or len(pieces) < 2 or not pieces[-1].startswith(b"--"):  # noqa: PLR2004 - one part and the end
        raise BadRequest(_BROKEN)
    if len(pieces) > _MOST_PARTS:
        raise BadRequest(f"The form has more than {_MOST_PARTS - 1} parts.")
    for piece in pieces[:-1]:
        head, gap, content = piece.partition(b"\r\n\r\n")
        fields = {name: value.decode(errors="replace") for name, value in _FIELD.findall(head)}
        if not gap or b"name" not in fields:
            raise BadRequest(_BROKEN)
        yield Part(fields[b"name"], fields.get(b"filename", ""), content)
