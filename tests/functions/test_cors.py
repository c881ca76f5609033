"""Which pages may read an answer, through the real loop: said in whole answers, in streams, and to a preflight."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from functions.cors import allowing

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functions.conftest import Process, RuntimeServer

    Start = Callable[..., Process]

PAGE = "https://app.example"
ORIGINS = f"{PAGE} http://localhost:3000"


def event(origin: str, method: str = "POST", **headers: str) -> dict[str, Any]:
    """A request as API Gateway hands it over."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"httpMethod": method, "headers": {"Origin": origin, **named}, "chunks": ["a", "b"]}


def test_a_stream_says_so_before_its_first_chunk(server: RuntimeServer, start: Start) -> None:
    """The origin itself and never a star, and caches keep origins apart."""
    start("sample_handlers.pour", CORS_ORIGINS=ORIGINS)
    server.put(event(PAGE))
    post = server.take()
    assert post.prelude["headers"]["access-control-allow-origin"] == PAGE
    assert post.prelude["headers"]["vary"] == "origin"
    assert post.payload == b"ab"
    server.put(event("https://evil.example"))
    assert "access-control-allow-origin" not in server.take().prelude["headers"]


def test_a_whole_answer_says_so_too(server: RuntimeServer, start: Start) -> None:
    """And what is no request over HTTP stays as it is."""
    start("sample_handlers.echo", CORS_ORIGINS=ORIGINS)
    server.put(event("http://localhost:3000"))
    answer = json.loads(server.take().body)
    assert answer["headers"]["access-control-allow-origin"] == "http://localhost:3000"
    server.put({"action": "bootstrap"})
    assert "headers" not in json.loads(server.take().body)


@pytest.mark.parametrize("handler", ["sample_handlers.pour", "sample_handlers.fail"])
def test_a_preflight_is_answered_without_the_handler(handler: str, server: RuntimeServer, start: Start) -> None:
    """Whatever headers a page wants to send are allowed, for credentials are among them."""
    start(handler, CORS_ORIGINS=ORIGINS)
    wanted = "authorization, x-stainless-os"
    server.put(event(PAGE, "OPTIONS", Access_Control_Request_Headers=wanted))
    post = server.take()
    answer = post.prelude if handler.endswith("pour") else json.loads(post.body)
    assert answer["statusCode"] == 204
    assert answer["headers"]["access-control-allow-headers"] == wanted
    assert "DELETE" in answer["headers"]["access-control-allow-methods"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "https://app.example.evil.example", "null", "", "HTTPS://APP.EXAMPLE"]
)
def test_a_preflight_of_others_allows_nothing(origin: str) -> None:
    """A browser then sends nothing."""
    answer = allowing(lambda _event, _context: {}, {"CORS_ORIGINS": ORIGINS})(event(origin, "OPTIONS"), None)
    assert (answer["statusCode"], answer["headers"]) == (204, {"vary": "origin"})


def test_what_cannot_be_names_of_headers_is_not_repeated() -> None:
    """A header's value cannot grow into another header."""
    asked = event(PAGE, "OPTIONS", Access_Control_Request_Headers="x\r\nset-cookie: a=b")
    answer = allowing(lambda _event, _context: {}, {"CORS_ORIGINS": PAGE})(asked, None)
    assert "access-control-allow-headers" not in answer["headers"]


def test_without_origins_nothing_is_wrapped() -> None:
    """The default costs nothing."""
    assert allowing(test_without_origins_nothing_is_wrapped, {}) is test_without_origins_nothing_is_wrapped
