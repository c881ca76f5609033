"""The front on the wire: limits, slow and ambiguous requests, and methods that nobody serves."""

from __future__ import annotations

import socket

import pytest

from cdk.local import front, server
from cdk.local.front import MAX_BODY
from cdk.local.request import MAX_HEADERS
from cdk.local.server import PortTaken
from tests.local.front.situation import Functions, Local, answers, asynchronous, serving

OK = answers({"statusCode": 200, "body": "fine"})
GOOD = b"GET /whole HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /whole HTTP/1.1\r\nHost: h\r\n"


async def exchange(local: Local, data: bytes) -> bytes:
    """Everything that comes back for `data` until the front closes."""
    async with local.client() as client:
        await client.send(data)
        return await client.rest()


AMBIGUOUS = {
    "length and coding": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two equal lengths": POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "two lengths": POST + b"Content-Length: 1\r\ncontent-length: 2\r\n\r\nxx",
    "list of lengths": POST + b"Content-Length: 1, 2\r\n\r\nxx",
    "negative length": POST + b"Content-Length: -1\r\n\r\nx",
    "signed length": POST + b"Content-Length: +1\r\n\r\nx",
    "hexadecimal length": POST + b"Content-Length: 0x1\r\n\r\nx",
    "space before the colon": POST + b"Content-Length : 1\r\n\r\nx",
    "unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding behind a control": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "huge chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffffff1\r\nx",
    "chunk that is too long": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
    "negative chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx",
    "bare line feeds": b"GET /whole HTTP/1.1\nHost: h\n\n",
    "one bare line feed": b"GET /whole HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
    "bare carriage return": b"GET /whole HTTP/1.1\r\nHost: h\rX: y\r\n\r\n",
    "folded header": b"GET /whole HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
    "NUL": b"GET /whole HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n",
    "no host": b"GET /whole HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /whole HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "space in the path": b"GET /whole x HTTP/1.1\r\nHost: h\r\n\r\n",
    "bytes in the path": b"GET /wh\xc3\xb6le HTTP/1.1\r\nHost: h\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "rubbish": b"hello\r\n\r\n",
}


@pytest.mark.parametrize("data", AMBIGUOUS.values(), ids=AMBIGUOUS)
@asynchronous
async def test_what_could_be_read_in_two_ways_is_refused(data: bytes) -> None:
    """One 400 in the API's own words, the connection closed, and nothing behind it is taken for a request."""
    invoker = Functions(Answer=OK)
    async with serving(invoker) as local:
        heard = await exchange(local, data + GOOD)
        access = next(line for line in await local.logged() if line.outcome == "DEFAULT_4XX")

    assert heard.count(b"HTTP/1.1 ") == 1
    assert heard.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nx-request-id: " + access.request_id.encode() in heard
    assert heard.endswith(b'{"code":"4xx","message":"Bad Request"}')
    assert invoker.events == []


@asynchronous
async def test_a_second_request_is_held_to_the_same() -> None:
    """What follows a good request on its connection is looked at as hard."""
    async with serving(Functions(Answer=OK)) as local:
        heard = await exchange(local, GOOD + AMBIGUOUS["one bare line feed"])

    assert [part[:3] for part in heard.split(b"HTTP/1.1 ")[1:]] == [b"200", b"400"]


@asynchronous
async def test_pipelined_requests_are_answered_in_order() -> None:
    """Good, unknown, good: three answers on one connection."""
    async with serving(Functions(Answer=OK)) as local, local.client() as client:
        await client.send(GOOD + GOOD.replace(b"/whole", b"/nothing") + GOOD)
        assert [(await client.reply()).status for _ in range(3)] == [200, 403, 200]


@asynchronous
async def test_headers_over_the_quota_are_refused() -> None:
    """10,240 bytes pass with their names, one more is a 431, and a head without end is one too."""
    async with serving(Functions(Answer=OK)) as local:
        fits = MAX_HEADERS - len("/whole" + "Host" + "localhost" + "Content-Length" + "0" + "X")
        assert (await local.call("GET", "/whole", X="a" * fits)).status == 200
        assert (await local.call("GET", "/whole", X="a" * (fits + 1))).status == 431
        assert (await exchange(local, GOOD[:-2] + b"X: " + b"a" * 40_000)).startswith(b"HTTP/1.1 431 ")


@asynchronous
async def test_a_body_that_is_announced_too_large_is_refused_unread() -> None:
    """10 GB is a 413 at once, also for a client that waits to be told to continue."""
    invoker = Functions(Answer=OK)
    async with serving(invoker) as local:
        for more in (b"", b"Expect: 100-continue\r\n"):
            async with local.client() as client:
                await client.send(POST + more + b"Content-Length: 10737418240\r\n\r\n")
                assert (await client.reply()).status == 413

    assert invoker.events == []


@asynchronous
async def test_a_client_that_sends_its_large_body_anyway_reads_the_refusal() -> None:
    """The unread body is taken in for a while, so that no reset overtakes the answer."""
    async with serving(Functions(Answer=OK)) as local:
        reply = await local.call("POST", "/whole", b"x" * (MAX_BODY + 1))

    assert reply.status == 413
    assert reply.headers["connection"] == "close"


@asynchronous
async def test_a_chunked_body_is_refused_when_it_has_become_too_large() -> None:
    """Nothing announces it, so it is counted."""
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    invoker = Functions(Answer=OK)
    async with serving(invoker) as local, local.client() as client:
        await client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 11)
        assert (await client.reply()).status == 413

    assert invoker.events == []


@asynchronous
async def test_a_body_of_the_largest_size_passes() -> None:
    """The front's limit is API Gateway's; Lambda's smaller one is the pool's."""
    invoker = Functions(Answer=OK)
    async with serving(invoker) as local:
        assert (await local.call("POST", "/whole", b"x" * MAX_BODY)).status == 200

    assert len(invoker.events[0]["body"]) == MAX_BODY


@asynchronous
async def test_a_client_is_told_to_continue() -> None:
    """An Expect header is answered before the body is sent."""
    async with serving(Functions(Answer=OK)) as local, local.client() as client:
        await client.send(POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert (await client.head()).status == 100
        await client.send(b"ab")
        assert (await client.reply()).status == 200


def test_a_slow_body_ends_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a body is a 408 and no invocation."""
    monkeypatch.setattr(front, "BODY_SECONDS", 0.1)
    monkeypatch.setattr(front, "LINGER_SECONDS", 0.1)
    invoker = Functions(Answer=OK)

    @asynchronous
    async def slow() -> None:
        async with serving(invoker) as local:
            assert (await exchange(local, POST + b"Content-Length: 9\r\n\r\nhalf")).startswith(b"HTTP/1.1 408 ")

    slow()
    assert invoker.events == []


@pytest.mark.parametrize("start", [b"", b"GET /wh", GOOD[:-2]])
def test_a_slow_head_ends_in_bounded_time(monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    """A connection that does not get as far as a request, or as its next one, is closed without a word."""
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.1)
    monkeypatch.setattr(server, "KEEP_ALIVE_SECONDS", 0.1)

    @asynchronous
    async def slow() -> None:
        async with serving(Functions()) as local:
            assert await exchange(local, start) == b""
            assert (await exchange(local, GOOD.replace(b"/whole", b"/x") + start)).count(b"HTTP/1.1 ") == 1

    slow()


@asynchronous
async def test_a_client_that_leaves_before_its_body_is_complete_starts_nothing() -> None:
    """The log says so; no function is invoked."""
    invoker = Functions(Answer=OK)
    async with serving(invoker) as local:
        async with local.client() as client:
            await client.send(POST + b"Content-Length: 9\r\n\r\nhalf")
        (access,) = await local.logged()

    assert access.outcome == "client gone"
    assert invoker.events == []


@pytest.mark.parametrize("verb", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
@asynchronous
async def test_a_method_that_is_not_there_is_like_a_path_that_is_not(verb: str) -> None:
    """API Gateway knows no 405, and TRACE echoes nothing."""
    async with serving(Functions(Answer=OK)) as local:
        reply = await local.call(verb, "/whole", x_secret="s3cret")

    assert (reply.status, reply.json["message"]) == (403, "Missing Authentication Token")
    assert "s3cret" not in str(reply)


@pytest.mark.parametrize("target", [b"HEAD /whole", b"CONNECT h:443", b"OPTIONS *", b"GET http://h/whole"])
@asynchronous
async def test_other_targets_are_refused_and_the_front_lives_on(target: bytes) -> None:
    """HEAD has no body; tunnels, the asterisk and absolute targets lead nowhere."""
    async with serving(Functions(Answer=OK)) as local:
        heard = await exchange(local, target + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert heard.startswith(b"HTTP/1.1 403 ")
        assert heard.endswith(b"\r\n\r\n") == target.startswith(b"HEAD")
        assert (await local.call("GET", "/whole")).status == 200


@asynchronous
async def test_an_upgrade_is_not_offered() -> None:
    """A WebSocket handshake is an ordinary request here."""
    async with serving(Functions(Answer=OK)) as local:
        reply = await local.call("GET", "/whole", Upgrade="websocket", Connection="Upgrade")

    assert reply.body == b"fine"


@asynchronous
async def test_the_log_holds_no_secrets() -> None:
    """Neither the query nor headers are in it."""
    async with serving(Functions(Answer=OK)) as local:
        await local.call("GET", "/whole?api_key=s3cret", Authorization="s3cret")
        (access,) = await local.logged()

    assert "s3cret" not in repr(access)
    assert (access.path, access.resource, access.status, access.sent) == ("/whole", "/whole", 200, 4)


@asynchronous
async def test_a_port_that_is_taken_is_named() -> None:
    """The second front on a port fails with a sentence."""
    async with serving(Functions()) as local:
        with pytest.raises(PortTaken, match=f"Port {local.port} is taken"):
            async with server.serve(local.front, "127.0.0.1", local.port):
                pass


def test_no_piece_of_an_answer_waits_for_the_one_before() -> None:
    """Connections send at once: with Nagle's algorithm a stream's first event waits 40 ms for the head's receipt."""
    with server._listen("127.0.0.1", 0) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
