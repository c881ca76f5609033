"""Hostile and broken requests: always the error envelope with its four fields and a request id, never a trace."""

from __future__ import annotations

import gzip
import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.e2e.expect import refused
from tests.e2e.stack import CHAT, DOWN, SLASHED, Stack

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = "/v1/chat/completions"
HI: Any = {"model": CHAT, "messages": [{"role": "user", "content": "Hi"}]}
NESTED = 100_000


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer nonsense",
        "Bearer nexus_",
        "Bearer nexus_default-short_secret",
        "Bearer nexus_default-abcdefghijkl_" + "A" * 43,
        "Bearer nexus_nowhere-abcdefghijkl_" + "A" * 43,
        "Bearer " + "A" * 6000,
        "Basic dXNlcjpwYXNz",
        "Bearer nexus_default-abcdefghijkl_" + "\xff" * 43,
        "Bearer ' OR 1=1 --",
    ],
    ids=range(11),
)
def test_no_good_key(stack: Stack, authorization: str) -> None:
    """A key that is missing, malformed or unknown is 401 on every path that needs one."""
    headers = {b"authorization": authorization.encode("latin-1")} if authorization else {}
    with httpx2.Client(base_url=stack.base_url) as stranger:
        refused(stranger.post(PATH, json=HI, headers=headers), 401, "invalid_api_key")
        refused(stranger.get("/v1/models", headers=headers), 401, "invalid_api_key")
        refused(stranger.get("/admin/keys", headers=headers), 401, "invalid_api_key")


def test_a_key_in_the_query(stack: Stack) -> None:
    """A key in the address is not looked at."""
    with httpx2.Client(base_url=stack.base_url) as stranger:
        refused(stranger.post(PATH, json=HI, params={"api_key": stack.client_key}), 401, "invalid_api_key")


def test_a_key_that_was_good(http: httpx2.Client, stack: Stack) -> None:
    """One changed character of a good key opens nothing."""
    for at in (-1, -20):
        letter = "b" if stack.client_key[at] == "a" else "a"
        wrong = stack.client_key[:at] + letter + (stack.client_key[at + 1 :] if at != -1 else "")
        refused(http.post(PATH, json=HI, headers={"authorization": f"Bearer {wrong}"}), 401, "invalid_api_key")


def test_two_credentials(http: httpx2.Client, stack: Stack) -> None:
    """x-api-key alone is a key, the same one twice too; two that differ are refused."""
    with httpx2.Client(base_url=stack.base_url) as other:
        assert other.post(PATH, json=HI, headers={"x-api-key": stack.client_key}).status_code == 200
    assert http.post(PATH, json=HI, headers={"x-api-key": stack.client_key}).status_code == 200
    refused(http.post(PATH, json=HI, headers={"x-api-key": stack.admin_key}), 401, "invalid_api_key")
    twice = [("authorization", f"Bearer {key}") for key in (stack.client_key, stack.admin_key)]
    with httpx2.Client(base_url=stack.base_url) as other:
        refused(other.post(PATH, json=HI, headers=twice), 401, "invalid_api_key")


def test_a_revoked_key(stack: Stack, admin: httpx2.Client, new_key: Callable[..., dict[str, Any]]) -> None:
    """A revoked key is refused on its very next request, although it was good a moment before."""
    made = new_key(tier="pro")
    with httpx2.Client(base_url=stack.base_url, headers={"authorization": f"Bearer {made['key']}"}) as owner:
        assert owner.post(PATH, json=HI).status_code == 200
        assert admin.delete(f"/admin/keys/{made['id']}").status_code == 200
        refused(owner.post(PATH, json=HI), 401, "invalid_api_key")
        refused(owner.post(PATH, json={**HI, "stream": True}), 401, "invalid_api_key")
        refused(owner.get("/v1/models"), 401, "invalid_api_key")


def _message(text: str) -> bytes:
    return b'{"model":"%b","messages":[{"role":"user","content":%b}]}' % (CHAT.encode(), text.encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\x00\x01\x02",
        b"\xff\xfe{\x00}\x00",
        b'{"model": NaN}',
        _message('"Hi"').replace(b"}]}", b'}],"temperature":NaN}'),
        _message('"Hi"').replace(b"}]}", b'}],"temperature":Infinity}'),
        _message('"Hi"').replace(b"}]}", b'}],"temperature":1e999}'),
        _message('"Hi"').replace(b"}]}", b'}],"seed":' + b"9" * 5000 + b"}"),
        _message('"\x00"'),
        _message("[" * NESTED + "]" * NESTED),
        b"[" * NESTED,
        b'{"a":' * NESTED,
    ],
    ids=range(16),
)
def test_a_body_that_is_no_request(http: httpx2.Client, body: bytes) -> None:
    """Broken, ambiguous or bottomless JSON is a 400 for chat and embeddings alike."""
    headers = {"content-type": "application/json"}
    refused(http.post(PATH, content=body, headers=headers), 400)
    refused(http.post("/v1/embeddings", content=body, headers=headers), 400)


@pytest.mark.parametrize(
    "text", [r'"\u0000"', r'"\ud83d"', r'"\ud83d\ude00"', '"\u202e\u200b"', '"' + "x" * 100_000 + '"']
)
def test_a_strange_prompt(http: httpx2.Client, text: str) -> None:
    """NUL, half an emoji and other odd characters in a prompt are answered, or refused as 400; never a 500."""
    _answered_or_refused(http, _message(text))


@pytest.mark.parametrize("raw", [b"\xed\xa0\xbd", b"\xff\xfe", b"\xc0\xaf"])
def test_a_prompt_that_is_no_utf8(http: httpx2.Client, raw: bytes) -> None:
    """Bytes that are no characters become replacement characters in API Gateway, or are refused."""
    _answered_or_refused(http, _message('"Hi"').replace(b"Hi", raw))


def _answered_or_refused(http: httpx2.Client, body: bytes) -> None:
    answer = http.post(PATH, content=body, headers={"content-type": "application/json"})
    if answer.status_code != 200:
        refused(answer, 400)


def test_a_name_given_twice(stack: Stack, new_key: Callable[..., dict[str, Any]]) -> None:
    """Of a member that comes twice, permission, routing and provider see the same one: nothing slips past a check."""
    key = {"authorization": f"Bearer {new_key(models=[CHAT])['key']}", "content-type": "application/json"}
    for first, last, status in [(CHAT, SLASHED, 404), (SLASHED, CHAT, 200)]:
        body = b'{"model":"%b",%b' % (first.encode(), _message('"Hi"').replace(CHAT.encode(), last.encode())[1:])
        with httpx2.Client(base_url=stack.base_url, headers=key) as owner:
            answer = owner.post(PATH, content=body)
        if answer.status_code != 400:
            assert answer.status_code == status
            assert answer.headers.get("x-nexus-model", CHAT) == CHAT


@pytest.mark.parametrize("size", [7_000_000, 12_000_000])
def test_a_body_too_large(http: httpx2.Client, size: int) -> None:
    """Seven megabytes are refused by the gateway, twelve by API Gateway before it; the next request is served."""
    body = _message(json.dumps("x" * size))
    refused(http.post(PATH, content=body, headers={"content-type": "application/json"}), 413, "request_too_large")
    assert http.get("/v1/models").status_code == 200


def test_a_compressed_body(http: httpx2.Client) -> None:
    """A compressed request is not unpacked: it is refused, bomb or not."""
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    for body in (json.dumps(HI).encode(), b" " * 50_000_000):
        answer = http.post(PATH, content=gzip.compress(body), headers=headers)
        assert answer.status_code in {400, 415}
        refused(answer, answer.status_code)


@pytest.mark.parametrize(
    "name", ["gpt-17", "", "a\nb", "../../etc/passwd", "g" * 10_000, "gpt\u20115-mini", "GPT-5-MINI"]
)
def test_an_unknown_model(http: httpx2.Client, name: str) -> None:
    """A model name nobody knows, odd or huge, is a 404 that names the field (400 if it is empty)."""
    answer = http.post(PATH, json={**HI, "model": name})
    error = refused(answer, 404 if name else 400, "model_not_found" if name else None, "model")
    assert len(error["message"]) < 400


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/nothing", "/v1/chat/completions/more", "/admin", "/%2e%2e/etc", "/V1/models"]
)
def test_an_unknown_path(http: httpx2.Client, path: str) -> None:
    """A path that is not there is a 404 with code unknown_url, and never a redirect."""
    refused(http.get(path), 404, "unknown_url")
    refused(http.post(path, json={}), 404, "unknown_url")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", PATH), ("DELETE", "/v1/models"), ("PUT", "/v1/embeddings"), ("TRACE", PATH)]
)
def test_a_wrong_method(http: httpx2.Client, method: str, path: str) -> None:
    """A method that a path does not have is 404 or 405, and nothing is echoed."""
    answer = http.request(method, path, headers={"x-canary": "echo-me"})
    assert answer.status_code in {404, 405}
    refused(answer, answer.status_code)
    assert "echo-me" not in answer.text


@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_that_is_down(http: httpx2.Client, stream: bool) -> None:  # noqa: FBT001
    """Nobody listens where the model should be: 503, streamed or not."""
    refused(http.post(PATH, json={**HI, "model": DOWN, "stream": stream}), 503, "upstream_unavailable")


def test_an_upstream_that_is_slow(http: httpx2.Client) -> None:
    """A slow provider is waited for."""
    assert http.post(PATH, json={**HI, "simulated": {"latency_ms": 1200}}).status_code == 200


def test_identity_comes_from_the_key_alone(http: httpx2.Client, upstream: httpx2.Client, tag: str) -> None:
    """Headers that claim an identity, a tenant or a host change nothing and reach nobody."""
    claims = {
        "x-forwarded-for": "10.0.0.1",
        "x-forwarded-host": "evil.example",
        "x-user-id": "root",
        "x-tenant": "other",
        "x-amzn-requestid": "chosen",
        "x-amz-invocation-type": "Event",
        "x-request-id": "chosen" * 50,
        "openai-organization": "org-evil",
    }
    answer = http.post(PATH, json={**HI, "simulated": {"tag": tag}}, headers=claims)
    assert answer.status_code == 200
    assert len(answer.headers["x-request-id"]) < 100
    (call,) = upstream.get("/_calls", params={"tag": tag}).json()["calls"]
    assert not claims.keys() & {*call["other_headers"], *call["headers"]}


def test_headers_too_large(http: httpx2.Client) -> None:
    """More headers than API Gateway takes are refused before anything is asked."""
    answer = http.post(PATH, json=HI, headers={"x-long": "x" * 12_000})
    refused(answer, 431)


def _raw(stack: Stack, request: bytes) -> bytes:
    url = urlsplit(stack.base_url)
    assert url.hostname
    assert url.port
    with socket.create_connection((url.hostname, url.port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    "head",
    [
        b"authorization : Bearer x",
        b"x-a: a\x00b",
        b"content-length: 5\r\ntransfer-encoding: chunked",
        b"content-length: 5\r\ncontent-length: 6",
        b"content-length: -1",
        b"transfer-encoding: xchunked",
    ],
    ids=range(6),
)
def test_a_request_that_is_no_http(stack: Stack, head: bytes) -> None:
    """Requests that two servers could read differently are refused, with exactly one response."""
    answer = _raw(stack, b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n" + head + b"\r\n\r\n0\r\n\r\n")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.split(b" ", 2)[1] in {b"400", b"401", b"501"}
    assert b"Traceback" not in answer


def test_a_body_that_never_comes(stack: Stack, upstream: httpx2.Client, tag: str) -> None:
    """A request that ends before its body did calls no provider."""
    key = stack.client_key.encode()
    body = json.dumps({**HI, "simulated": {"tag": tag}}).encode()
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\ncontent-length: 9999\r\n\r\n"
        % key
    )
    assert b"HTTP/1.1 200" not in _raw(stack, head + body)
    assert upstream.get("/_calls", params={"tag": tag}).json()["calls"] == []
