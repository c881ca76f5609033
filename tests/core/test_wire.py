"""JSON from providers: tolerant where UTF-8 is the trouble, strict where the value is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core import wire

SURROGATES = st.text(st.characters(categories=["Cs", "L"]), max_size=20)


@given(SURROGATES)
def test_lone_surrogates_survive_as_escapes(text: str) -> None:
    """What came as an escape leaves as one, in keys and values, and is plain ASCII on the way."""
    found = wire.decode(json.dumps({text: [text]}).encode())
    assert json.loads(wire.encode(found)) == {text: [text]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"NaN",
        rb'["\ud83d", NaN]',
        rb'["\ud83d", 1e999]',
        b"1e999",
        b'"\xff"',
        b"[" * 100_000,
        b"[" * 200 + b"]" * 200,
    ],
    ids=repr,
)
def test_what_cannot_be_given_on_is_a_value_error(data: bytes) -> None:
    """One kind of error for all of it, so that one translation suffices."""
    with pytest.raises(ValueError):  # noqa: PT011 - the kind is the fact
        wire.decode(data)


def test_surrogates_do_not_open_the_door_to_deep_nesting() -> None:
    """The slower parser keeps the same bounds."""
    for depth in (200, 100_000):
        with pytest.raises(ValueError, match="nests too deeply"):
            wire.decode(rb'["\ud83d",' + b"[" * depth + b"]" * depth + b"]")
