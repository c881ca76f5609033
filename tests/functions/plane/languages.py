"""The languages of clients, as far as tests of all of them need to know them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tests.functions.plane.rig import Client, Rig


class Language(NamedTuple):
    """Where it is spoken, what a request says, and how a stream ends, badly or well."""

    path: str
    fields: dict[str, Any]
    failed: bytes = b""
    last: bytes = b""
    types: tuple[tuple[int, str], ...] = ()  # its own types of errors, by status


HELLO = [{"role": "user", "content": "Hello"}]
LANGUAGES = {
    "chat": Language(
        "/v1/chat/completions", {"messages": HELLO, "max_tokens": 9}, b'data: {"error":', b"data: [DONE]\n\n"
    ),
    "responses": Language(
        "/v1/responses", {"input": "Hello", "max_output_tokens": 9}, b"event: error\n", b"event: response.completed\n"
    ),
    "messages": Language(
        "/v1/messages",
        {"messages": HELLO, "max_tokens": 9},
        b"event: error\n",
        b"event: message_stop\n",
        ((503, "overloaded_error"), (504, "timeout_error")),
    ),
    "completions": Language(
        "/v1/completions", {"prompt": "Hello", "max_tokens": 9}, b'data: {"error":', b"data: [DONE]\n\n"
    ),
    "generate": Language(
        "/api/llm/generate", {"prompt": "Hello", "max_tokens": 9}, b'data: {"error":', b"data: [DONE]\n\n"
    ),
}
VECTORS = Language("/v1/embeddings", {"input": "Hello"})
_TEXT = re.compile(rb'"(?:text_delta","text|delta|text|content)":"([^"]+)"')


def ask(rig: Rig, language: Language, model: str, *, stream: bool) -> Client:
    """Ask in this language."""
    streamed = {"stream": True} if stream else {}
    return rig.call("POST", language.path, {"model": model, **language.fields, **streamed})


def said(client: Client) -> str:
    """Return the text of a stream, put together from its pieces."""
    return b"".join(_TEXT.findall(client.body.partition(b"output_text.done")[0])).decode()


def kind(language: Language, status: int) -> str:
    """Return the type of an error with this status."""
    usual = {429: "rate_limit_error", 400: "invalid_request_error", 404: "invalid_request_error"}
    return dict(language.types).get(status) or usual.get(status) or ("api_error" if status >= 500 else usual[400])
