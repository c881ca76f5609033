"""What comes through the door can be handled, and given back, whatever it is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core import body, wire
from shared.core.errors import BadRequest, TooLarge

HOSTILE = {
    "empty": b"",
    "blank": b" \n",
    "not json": b"{model: gpt}",
    "array": b"[]",
    "text": b'"hello"',
    "null": b"null",
    "trailing": b'{"a":1} {"b":2}',
    "half": b'{"a":',
    "nan": b'{"a":NaN}',
    "infinity": b'{"a":-Infinity}',
    "beyond a double": b'{"a":1e999}',
    "5000 digits": b'{"a":' + b"9" * 5000 + b"}",
    "100k brackets": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "100k open brackets": b"[" * 100_000,
    "100k braces": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "65 levels": b'{"a":' * 65 + b"1" + b"}" * 65,
    "raw NUL": b'{"a":"\x00"}',
    "bom": b'\xef\xbb\xbf{"a":1}',
    "utf-16": '{"a":1}'.encode("utf-16"),
    "utf-16 without bom": '{"a":1}'.encode("utf-16-le"),
    "latin-1": '{"a":"é"}'.encode("latin-1"),
    "raw surrogate": b'{"a":"\xed\xa0\xbd"}',
    "lone high surrogate": rb'{"a":"x\ud83d"}',
    "lone low surrogate": rb'{"a":"\ude00 x"}',
    "lone surrogate in a key": rb'{"\ud83d":1}',
    "surrogates the wrong way round": rb'{"a":"\ude00\ud83d"}',
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_bodies_are_refused_plainly(data: bytes) -> None:
    """Whatever is not one well-formed JSON object is a 400 with a reason."""
    with pytest.raises(BadRequest) as refusal:
        body.parse(data)
    assert refusal.value.status == 400
    assert len(refusal.value.message) < 300


def test_a_body_of_seven_megabytes_is_too_large() -> None:
    """The size is judged before anything is decoded."""
    with pytest.raises(TooLarge) as refusal:
        body.parse(b"[" * 7_000_000)
    assert refusal.value.status == 413


def test_a_byte_order_mark_is_named() -> None:
    """Who sends UTF-16 or a mark learns what to send instead."""
    with pytest.raises(BadRequest, match="byte order mark"):
        body.parse('{"a":1}'.encode("utf-16"))


def test_sixty_four_levels_pass() -> None:
    """The limit is on depth alone: wide objects and the last allowed level pass."""
    deep = b'{"a":' * 64 + b"1" + b"}" * 64
    assert wire.encode(body.parse(deep)) == deep
    assert len(body.parse(b'{"a":[' + b"[1]," * 999 + b"[1]]}")["a"]) == 1000


def test_the_last_duplicate_counts_for_everyone() -> None:
    """The provider gets the same value that policy and billing saw, and only that."""
    parsed = body.parse(b'{"model":"cheap","model":"dear"}')
    assert wire.encode(parsed) == b'{"model":"dear"}'


@pytest.mark.parametrize(
    "data", [rb'{"a":"\u0000"}', rb'{"a":"\ud83d\ude00"}', b'{"a":-0}', b'{"a":' + b"9" * 300 + b"}"]
)
def test_odd_but_valid_bodies_pass_and_come_out_again(data: bytes) -> None:
    """An escaped NUL, a whole surrogate pair, minus zero and a number of 300 digits are JSON."""
    parsed = body.parse(data)
    assert body.parse(wire.encode(parsed)) == parsed


@pytest.mark.parametrize("field", ["api_base", "base_url", "api_key", "api_version", "extra_headers"])
def test_fields_that_steer_a_provider_are_refused(field: str) -> None:
    """Nobody but the gateway's owner chooses where a request goes and with which key."""
    with pytest.raises(BadRequest) as refusal:
        body.parse(wire.encode({field: "https://evil.example", "model": "m"}))
    assert refusal.value.param == field


@given(st.binary(max_size=200) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_an_object_or_a_400(data: bytes) -> None:
    """Nothing but BadRequest ever leaves, and what passes can be encoded."""
    try:
        parsed = body.parse(data)
    except BadRequest:
        return
    assert isinstance(parsed, dict)
    wire.encode(parsed)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_every_json_object_comes_out_as_it_went_in(value: dict[str, Any]) -> None:
    """Unless it uses a reserved name, an object survives the door and the way to the provider."""
    data = msgspec.json.encode(value)
    if not body.RESERVED & value.keys():
        assert msgspec.json.decode(wire.encode(body.parse(data))) == msgspec.json.decode(data)
