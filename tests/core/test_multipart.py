"""Forms with files: every byte as it came, and a sentence for what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import BadRequest
from shared.core.multipart import parse

BOUNDARY = "b0undary"
KIND = f"multipart/form-data; boundary={BOUNDARY}"


def form(*parts: tuple[str, bytes]) -> bytes:
    """A form as clients write it: pairs of what stands behind `form-data`, and the content."""
    pieces = [
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {named}\r\nContent-Type: text/plain\r\n\r\n".encode()
        + content
        for named, content in parts
    ]
    return b"\r\n".join([*pieces, f"--{BOUNDARY}--\r\n".encode()])


@given(st.binary(max_size=200))
def test_a_file_comes_out_as_it_went_in(content: bytes) -> None:
    """Whatever bytes it has, line ends and almost-boundaries included."""
    sent = parse(
        KIND, form(('name="purpose"', b"batch"), ('name="file"; filename="a b.jsonl"', b"--b0und\r\n" + content))
    )
    assert sent["purpose"].content == b"batch"
    assert sent["purpose"].filename == ""
    assert sent["file"].filename == "a b.jsonl"
    assert sent["file"].content == b"--b0und\r\n" + content


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", form(('name="a"', b"1"))),
        ("multipart/form-data", form(('name="a"', b"1"))),
        (KIND, b""),
        (KIND, form()),
        (KIND, form(('name="a"', b"1")).removesuffix(b"--\r\n")),
        (KIND, form(('nom="a"', b"1"))),
        (KIND, b"before" + form(('name="a"', b"1"))),
        (KIND, form(*[('name="a"', b"1")] * 30)),
    ],
)
def test_what_is_no_whole_form_is_refused(kind: str, body: bytes) -> None:
    """Cut off, unnamed, or of another kind: a 400 that says what to do."""
    with pytest.raises(BadRequest):
        parse(kind, body)


def test_a_quoted_boundary_is_the_same() -> None:
    """Both ways of writing it are in use."""
    assert (
        parse(f'Multipart/Form-Data; charset=utf-8; boundary="{BOUNDARY}"', form(('name="a"', b"1")))["a"].content
        == b"1"
    )
