"""Clients and rows that behave badly, all at once, on a real server: the others do not notice."""

from __future__ import annotations

import json
import socket
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gpu_service.model import NAME
from tests.gpu_service.process import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gpu_service.engine import Engine


@pytest.fixture(scope="module")
def alone(model_dir: Path) -> Iterator[Server]:
    """A server with room for eight requests only: who keeps his place for nothing would be felt."""
    with Server(model_dir, MAX_REQUESTS="8", CACHE_MB="0") as running:
        running.wait_until_ready()
        yield running


def post(server: Server, body: bytes, *, of: int | None = None) -> socket.socket:
    """Begin a request whose body has `of` bytes, of which `body` is sent."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    head = f"POST /v1/embeddings HTTP/1.1\r\nhost: a\r\ncontent-length: {of or len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def vanish(connection: socket.socket) -> None:
    """Leave without a goodbye: the server sees a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def served(server: Server, engine: Engine, words: int) -> bool:
    """A good client gets the right vector."""
    text = " ".join(["good"] * words)
    answer = server.ask("POST", "/v1/embeddings", {"model": NAME, "input": text})
    assert answer.status == 200, answer.body
    return bool(np.allclose(answer.json["data"][0]["embedding"], engine.embed([text]).vectors[0], atol=1e-6))


def test_the_slow_and_the_vanished_take_nobodys_place(alone: Server, engine: Engine) -> None:
    """Twenty half-sent bodies, and ten clients that leave while their long texts wait: all good ones are served."""
    body = json.dumps({"model": NAME, "input": ["many words " * 200] * 4}).encode()
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(post(alone, body[:100], of=len(body)))
        for _ in range(10):
            vanish(post(alone, body))
            assert served(alone, engine, 3)


def test_ten_megabytes_are_the_senders_problem(alone: Server, engine: Engine) -> None:
    """A body of 10 MB gets 413, one text of 5 MB its vector; others are answered in between."""
    large = json.dumps({"model": NAME, "input": "x " * 2_500_000}).encode()
    with post(alone, b" " * 10_000_000) as too_large, post(alone, large) as slow:
        assert all(served(alone, engine, words) for words in range(1, 6))
        assert too_large.recv(12) == b"HTTP/1.1 413"
        assert slow.recv(12) == b"HTTP/1.1 200"


def test_a_row_that_is_none_is_told_before_it_is_run(alone: Server, engine: Engine) -> None:
    """A token id that the model has not would break its run: the client gets 400, and no other row is in it."""
    answer = alone.ask("POST", "/v1/embeddings", {"model": NAME, "input": [[101, 2_000_000, 102]]})

    assert (answer.status, answer.json["error"]["param"]) == (400, "input[0]")
    assert served(alone, engine, 4)
