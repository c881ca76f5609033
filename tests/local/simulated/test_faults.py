"""Each knob does to the wire what it says, so that tests of the gateway may rely on it."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx2
import openai
import pytest

from cdk.local.simulated.knobs import MODES

if TYPE_CHECKING:
    from collections.abc import Callable

    Lie = Callable[..., dict[str, Any]]

CHAT = "/v1/chat/completions"


def test_takes_knobs_as_string_metadata_from_the_official_types(client: openai.OpenAI) -> None:
    """OpenAI's metadata values are strings; a JSON string there turns the knobs."""
    with pytest.raises(openai.InternalServerError) as raised:
        client.chat.completions.create(
            model="simulated",
            messages=[{"role": "user", "content": "Hi"}],
            metadata={"simulated": json.dumps({"fail_status": 503, "retry_after": "7"})},
        )
    assert raised.value.status_code == 503
    assert raised.value.response.headers["retry-after"] == "7"


def test_refuses_unknown_knobs(http: httpx2.Client, lie: Lie) -> None:
    """A misspelt knob or mode is a 400 that names it."""
    for knobs, named in [({"mode": "html_20"}, "html_20"), ({"latency": 3}, "latency"), ("nonsense", "knob")]:
        answer = http.post(CHAT, json=lie("", simulated=knobs))
        assert answer.status_code == 400
        assert named in answer.json()["error"]["message"]


def test_fails_in_a_sequence_that_the_seed_fixes(http: httpx2.Client, lie: Lie) -> None:
    """The same seed meets the same failures again after a reset, another seed meets others."""

    def statuses(seed: str) -> list[int]:
        http.post("/_knobs", json={})
        body = lie("", simulated={"fail_rate": 0.5, "fail_status": 529, "seed": seed})
        return [http.post(CHAT, json=body).status_code for _ in range(24)]

    first = statuses("a")
    assert set(first) == {200, 529}
    assert first == statuses("a")
    assert first != statuses("b")


def test_fails_the_first_calls_only(http: httpx2.Client, lie: Lie) -> None:
    """`fail_first` is a provider that recovers."""
    body = lie("", simulated={"fail_first": 2, "seed": "recovering"})
    assert [http.post(CHAT, json=body).status_code for _ in range(4)] == [500, 500, 200, 200]


def test_lies_in_the_first_calls_only(http: httpx2.Client, lie: Lie) -> None:
    """`mode_first` is a provider that breaks off once, and has counted the tokens of both calls."""
    body = lie("half_json", simulated={"mode": "half_json", "mode_first": 1, "seed": "once", "tag": "once"})
    first, second = (http.post(CHAT, json=body).content for _ in range(2))
    assert second.startswith(first[:20])
    assert (first.endswith(b"}"), json.loads(second)["object"]) == (False, "chat.completion")
    calls = http.get("/_calls", params={"tag": "once"}).json()["calls"]
    assert [call["usage"]["completion_tokens"] > 0 for call in calls] == [True, True]


def test_sets_knobs_for_the_whole_process(http: httpx2.Client, lie: Lie) -> None:
    """POST /_knobs holds for requests that say nothing, until it is emptied."""
    try:
        http.post("/_knobs", json={"answer": "everyone gets this"})
        said = http.post(CHAT, json=lie("")).json()["choices"][0]["message"]["content"]
    finally:
        http.post("/_knobs", json={})
    assert said == "everyone gets this"


def test_streams_before_it_has_finished(http: httpx2.Client, lie: Lie) -> None:
    """The first words arrive while the gate that holds the rest is still closed."""
    with http.stream(
        "POST", CHAT, json=lie("", stream=True, simulated={"gate": "g1", "gate_after": 2, "tag": "g1"})
    ) as answer:
        lines = answer.iter_lines()
        first = next(line for line in lines if '"content":"This"' in line)
        assert http.get("/_calls?tag=g1").json()["open"] == 1
        http.post("/_gates/g1")
        rest = list(lines)
    assert first
    assert rest[-2] == "data: [DONE]"


def test_splits_into_the_chunks_asked_for(http: httpx2.Client, lie: Lie) -> None:
    """`chunks` and `tokens` set the shape of a stream, which load runs need."""
    for knobs, count in [({"chunks": 3}, 3), ({"chunks": 40}, 40), ({"tokens": 50, "chunks": 5}, 5)]:
        answer = http.post(CHAT, json=lie("", stream=True, simulated=knobs))
        events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
        deltas = [choice["delta"] for event in events for choice in event["choices"]]
        assert sum(bool(delta.get("content")) for delta in deltas) == count


def test_ends_a_truncated_stream_cleanly(http: httpx2.Client, lie: Lie) -> None:
    """Truncation after n frames is a correct HTTP body without finish_reason and [DONE]: the silent kind."""
    answer = http.post(CHAT, json=lie("", stream=True, simulated={"truncate_after": 3}))
    assert answer.text.count("data: ") == 3
    assert '"finish_reason":"stop"' not in answer.text


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("html_200", (200, "text/html", "<html>")),
        ("empty_200", (200, "application/json", "")),
        ("error_in_200", (200, "application/json", "simulated_overload")),
        ("half_json", (200, "application/json", '"choices"')),
        ("sse_to_whole", (200, "text/event-stream", "data: [DONE]")),
        ("redirect", (302, "", "")),
        ("echo_key", (401, "application/json", "sk-echoed")),
        ("negative_usage", (200, "application/json", '"completion_tokens":-1000')),
        ("surrogates", (200, "application/json", "\\ud83d")),
    ],
)
def test_lies_in_whole_answers(http: httpx2.Client, lie: Lie, mode: str, told: tuple[int, str, str]) -> None:
    """Status, content type and body are what the mode promises."""
    status, kind, part = told
    answer = http.post(CHAT, json=lie(mode), headers={"authorization": "Bearer sk-echoed"})
    assert answer.status_code == status
    assert answer.headers.get("content-type", "").startswith(kind)
    assert part in answer.text


@pytest.mark.parametrize(
    ("mode", "has", "lacks"),
    [
        ("json_to_stream", '"object":"chat.completion"', "data:"),
        ("no_done", "finish_reason", "[DONE]"),
        ("two_done", "data: [DONE]\n\ndata: [DONE]", "error"),
        ("no_finish", "[DONE]", '"finish_reason":"stop"'),
        ("error_first", '"error"', "choices"),
        ("error_mid_stream", "simulated_overload", "[DONE]"),
        ("half_json", "choices", "[DONE]"),
        ("bad_json", "[}", "error"),
        ("comments", ": keep-alive\n\nid: 7\nretry: 1000", "error"),
        ("crlf", "\r\n\r\n", "error"),
        ("cr", "\r\r", "\n"),
        ("no_space", "data:{", "data: "),
        ("multi_line", "data: {\ndata: ", "error"),
        ("bom", "\ufeffdata", "error"),
        ("surrogates", '"\\ud83d"', "error"),
        ("no_role", "choices", '"role"'),
        ("no_object", "choices", "chat.completion.chunk"),
        ("no_choices", "[DONE]", "choices"),
    ],
)
def test_lies_in_streams(http: httpx2.Client, lie: Lie, mode: str, has: str, lacks: str) -> None:
    """The stream has what the mode promises and lacks what it withholds."""
    body = http.post(CHAT, json=lie(mode, stream=True)).content.decode()
    assert has in body
    assert lacks not in body


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("mode", ["reset", "reset_mid", "cut", "bad_chunk", "bad_status_line"])
def test_breaks_the_protocol(http: httpx2.Client, lie: Lie, mode: str, stream: bool) -> None:  # noqa: FBT001
    """A broken exchange is an error of the transport, never a whole answer."""
    with pytest.raises(httpx2.TransportError):
        http.post(CHAT, json=lie(mode, stream=stream))


@pytest.mark.parametrize("mode", ["hang_headers", "hang_body", "open_after_done"])
def test_hangs_until_the_client_leaves(http: httpx2.Client, lie: Lie, mode: str) -> None:
    """A hanging mode sends no end; the log then tells that the client went away."""
    body = lie("", stream=True, simulated={"mode": mode, "tag": mode})
    with pytest.raises(httpx2.ReadTimeout):
        http.post(CHAT, json=body, timeout=0.3)
    assert _ending(http, mode) == "client_gone"


@pytest.mark.parametrize("stream", [False, True])
def test_never_ends(http: httpx2.Client, lie: Lie, stream: bool) -> None:  # noqa: FBT001
    """An endless body goes on until the client hangs up, in step with the reader."""
    tag = f"endless-{stream}"
    body = lie("", stream=stream, simulated={"mode": "endless", "tag": tag})
    with http.stream("POST", CHAT, json=body) as answer:
        heard = sum(len(data) for data, _ in zip(answer.iter_raw(), range(500), strict=False))
    assert heard > 50_000
    assert _ending(http, tag) == "client_gone"


def _ending(http: httpx2.Client, tag: str) -> str:
    for _ in range(200):
        outcome = str(http.get("/_calls", params={"tag": tag}).json()["calls"][0]["outcome"])
        if outcome not in {"open", "cut"}:
            return outcome
    return "still open"


def test_keeps_the_truth_in_its_log(http: httpx2.Client, lie: Lie) -> None:
    """Whatever usage was told, the log has the real one, the body's digest, and no key."""
    body = lie("", simulated={"mode": "negative_usage", "tag": "truth"})
    answer = http.post(CHAT, json=body, headers={"authorization": "Bearer sk-secret-9876", "x-custom": "1"})
    report = http.get("/_calls", params={"tag": "truth"}).json()
    (call,) = report["calls"]
    assert call["usage"]["completion_tokens"] == report["completion_tokens"] == 9
    assert call["body_sha256"] == hashlib.sha256(answer.request.content).hexdigest()
    assert call["headers"]["authorization"] == "...9876"
    assert "x-custom" in call["other_headers"]
    assert "sk-secret" not in json.dumps(report)
    assert (call["status"], call["outcome"], call["id"]) == (200, "answered", answer.headers["x-request-id"])


def test_keeps_a_body_when_asked(http: httpx2.Client, lie: Lie) -> None:
    """What was passed on can be compared with what was sent."""
    body = lie("", simulated={"keep_body": True, "tag": "kept"}, seed=7)
    http.post(CHAT, json=body)
    (call,) = http.get("/_calls", params={"tag": "kept"}).json()["calls"]
    assert json.loads(call["body"]) == body


def test_clears_its_log(http: httpx2.Client, lie: Lie) -> None:
    """DELETE /_calls starts a new count, and ids do not repeat."""
    before = http.post(CHAT, json=lie("")).headers["x-request-id"]
    http.delete("/_calls")
    after = http.post(CHAT, json=lie("")).headers["x-request-id"]
    report = http.get("/_calls").json()
    assert report["count"] == 1
    assert after == report["calls"][0]["id"] != before


def test_knows_all_its_modes(http: httpx2.Client, lie: Lie) -> None:
    """Every accepted mode does something: an answer differs, or none comes; two have tests of their own."""
    names = ("clock", "weather")
    tools = [{"type": "function", "function": {"name": name, "parameters": {"enum": ["long" * 9]}}} for name in names]
    calling = {"tools": tools, "messages": [{"role": "user", "content": "clock and weather"}]}

    def shapes(mode: str) -> list[str]:
        bodies = [lie(mode, stream=stream, **more) for stream in (False, True) for more in ({}, calling)]
        return [_shape(http, body) for body in bodies]

    healthy = shapes("")
    assert [mode for mode in sorted(MODES - {"split_utf8", "endless"}) if shapes(mode) == healthy] == []


def test_cuts_characters_apart(url: str) -> None:
    """split_utf8 sends byte by byte: a chunk of the transfer ends inside a character."""
    body = {"model": "m", "messages": [{"role": "user", "content": "é"}], "stream": True}
    sent = json.dumps({**body, "simulated": {"mode": "split_utf8"}}, ensure_ascii=False).encode()
    host = url.removeprefix("http://")
    head = f"POST {CHAT} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(sent)}\r\nconnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(host.rsplit(":")[-1]))) as raw:
        raw.sendall(head.encode() + sent)
        heard = b"".join(iter(lambda: raw.recv(65536), b""))
    assert b"1\r\n\xc3\r\n1\r\n\xa9\r\n" in heard


def _shape(http: httpx2.Client, body: dict[str, Any]) -> str:
    try:
        answer = http.post(CHAT, json=body, timeout=0.2)
    except httpx2.HTTPError as error:
        return type(error).__name__
    steady = re.sub(r"chatcmpl-simulated-\w{20}|\"created\":\d+", "", answer.text)
    return f"{answer.status_code} {len(answer.headers)} {hash(steady)}"


def test_refuses_a_port_that_is_taken() -> None:
    """A second start on the same port ends with a clear line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "cdk.local.simulated", "--port", port]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"simulated provider: cannot listen on 127.0.0.1:{port}")
