"""What a chat may hold beside OpenAI's own members is looked at, too: nothing that a client sends is our failure."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import BadRequest
from tests.providers.wires.stories import WIRES
from tests.providers.wires.wire import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.providers.wires.wire import Wire

EACH = pytest.mark.parametrize("wire", WIRES, ids=[wire.dialect for wire in WIRES])
TOOL = {"type": "function", "function": {"name": "f"}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
PLACES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "thinking": lambda odd: {"thinking": odd},
    "tools[0].cache_control": lambda odd: {"tools": [{**TOOL, "cache_control": odd}]},
    "messages[0].cache_control": lambda odd: said({"role": "user", "content": "x", "cache_control": odd}),
    "messages[0].content[0].cache_control": lambda odd: said(
        {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": odd}]}
    ),
    "messages[0].reasoning_details": lambda odd: said(
        {"role": "assistant", "content": "x", "reasoning_details": odd}, {"role": "user", "content": "y"}
    ),
    "messages[0].tool_calls[0].cache_control": lambda odd: said(
        {"role": "assistant", "tool_calls": [{**CALL, "cache_control": odd}]},
        {"role": "tool", "tool_call_id": "c", "content": "y"},
    ),
}


def said(*messages: dict[str, Any]) -> dict[str, Any]:
    """Write the fields of a conversation."""
    return {"messages": list(messages)}


@EACH
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("odd", ["x", 5, [5]])
def test_what_has_the_wrong_shape_is_named(wire: Wire, place: str, odd: object) -> None:
    """By its path."""
    with pytest.raises(BadRequest) as refused:
        wire.adapter(**PLACES[place](odd)).request(SECRET)
    assert str(refused.value.param).startswith(place)


@EACH
@pytest.mark.parametrize("place", PLACES)
@given(
    odd=st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from(["type", "text", "ttl", "data", "budget_tokens"]), inner, max_size=3)
        ),
        max_leaves=6,
    )
)
def test_any_json_is_sent_or_refused(wire: Wire, place: str, odd: object) -> None:
    """And is nothing that our own code chokes on."""
    with contextlib.suppress(BadRequest):
        wire.adapter(**PLACES[place](odd)).request(SECRET)
