"""Faults of the whole exchange, and the pace and breaks of a body: what needs the wire and not only the content."""

from __future__ import annotations

import asyncio
import gzip
from functools import cache
from typing import TYPE_CHECKING, Any

from cdk.local.simulated.frames import encode
from cdk.local.simulated.lies import ERROR

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from cdk.local.simulated.knobs import Knobs
    from cdk.local.simulated.log import Call
    from cdk.local.simulated.server import Request, Wire

FOREVER = 3600.0
_BOMB = 64 * 1024 * 1024
_JSON = ("content-type", "application/json")
_HTML = b"<!doctype html><html><body><h1>502 Bad Gateway</h1><p>simulated proxy</p></body></html>"
_EVENTS = ("content-type", "text/event-stream")


def failure(status: int, message: str, *, code: str | None = None, param: str | None = None) -> bytes:
    """Return an error body in OpenAI's form."""
    kind = "invalid_request_error" if status < 500 else "server_error"  # noqa: PLR2004 - HTTP's own border
    return encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


async def _html(_request: Request, wire: Wire, _call: Call) -> None:
    await wire.send(200, [("content-type", "text/html; charset=utf-8")], _HTML)


async def _empty(_request: Request, wire: Wire, call: Call) -> None:
    await wire.send(200, [_EVENTS if call.stream else _JSON], b"")


async def _error_in_200(_request: Request, wire: Wire, _call: Call) -> None:
    await wire.send(200, [_JSON], encode(ERROR))


async def _hang(_request: Request, _wire: Wire, _call: Call) -> None:
    await asyncio.sleep(FOREVER)


async def _reset(_request: Request, wire: Wire, _call: Call) -> None:
    wire.reset()


async def _redirect(_request: Request, wire: Wire, _call: Call) -> None:
    await wire.send(302, [("location", "http://169.254.169.254/latest/meta-data/")], b"")


async def _redirect_loop(request: Request, wire: Wire, _call: Call) -> None:
    await wire.send(307, [("location", f"http://{request.headers.get('host', '')}{request.path}")], b"")


async def _echo_key(request: Request, wire: Wire, _call: Call) -> None:
    key = request.headers.get("authorization", "").removeprefix("Bearer ")
    await wire.send(401, [_JSON], failure(401, f"Incorrect API key provided: {key}.", code="invalid_api_key"))


async def _bad_status_line(_request: Request, wire: Wire, _call: Call) -> None:
    await wire.raw(b"HTTP/1.1 banana\r\n\r\n")
    wire.close()


async def _gzip_bomb(_request: Request, wire: Wire, _call: Call) -> None:
    await wire.send(200, [_JSON, ("content-encoding", "gzip")], _bomb())


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(_BOMB))


#: Modes that replace the answer.
INSTEAD: dict[str, Callable[[Request, Wire, Call], Awaitable[None]]] = {
    "html_200": _html,
    "empty_200": _empty,
    "error_in_200": _error_in_200,
    "hang_headers": _hang,
    "reset": _reset,
    "redirect": _redirect,
    "redirect_loop": _redirect_loop,
    "echo_key": _echo_key,
    "bad_status_line": _bad_status_line,
    "gzip_bomb": _gzip_bomb,
}
#: Modes that break the answer off half-way.
BREAKS = frozenset({"bad_chunk", "cut", "endless", "hang_body", "reset_mid"})


def extra_headers(modes: Iterable[str]) -> list[tuple[str, str]]:
    """Return headers that a gateway must survive: with `big_headers`, 200 of 4 kB."""
    return [(f"x-big-{at}", "x" * 4000) for at in range(200)] if "big_headers" in modes else []


async def send_whole(wire: Wire, headers: list[tuple[str, str]], body: bytes, modes: Iterable[str]) -> None:
    """Send a whole JSON answer, or break off in the way that `modes` say."""
    half = body[: len(body) // 2]
    if "half_json" in modes:
        await wire.send(200, headers, half)
    elif "bad_length" in modes:
        await wire.start(200, headers, length=len(body))
        await wire.raw(half)
        wire.close()
    elif not BREAKS.isdisjoint(modes):
        await wire.start(200, headers)
        await wire.write(half)
        await _break(wire, b" " * 65536, modes)
    else:
        await wire.send(200, headers, body)


async def _break(wire: Wire, filler: bytes, modes: Iterable[str]) -> None:
    if "hang_body" in modes:
        await asyncio.sleep(FOREVER)
    while "endless" in modes:
        await wire.write(filler)
        await asyncio.sleep(0)
    if "bad_chunk" in modes:
        await wire.raw(b"zz\r\nnot a chunk\r\n")
    await asyncio.sleep(0.05)  # what was written is read before the reset discards it
    wire.reset() if "reset_mid" in modes else wire.close()


class Gates:
    """Named gates that hold streams until a test opens them, so that order is proven without watching the clock."""

    def __init__(self) -> None:
        self._gates: dict[str, asyncio.Event] = {}

    def gate(self, name: str) -> asyncio.Event:
        """Return the gate `name`, closed if it is new."""
        return self._gates.setdefault(name, asyncio.Event())


async def send_frames(wire: Wire, frames: list[bytes], knobs: Knobs, gates: Gates, call: Call) -> None:
    """Send the frames of a started stream at the pace, and to the end, that the knobs say."""
    gap = knobs.chunk_gap_ms / 1000
    breaking = not BREAKS.isdisjoint(knobs.modes)
    last = len(frames) // 2 if breaking else knobs.truncate_after
    for at, data in enumerate(frames[:last]):
        if knobs.gate and at == knobs.gate_after:
            await gates.gate(knobs.gate).wait()
        if gap and at:
            await asyncio.sleep(gap)
        await wire.write(data)
        call.frames += 1
    if breaking:
        call.outcome = "cut"
        await _break(wire, frames[1], knobs.modes)
        return
    if "open_after_done" in knobs.modes:
        await asyncio.sleep(FOREVER)
    await wire.end()
    call.outcome = "cut" if knobs.truncate_after is not None else "answered"


async def fail(wire: Wire, status: int, headers: list[tuple[str, str]], knobs: Knobs) -> None:
    """Send the failure that the knobs ask for."""
    extra = [("retry-after", knobs.retry_after)] if knobs.retry_after else []
    body: Any = failure(status, f"Simulated failure {status}.", code="simulated_failure")
    await wire.send(status, [*headers, *extra], body)
