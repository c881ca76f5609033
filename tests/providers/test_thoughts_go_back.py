"""What a model thought between its words goes back to it as it came: block by block, in its order, signed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from shared.dialects.anthropic import MESSAGES
from tests.providers.exchange import accumulated, completed, heard
from tests.providers.wires import anthropic, bedrock
from tests.providers.wires.wire import HELLO, Story

if TYPE_CHECKING:
    from tests.providers.wires.wire import Wire

Block = dict[str, Any]
TOLD = Story()
ORDERS = {
    "first": "T1 T2 words call",
    "between": "T1 words T2 call",
    "behind": "words T1 call",
    "hidden": "T1 hidden words T2",
    "alone": "T1 call",
}


def claude(order: str) -> list[Block]:
    """Write blocks of Anthropic's in this order."""
    known: dict[str, Block] = {
        "words": {"type": "text", "text": "Let me see."},
        "hidden": {"type": "redacted_thinking", "data": "b3BhcXVl"},
        "call": {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
        **{one: {"type": "thinking", "thinking": f"Hm {one}", "signature": f"sig-{one}"} for one in ("T1", "T2")},
    }
    return [known[one] for one in order.split()]


def nova(order: str) -> list[Block]:
    """Write blocks of Bedrock's."""
    thoughts = {one: {"text": f"Hm {one}", "signature": f"sig-{one}"} for one in ("T1", "T2")}
    known: dict[str, Block] = {
        "words": {"text": "Let me see."},
        "hidden": {"reasoningContent": {"redactedContent": "b3BhcXVl"}},
        "call": {"toolUse": {"toolUseId": "c1", "name": "f", "input": {"a": 1}}},
        **{one: {"reasoningContent": {"reasoningText": thought}} for one, thought in thoughts.items()},
    }
    return [known[one] for one in order.split()]


def whole(wire: Wire, blocks: list[Block]) -> bytes:
    """Write an answer of these blocks."""
    found = json.loads(wire.whole(TOLD))
    if wire is anthropic.WIRE:
        return json.dumps({**found, "content": blocks}).encode()
    found["output"]["message"]["content"] = blocks
    return json.dumps(found).encode()


def streamed(wire: Wire, blocks: list[Block]) -> bytes:
    """Write the same as a stream."""
    frames = wire.stream(TOLD)
    if wire is anthropic.WIRE:
        inner = [anthropic.event(one) for at, block in enumerate(blocks) for one in anthropic.filled(at, block)]
        return b"".join([*frames[:2], *inner, *frames[2:]])
    inner = [one for at, block in enumerate(blocks) for one in bedrock.filled(at, block)]
    return b"".join([frames[0], *inner, *frames[1:]])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize(
    ("wire", "made"), [(anthropic.WIRE, claude), (bedrock.WIRE, nova)], ids=["anthropic", "bedrock"]
)
def test_an_answer_goes_back_as_it_came(wire: Wire, made: Any, order: str, stream: bool) -> None:  # noqa: FBT001
    """Added up by the official SDK, where it was streamed: a change of a thought, or of its place, is refused there."""
    blocks = made(order)
    if stream:
        message = accumulated(heard(wire.streaming(), streamed(wire, blocks))).choices[0].message.to_dict()
    else:
        message = completed(wire.adapter(), whole(wire, blocks))["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": "c1", "content": "5"}
    history = [*HELLO, message, *([result] if "call" in order else []), *HELLO]
    assert wire.sent(messages=history)["messages"][1]["content"] == blocks


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_a_client_of_anthropics_dialect_sees_that_order(order: str) -> None:
    """Whole, from a provider of another dialect; a stream has no other order anyway."""
    made: Any = bedrock.WIRE.adapter()
    found = made.reply(whole(bedrock.WIRE, nova(order)))
    told = json.loads(MESSAGES.writer(made._chat).whole(found, made.usage))["content"]
    names = {"thinking": "T", "redacted_thinking": "hidden", "text": "words", "tool_use": "call"}
    assert [names[block["type"]] for block in told] == order.replace("T1", "T").replace("T2", "T").split()
