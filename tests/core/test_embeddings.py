"""An embeddings request, in its four shapes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.core import embeddings
from shared.core.errors import BadRequest


def parsed(given: Any = "hello", **fields: Any) -> embeddings.Embeddings:
    """Parse a request for the vectors of `given`."""
    return embeddings.parse(json.dumps({"model": "m", "input": given, **fields}).encode())


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("hello", ["hello"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2, 3], [[1, 2, 3]]),
        ([[1], [2, 3]], [[1], [2, 3]]),
        (["x"] * 2048, ["x"] * 2048),
    ],
    ids=["text", "texts", "tokens", "arrays of tokens", "as many as may be"],
)
def test_four_shapes_become_two(given: Any, inputs: list[Any]) -> None:
    """One item per vector wanted; what the provider gets stays as it was."""
    found = parsed(given)
    assert found.inputs == inputs
    assert found.raw["input"] == given


def test_what_is_not_said() -> None:
    """Floats, as many as the model makes."""
    assert (parsed().encoding_format, parsed().dimensions) == ("float", None)
    found = parsed(encoding_format="base64", dimensions=256, user="u", vendor=1)
    assert (found.encoding_format, found.dimensions, found.raw["vendor"]) == ("base64", 256, 1)


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("input", {"given": []}),
        ("input", {"given": None}),
        ("input", {"given": 5}),
        ("input", {"given": {"text": "x"}}),
        ("input", {"given": ["x"] * 2049}),
        ("input[0]", {"given": ""}),
        ("input[1]", {"given": ["a", ""]}),
        ("input[1]", {"given": ["a", 1]}),
        ("input[1]", {"given": ["a", [1]]}),
        ("input[0]", {"given": [1, "a"]}),
        ("input[0]", {"given": [[]]}),
        ("input[1]", {"given": [[1], [-1]]}),
        ("input[0]", {"given": [[1.5]]}),
        ("input[0]", {"given": [[True]]}),
        ("input[0]", {"given": [None]}),
        ("encoding_format", {"encoding_format": "int8"}),
        ("dimensions", {"dimensions": 0}),
        ("dimensions", {"dimensions": "many"}),
        ("model", {"model": None}),
        ("api_key", {"api_key": "x"}),
    ],
    ids=str,
)
def test_a_wrong_field_is_named(param: str, fields: dict[str, Any]) -> None:
    """Down to the item of the input."""
    with pytest.raises(BadRequest) as refusal:
        parsed(**fields)
    assert refusal.value.param == param
