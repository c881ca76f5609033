"""An invocation by itself: what its reader gets, and when."""

from __future__ import annotations

import asyncio

import pytest

from cdk.local.invocation import FunctionError, FunctionTimeout, Invocation, payload_of
from tests.local.front.situation import asynchronous


@asynchronous
async def test_what_has_piled_up_is_read_at_once() -> None:
    """A reader that comes late gets one piece, then the end."""
    invocation = Invocation(b"{}")
    for chunk in (b"a", b"", b"bc"):
        invocation.feed(chunk)
    invocation.end()

    assert [chunk async for chunk in invocation] == [b"abc"]


@asynchronous
async def test_only_the_first_end_counts() -> None:
    """A process that is killed for being slow ended by being slow; its caller is told once."""
    invocation, told = Invocation(b"{}"), []
    invocation.on_done = lambda: told.append("done")
    invocation.end(FunctionTimeout("Sandbox.Timedout", "slow"))
    invocation.end(FunctionError("Runtime.ExitError", "killed"))
    invocation.end()

    with pytest.raises(FunctionTimeout):
        await invocation.read()
    assert told == ["done"]


@asynchronous
async def test_start_waits_for_the_first_byte_or_the_failure() -> None:
    """The byte is still there to be read; an answer without any has started too."""
    good, bad, empty = Invocation(b"{}"), Invocation(b"{}"), Invocation(b"{}")
    starts = [asyncio.create_task(invocation.start()) for invocation in (good, bad, empty)]
    await asyncio.sleep(0)
    assert not any(start.done() for start in starts)
    good.feed(b"a")
    bad.end(FunctionError("E", "m"))
    empty.end()

    heard = await asyncio.gather(*starts, return_exceptions=True)
    assert [type(outcome) for outcome in heard] == [type(None), FunctionError, type(None)]
    assert await anext(good) == b"a"


@pytest.mark.parametrize("answer", [b"", b"{", b"\xff", b"[" * 100_000])
def test_an_answer_that_is_no_json_is_an_error(answer: bytes) -> None:
    """Whatever a function says, its caller gets a value or a FunctionError."""
    with pytest.raises(FunctionError, match="MalformedResponse"):
        payload_of(answer)
