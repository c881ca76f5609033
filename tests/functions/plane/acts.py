"""What a provider does in the tests of the pipeline, and what is booked of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.functions.plane.rig import chunk, usage_chunk

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functions.plane.rig import Rig
    from tests.functions.plane.upstream import Request, Wire


FULL = [chunk("Hi"), chunk(" there"), chunk(finish="stop"), usage_chunk(), b"[DONE]"]


def events(*datas: bytes, end: Callable[[Wire], None] = lambda wire: wire.end_events()) -> Callable[..., None]:
    """Stream these events, then do `end`."""

    def act(wire: Wire, _request: Request) -> None:
        wire.start_events()
        for data in datas:
            wire.event(data)
        end(wire)

    return act


def status(line: str, body: bytes = b"{}", /, kind: str = "application/json", **headers: str) -> Callable[..., None]:
    """Answer with this status."""
    return lambda wire, _request: wire.answer(body, line, kind, **headers)


def raw(data: bytes, then: Callable[[Wire], None] = lambda wire: wire.close()) -> Callable[..., None]:
    """Answer with these bytes, then do `then`."""

    def act(wire: Wire, _request: Request) -> None:
        wire.send(data)
        then(wire)

    return act


CUT = raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{")  # behind the head
BREAKS_OFF = events(chunk("Hi"), end=lambda wire: wire.close())  # behind a word


def booked(rig: Rig) -> tuple[str, int, int, bool]:
    """Return outcome, tokens and estimatedness of the one settlement; the lease has ended and the line agrees."""
    [use] = rig.usage()
    assert rig.leases() == 0
    assert rig.lines[-1]["settled"] is True
    assert rig.lines[-1]["outcome"] == use["outcome"]
    return use["outcome"], int(use["prompt"]), int(use["completion"]), use["estimated"] == "1"
