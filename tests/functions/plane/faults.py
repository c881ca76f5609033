"""What providers do to a request, as tables: `tests/functions/plane/test_faults.py` says what must become of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from tests.functions.plane.rig import ANSWER, chunk, usage_chunk

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functions.plane.upstream import Request, Wire

    Act = Callable[[Wire, Request], None]

SECRET = "sk-provider-secret"
TRIES = 3
JSON, EVENTS = "application/json", "text/event-stream"
ECHO = json.dumps({"error": {"message": f"Incorrect API key provided: {SECRET}"}}).encode()
HI = b"data: " + chunk("Hi") + b"\n\n"
ROLE = b"data: " + chunk("") + b"\n\n"  # how OpenAI begins: somebody speaks, and says nothing yet


class Fault(NamedTuple):
    """What the provider does each time; the status that this becomes, failures of its breaker, requests, money."""

    act: Act
    status: int
    fails: int = TRIES
    asked: int = TRIES
    billed: bool = True  # so it may be: the provider had begun to work
    hangs: bool = False


def refused(
    line: str, status: int, body: bytes = b"{}", *, fails: int = TRIES, asked: int = TRIES, **headers: str
) -> Fault:
    """Answer with a status, which costs nothing."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(lambda wire, _request: wire.answer(body, line, **told), status, fails, asked, billed=False)


def raw(data: bytes, *, close: bool = True) -> Act:
    """Send bytes, then close or hang."""

    def act(wire: Wire, _request: Request) -> None:
        wire.send(data)
        if close:
            wire.close()
        else:
            wire.hang()

    return act


def head(kind: str, framing: str = "content-length: 1000000", more: str = "") -> bytes:
    """Begin an answer, by default one that is longer than what comes."""
    return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{framing}\r\n{more}\r\n".encode()


def wanted(request: Request) -> str:
    """Return the content type that was asked for."""
    return EVENTS if request.json.get("stream") else JSON


def began(data: bytes, *, close: bool = True, **framing: str) -> Act:
    """Begin an answer of the right type, send this much of it, then close or hang."""
    return lambda wire, request: raw(head(wanted(request), **framing) + data, close=close)(wire, request)


def said(whole: bytes, stream: bytes) -> Act:
    """Answer completely, in the right type."""
    return lambda wire, request: wire.answer(stream if request.json.get("stream") else whole, kind=wanted(request))


def of_type(kind: str) -> Act:
    """Answer with what is promised to be of this type."""
    return lambda wire, _request: wire.answer(json.dumps(ANSWER).encode(), kind=kind)


def other_type(wire: Wire, request: Request) -> None:
    """Answer whole to who wants a stream, and the other way round."""
    wire.answer(HI, kind=JSON if request.json.get("stream") else EVENTS)


def endless(wire: Wire, request: Request) -> None:
    """Trickle spaces for ever."""
    wire.send(head(wanted(request)))
    while True:
        wire.send(b" ")
        wire.pause(0.005)


def vast(wire: Wire, request: Request) -> None:
    """Send a line longer than anybody keeps."""
    wire.send(head(wanted(request), "content-length: 1000000000"))
    while True:
        wire.send(b" " * 1_000_000)


BEFORE: dict[str, Fault] = {
    "429": refused("429 Too Many Requests", 429, fails=0),
    "429 in seconds": refused("429 Too Many Requests", 429, fails=0, retry_after="1"),
    "429 in milliseconds": refused("429 Too Many Requests", 429, fails=0, retry_after_ms="1"),
    "429 until a date": refused(
        "429 Too Many Requests",
        429,
        fails=0,
        asked=1,
        date="Wed, 21 Oct 2026 07:28:00 GMT",
        retry_after="Wed, 21 Oct 2026 07:28:30 GMT",
    ),
    "429 for 1e308 s": refused("429 Too Many Requests", 429, fails=0, asked=1, retry_after="1e308"),
    "no credit": refused("429 Too Many Requests", 502, b'{"error":{"code":"insufficient_quota"}}', fails=1, asked=1),
    "500": refused("500 Internal Server Error", 502),
    "502 in HTML": refused("502 Bad Gateway", 502, b"<html>"),
    "503": refused("503 Service Unavailable", 503),
    "504": refused("504 Gateway Timeout", 504),
    "529": refused("529 Overloaded", 503),
    "401 that echoes the key": refused("401 Unauthorized", 502, ECHO, fails=1, asked=1),
    "408": refused("408 Request Timeout", 504),
    "400": refused("400 Bad Request", 400, ECHO, fails=0, asked=1),
    "404": refused("404 Not Found", 404, fails=0, asked=1),
    "422": refused("422 Unprocessable", 422, b'{"detail":[{"msg":"no"}]}', fails=0, asked=1),
    "HTML": Fault(of_type("text/html"), 502),
    "an unknown type": Fault(said(b"\x00\xff", b"\x00\xff"), 502),
    "nothing": Fault(said(b"", b""), 502),
    "an error": Fault(said(ECHO, b"data: " + ECHO + b"\n\n"), 502),
    "an error event": Fault(said(ECHO, b"event: error\ndata: " + ECHO + b"\n\n"), 502),
    "an error behind a role": Fault(said(ECHO, ROLE + b"data: " + ECHO + b"\n\n"), 502),
    "an end behind a role": Fault(said(b"{", ROLE), 502),
    "half JSON": Fault(said(json.dumps(ANSWER).encode()[:50], HI[:40]), 502),
    "bad JSON": Fault(said(b"{nonsense", b"data: {nonsense\n\n"), 502),
    "deep JSON": Fault(said(b"[" * 9999, b"data: " + b"[" * 9999 + b"\n\n"), 502),
    "bad UTF-8": Fault(said(b'{"choices":"\xff"}', b'data: {"choices":"\xff"}\n\n'), 502),
    "no choices": Fault(said(b'{"choices":[],"data":[]}', b'data: {"choices":[]}\n\ndata: [DONE]\n\n'), 502),
    "the other type": Fault(other_type, 502),
    "a private address": Fault(refused("302 Found", 502, location="http://169.254.169.254/").act, 502),
    "a loop": Fault(refused("307 Temporary Redirect", 502, location="/v1/chat/completions").act, 502),
    "compressed": Fault(refused("200 OK", 502, b"x", content_encoding="gzip").act, 502),
    "a reset": Fault(lambda wire, _request: wire.reset(), 502),
    "a close": Fault(lambda wire, _request: wire.close(), 502),
    "a bad status line": Fault(raw(b"HTTP/9.9 what\r\n\r\n"), 502),
    "800 kB of headers": Fault(began(b"", more=f"x-big: {'x' * 4000}\r\n" * 200), 502),
    "a short body": Fault(began(b"{"), 502),
    "two lengths": Fault(began(b"{}", framing="content-length: 2\r\ncontent-length: 3"), 502),
    "a bad chunk": Fault(began(b"nonsense\r\n", framing="transfer-encoding: chunked"), 502),
    "too much": Fault(vast, 502),
    "a hang before the head": Fault(raw(b"", close=False), 504, hangs=True),
    "a hang in the head": Fault(raw(b"HTTP/1.1 200 OK\r\n", close=False), 504, hangs=True),
    "a hang in the body": Fault(began(b": ", close=False), 504, hangs=True),
    "a hang behind a role": Fault(began(ROLE, close=False), 504, hangs=True),
    "a trickle": Fault(endless, 504, hangs=True),
}


def reset(wire: Wire, _request: Request) -> None:
    """Break off once the first word has been taken: a reset throws away what was not."""
    wire.send(head(EVENTS) + HI)
    wire.pause(0.05)
    wire.reset()


WHILE: dict[str, Act] = {
    "a close": began(HI),
    "a reset": reset,
    "a hang": began(HI, close=False),
    "half an event": began(HI + b'data: {"choices"'),
    "half an event, well framed": said(b"", HI + b'data: {"choices"'),
    "no end": said(b"", HI),
    "bad JSON": began(HI + b"data: {nonsense\n\n"),
    "bad UTF-8": began(HI + b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n'),
    "an error event": began(HI + b"event: error\ndata: " + ECHO + b"\n\n"),
    "an error member": began(HI + b"data: " + ECHO + b"\n\n"),
    "an error to finish": began(HI + b"data: " + chunk(finish="error") + b"\n\n"),
    "a bad chunk": began(b"%x\r\n%b\r\nnonsense\r\n" % (len(HI), HI), framing="transfer-encoding: chunked"),
    "a long line": began(HI + b"data: " + b" " * 5_000_000),
}


def stream(*datas: bytes, form: bytes = b"data: %b\n\n") -> bytes:
    """Write events."""
    return b"".join(form % data for data in datas)


GOOD = (chunk("Hi"), chunk(" there ☃"), chunk(finish="stop"), usage_chunk())
DONE = b"[DONE]"
ALL = stream(*GOOD, DONE)


def split(wire: Wire, _request: Request) -> None:
    """Send each byte in a chunk of its own."""
    wire.send(head(EVENTS, "transfer-encoding: chunked"))
    wire.send(b"".join(b"1\r\n%c\r\n" % byte for byte in ALL) + b"0\r\n\r\n")


def counted(usage: object) -> bytes:
    """Write a stream whose usage is this."""
    return stream(*GOOD[:3], json.dumps({**json.loads(usage_chunk()), "usage": usage}).encode(), DONE)


ODD: dict[str, Act] = {
    name: said(b"", data)
    for name, data in {
        "no DONE": stream(*GOOD),
        "two DONEs": ALL + stream(DONE),
        "words after DONE": ALL + stream(chunk("never")),
        "no finish": stream(*GOOD[:2], GOOD[3], DONE),
        "CRLF": ALL.replace(b"\n", b"\r\n"),
        "CR": ALL.replace(b"\n", b"\r"),
        "comments and ids": b": hello\n\nid: 1\nretry: 5\n" + ALL,
        "many lines": stream(*(data.replace(b", ", b",\ndata: ") for data in GOOD), DONE),
        "no space": stream(*GOOD, DONE, form=b"data:%b\n\n"),
        "a byte order mark": b"\xef\xbb\xbf" + ALL,
        "signs of life": stream(b'{"choices":[]}', *GOOD, DONE),
        "null content": stream(chunk().replace(b"{}", b'{"content":null}'), *GOOD, DONE),
        "usage of nonsense": counted({"prompt_tokens": "9", "completion_tokens": -2}),
        "usage beyond belief": counted({"prompt_tokens": 10**15, "completion_tokens": 10**15}),
        "no usage": stream(*GOOD[:3], DONE),
    }.items()
} | {
    "open after DONE": began(ALL, close=False),
    "bytes one by one": split,
}
