"""The way of a request with a provider that misbehaves, a store that fails, and a client that goes away."""

from __future__ import annotations

import gzip
import json
import threading
import time
from typing import TYPE_CHECKING

import pytest

from functions.call import LEASE_MARGIN
from shared.edge.response import ClientGone
from tests.functions.plane.rig import ANSWER, CHAT, Client, Context, chunk, item, usage_chunk, well

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


def booked(rig: Rig) -> tuple[str, int, int, bool]:
    """Return outcome, tokens and estimatedness of the one settlement; the lease has ended and the line agrees."""
    [use] = rig.usage()
    assert rig.leases() == 0
    assert rig.lines[-1]["settled"] is True
    assert rig.lines[-1]["outcome"] == use["outcome"]
    return use["outcome"], int(use["prompt"]), int(use["completion"]), use["estimated"] == "1"


def test_a_stream_comes_as_it_was_sent(rig: Rig) -> None:
    """Text, headers and the end are as an SDK wants them; what was used is booked before `[DONE]` leaves."""
    client = rig.chat(client=Client(rig=rig), fields={"stream_options": {"include_usage": True}})

    assert client.status == 200
    assert client.text == "Hi there"
    assert client.events[-1] == "[DONE]"
    assert client.events[-2]["usage"]["total_tokens"] == 11
    assert client.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert client.headers["cache-control"] == "no-cache"
    assert (client.headers["x-nexus-provider"], client.headers["x-nexus-model"]) == ("openai", "gpt-4o")
    assert float(client.headers["x-nexus-overhead-ms"]) >= 0
    assert client.settled_at_chunk[0] == 0
    assert client.settled_at_chunk[-1] == 1
    assert booked(rig) == ("ok", 9, 2, False)


def test_a_whole_reply_is_settled_before_it_leaves(rig: Rig) -> None:
    """It is a stream of one chunk: one pipeline, one settlement."""
    client = rig.chat(stream=False, client=Client(rig=rig))

    assert client.json["choices"][0]["message"]["content"] == "Hi there"
    assert client.settled_at_chunk == [1]
    assert booked(rig) == ("ok", 9, 2, False)


def test_the_first_chunk_leaves_when_it_arrives(rig: Rig) -> None:
    """The provider sends the next event only once the client holds the one before."""
    client = Client()

    def step_by_step(wire: Wire, _request: Request) -> None:
        wire.start_events()
        for number, data in enumerate(FULL[:3]):
            wire.event(data)
            for _ in range(500):
                if len(client.chunks) > number:
                    break
                wire.pause(0.01)
            else:
                return wire.reset()
        for data in FULL[3:]:
            wire.event(data)
        return wire.end_events()

    rig.upstream.script = [step_by_step]
    rig.chat(client=client)

    assert client.events[-1] == "[DONE]"
    assert booked(rig)[0] == "ok"


def test_the_request_that_leaves_is_ours(rig: Rig) -> None:
    """The provider's name of the model and its secret; nothing of the caller's; no compression asked for."""
    rig.chat(stream=False, headers={"authorization": "Bearer nexus_x", "x-forwarded-for": "1.2.3.4"})

    [request] = rig.upstream.requests
    assert request.path == "/v1/chat/completions"
    assert request.json["model"] == "gpt-4o-2024"
    assert request.headers["authorization"] == "Bearer sk-provider-secret"
    assert request.headers["accept-encoding"] == "identity"
    assert not {"x-forwarded-for", "x-request-id"} & request.headers.keys()


CUT = [
    ("a clean close", lambda wire: wire.end_events()),
    ("a close in the body", lambda wire: wire.close()),
    ("a reset", lambda wire: wire.reset()),
    ("half an event", lambda wire: (wire.send(b'20\r\ndata: {"choices":[{"index":0,'), wire.close())),
    ("a broken chunk", lambda wire: (wire.send(b"zz\r\n"), wire.close())),
    ("an error event", lambda wire: wire.event(b'{"error":{"message":"overloaded","type":"server_error"}}')),
    ("bad JSON", lambda wire: wire.event(b"{nonsense")),
]


@pytest.mark.parametrize("end", [end for _, end in CUT], ids=[name for name, _ in CUT])
def test_a_stream_that_breaks_says_so_in_band(rig: Rig, end: Callable[[Wire], None]) -> None:
    """What was heard has left; then comes an error event and no `[DONE]`; what was heard is booked; no further try."""
    rig.upstream.script = [events(chunk("Hi"), chunk(" there"), end=end)]

    client = rig.chat()

    assert client.status == 200
    assert client.text == "Hi there"
    assert client.events[-1]["error"]["code"]
    assert client.events[-1]["error"].keys() >= {"message", "type", "code", "param"}
    assert len(rig.upstream.requests) == 1
    outcome, prompt, completion, estimated = booked(rig)
    assert outcome == client.events[-1]["error"]["code"]
    assert estimated
    assert prompt > 0
    assert completion >= 2


FAULTS: list[tuple[str, Callable[..., None], int]] = [
    ("closes before the head", lambda wire, _request: wire.close(), 502),
    ("resets before the head", lambda wire, _request: wire.reset(), 502),
    ("is no HTTP", raw(b"SSH-2.0-OpenSSH\r\n"), 502),
    ("half a head", raw(b"HTTP/1.1 200 OK\r\ncontent-ty"), 502),
    ("200 headers", raw(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n"), 502),
    ("a page", status("200 OK", b"<html>down</html>", "text/html"), 502),
    ("a redirect", status("302 Found", location="http://169.254.169.254/"), 502),
    ("compressed", status("200 OK", gzip.compress(bytes(1_000_000)), **{"content-encoding": "gzip"}), 502),
    ("a 500", status("500 Internal Server Error", b"oops", "text/plain"), 502),
    ("a 503", status("503 Service Unavailable", b"<html>", "text/html"), 503),
]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("fault", "code"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_a_fault_before_the_first_chunk_is_a_real_http_error(
    rig: Rig, fault: Callable[..., None], code: int, *, stream: bool
) -> None:
    """Three tries with growing pauses, then the envelope with the right status; booked once."""
    rig.upstream.script = [fault] * 3

    client = rig.chat(stream=stream)

    assert client.status == code, client.body
    assert client.json["error"].keys() >= {"message", "type", "code", "param"}
    assert len(rig.upstream.requests) == 3
    assert [0 <= pause <= most for pause, most in zip(rig.pauses, [1, 2], strict=True)] == [True, True]
    assert booked(rig)[0] == client.json["error"]["code"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("name", "fault"), [fault[:2] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_a_passing_fault_is_not_seen(rig: Rig, name: str, fault: Callable[..., None], *, stream: bool) -> None:
    """Once or twice wrong, then right: the client gets the answer; a try that no status refused may be billed too."""
    rig.upstream.script = [fault, fault]

    client = rig.chat(stream=stream)

    assert client.status == 200
    outcome, prompt, completion, estimated = booked(rig)
    assert (outcome, completion) == ("ok", 2)
    assert (prompt == 9, estimated) == ((True, False) if name in {"a 500", "a 503"} else (False, True))
    assert rig.lines[-1]["tries"] == 3


def test_a_lost_answer_is_not_forgotten_over_a_refusal(rig: Rig) -> None:
    """The first try may be billed, though the last was refused."""
    rig.upstream.script = [lambda wire, _request: wire.reset(), *[status("503 Service Unavailable")] * 2]

    rig.chat(stream=False)

    outcome, prompt, completion, estimated = booked(rig)
    assert (outcome, completion, estimated) == ("upstream_unavailable", 0, True)
    assert prompt > 0


def test_json_for_a_stream_is_an_error(rig: Rig) -> None:
    """An SDK would take it for an empty answer."""
    rig.upstream.script = [status("200 OK", json.dumps(ANSWER).encode())] * 3

    assert rig.chat().status == 502


def test_a_stream_for_json_is_an_error(rig: Rig) -> None:
    """Likewise."""
    rig.upstream.script = [events(*FULL)] * 3

    assert rig.chat(stream=False).status == 502


@pytest.mark.parametrize("line", ["400 Bad Request", "404 Not Found", "422 Unprocessable Entity"])
def test_a_refusal_by_the_provider_is_passed_on_and_not_repeated(rig: Rig, line: str) -> None:
    """The request itself is at fault; nothing is billed for it."""
    body = {"error": {"message": "Unknown parameter", "type": "invalid_request_error", "param": "foo", "code": "bad"}}
    rig.upstream.script = [status(line, json.dumps(body).encode())]

    client = rig.chat()

    assert client.status == int(line[:3]), client.body
    assert client.json["error"]["code"] == "bad"
    assert len(rig.upstream.requests) == 1
    assert booked(rig)[:3] == ("upstream_refused", 0, 0)  # what a provider makes up is no dimension of a metric


def test_the_providers_secret_is_never_shown(rig: Rig) -> None:
    """Echoed by the provider, it is redacted; the caller is not told that its own key is wrong."""
    body = {"error": {"message": "Incorrect API key: sk-provider-secret", "type": "x", "code": "invalid_api_key"}}
    rig.upstream.default = status("401 Unauthorized", json.dumps(body).encode())

    client = rig.chat()

    assert client.status >= 500
    assert b"sk-provider-secret" not in client.body
    assert "sk-provider-secret" not in json.dumps(rig.lines)


def test_a_rotated_secret_is_read_again_once(rig: Rig) -> None:
    """The old one is refused, the new one works, in the same request."""

    def keyed(wire: Wire, request: Request) -> None:
        if request.headers["authorization"] == "Bearer sk-new":
            return well(wire, request)
        return wire.answer(b'{"error":{"message":"no"}}', "401 Unauthorized")

    rig.chat(stream=False)
    rig.upstream.reset()
    rig.upstream.default = keyed
    rig.aws.secrets["OPENAI_API_KEY"] = "sk-new"
    kept = rig.gateway.providers._secrets._kept
    kept["providers"] = kept["providers"]._replace(read_at=-1e9)  # it is not read again within seconds

    assert rig.chat().text == "Hi there"
    assert len(rig.upstream.requests) == 2
    assert rig.chat().text == "Hi there"
    assert len(rig.upstream.requests) == 3


def test_a_rate_limit_of_the_provider_that_lasts_is_passed_on_at_once(rig: Rig) -> None:
    """Whoever wants us to wait 20 s is not asked again; the client learns how long."""
    rig.upstream.script = [status("429 Too Many Requests", b"{}", **{"retry-after": "20"})]

    client = rig.chat()

    assert client.status == 429
    assert client.headers["retry-after"] == "20"
    assert len(rig.upstream.requests) == 1


def test_a_pause_between_tries_is_no_overhead_of_ours(rig: Rig) -> None:
    """What is waited before asking again counts as the provider's time."""
    waited: list[float] = []

    def pause(_seconds: float) -> None:
        began = time.perf_counter()
        time.sleep(0.05)
        waited.append(time.perf_counter() - began)

    rig.gateway = rig.gateway._replace(pause=pause)
    rig.upstream.script = [status("503 Service Unavailable")] * 3

    began = time.perf_counter()
    rig.chat()

    assert len(waited) == 2
    assert rig.lines[-1]["Overhead"] <= (time.perf_counter() - began - sum(waited)) * 1000


def test_the_next_target_is_asked_without_a_pause(rig: Rig) -> None:
    """A model with two targets: the second serves, and is named."""
    rig.upstream.script = [status("503 Service Unavailable")]

    client = rig.chat(model="both")

    assert client.text == "Hi there"
    assert [request.path for request in rig.upstream.requests] == ["/v1/chat/completions", "/second/chat/completions"]
    assert client.headers["x-nexus-provider"] == "second"
    assert rig.pauses == []


def test_a_provider_that_is_not_there_costs_nothing(rig: Rig) -> None:
    """Connection refused, three times: 503, booked with no tokens."""
    rig.upstream.stop()

    client = rig.chat()

    assert client.status == 503
    assert client.json["error"]["code"] == "upstream_unavailable"
    assert booked(rig) == ("upstream_unavailable", 0, 0, False)


SLOW: list[tuple[str, Callable[..., None]]] = [
    ("before the head", lambda wire, _request: wire.hang()),
    ("within the head", raw(b"HTTP/1.1 200 OK\r\n", lambda wire: wire.hang())),
    ("before the body", raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", lambda wire: wire.hang())),
]


def _trickle(wire: Wire, _request: Request) -> None:
    wire.send(b"HTTP/1.1 200 OK\r\n")
    for number in range(2000):
        wire.send(b"x-header-%d: y\r\n" % number if number < 90 else b"x")
        wire.pause(0.01)


@pytest.mark.parametrize("fault", [*[act for _, act in SLOW], _trickle], ids=[*[name for name, _ in SLOW], "trickle"])
def test_a_hanging_provider_is_left_before_lambda_ends_us(rig: Rig, fault: Callable[..., None]) -> None:
    """Two seconds before the deadline the client gets a 504; what may be billed is booked as an estimate."""
    rig.upstream.default = fault
    context = Context(seconds=2.4)

    client = rig.chat(stream=False, context=context)

    assert client.status == 504
    assert client.json["error"]["code"] == "upstream_timeout"
    assert context.get_remaining_time_in_millis() > 500
    outcome, prompt, _, estimated = booked(rig)
    assert (outcome, estimated) == ("upstream_timeout", True)
    assert prompt > 0


@pytest.mark.parametrize("gap", [60, 0.01], ids=["hangs", "is endless"])
def test_a_stream_that_outlasts_us_ends_with_an_error_event(rig: Rig, gap: float) -> None:
    """Heard so far, then the timeout in band, settled, while there is still time to."""

    def act(wire: Wire, _request: Request) -> None:
        wire.start_events()
        for _ in range(2000):
            wire.event(chunk("la"))
            wire.pause(gap)

    rig.upstream.default = act
    context = Context(seconds=2.5)

    client = rig.chat(context=context)

    assert client.status == 200
    assert client.text.startswith("la")
    assert client.events[-1]["error"]["code"] == "upstream_timeout"
    assert context.get_remaining_time_in_millis() > 500
    assert booked(rig)[0] == "upstream_timeout"


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_a_client_that_goes_away_is_settled_all_the_same(rig: Rig, at: int) -> None:
    """At the first chunk, in between, or at the very end: once, for what was heard; the failure goes on outwards."""
    rig.upstream.default = slowly

    with pytest.raises(ClientGone):
        rig.chat(client=Client(hang_up_at=at))

    [use] = rig.usage()
    assert use["outcome"] == ("ok" if at == 3 else "client_gone")
    assert rig.leases() == 0
    assert rig.lines[-1]["outcome"] == "client_gone"


def slowly(wire: Wire, _request: Request) -> None:
    """One event a packet."""
    wire.start_events()
    for data in FULL:
        wire.event(data)
        wire.pause(0.02)
    wire.end_events()


def test_a_connection_serves_the_next_request(rig: Rig) -> None:
    """Whole, streamed and refused answers leave it usable."""
    rig.upstream.script = [well, well, status("400 Bad Request", b'{"error":{"message":"no"}}')]
    for stream in (True, False, True, True, False):
        rig.chat(stream=stream)

    assert rig.upstream.connections == 1


def test_a_connection_held_open_behind_the_end_is_not_waited_for(rig: Rig) -> None:
    """`[DONE]` is the end, whatever the provider does with its connection; the next request takes another."""
    rig.upstream.script = [events(*FULL, end=lambda wire: wire.hang())]

    context = Context(seconds=30)
    assert rig.chat(context=context).events[-1] == "[DONE]"
    assert context.get_remaining_time_in_millis() > 15_000
    assert rig.chat().events[-1] == "[DONE]"
    assert rig.upstream.connections == 2


def test_a_connection_closed_while_idle_is_not_used(rig: Rig) -> None:
    """One that was seen to close goes unnoticed; one that closes when it has the request has cost a try."""
    closed = threading.Event()

    def then_close(wire: Wire, request: Request) -> None:
        well(wire, request)
        wire.close()
        closed.set()

    rig.upstream.script = [then_close]
    assert rig.chat().status == 200
    assert closed.wait(5)
    assert rig.chat().status == 200

    assert rig.lines[-1]["tries"] == 1

    rig.upstream.script = [lambda wire, _request: wire.close()]
    assert rig.chat().status == 200
    assert rig.lines[-1]["tries"] == 2


def test_a_store_that_fails_afterwards_takes_no_answer_away(rig: Rig) -> None:
    """The answer was made and is given; the line of the request, now an error, holds what was used."""

    def lose_the_store(wire: Wire, request: Request) -> None:
        rig.valkey.config_set("maxmemory", 1)
        well(wire, request)

    rig.upstream.default = lose_the_store
    try:
        client = rig.chat()
    finally:
        rig.valkey.config_set("maxmemory", 0)

    assert client.events[-1] == "[DONE]"
    assert rig.usage() == []
    assert (rig.lines[-1]["settled"], rig.lines[-1]["level"]) == (False, "ERROR")
    assert (rig.lines[-1]["PromptTokens"], rig.lines[-1]["CompletionTokens"]) == (9, 2)


def test_the_lease_outlives_the_invocation(rig: Rig) -> None:
    """A process that dies in the middle holds its slot for no longer than it could have lived."""
    rig.aws.item = item(tier="free")
    left: list[float] = []

    def look(wire: Wire, request: Request) -> None:
        [(_, ends)] = rig.valkey.zrange("{default}:leases:key:default-abcdefghijkl", 0, -1, withscores=True)
        seconds, micro = rig.valkey.time()
        left.append(ends / 1000 - seconds - micro / 1e6)
        well(wire, request)

    rig.upstream.default = look
    rig.chat(context=Context(seconds=20))

    assert 19 < left[0] < 20 + LEASE_MARGIN + 1


def test_the_requests_id_is_the_invocations(rig: Rig) -> None:
    """Clients may choose `requestContext.requestId`, and would choose one that has been settled."""
    first, second = rig.chat(stream=False), rig.chat(stream=False)

    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert len(rig.usage()) == 2
    assert "chosen-by-the-client" not in json.dumps([first.headers, rig.lines, rig.usage()])


def test_nothing_private_is_written_down(rig: Rig) -> None:
    """Prompts, answers, keys and secrets are in no line and in no store; the books' own lines name the key's id."""
    secret = "my-secret-prompt"
    rig.call("POST", CHAT, {"model": "gpt-4o", "messages": [{"role": "user", "content": secret}], "user": "u@x.org"})
    rig.upstream.default = status("500 Oops", secret.encode(), "text/plain")
    rig.call("POST", CHAT, {"model": secret, "messages": []})
    rig.chat(fields={"metadata": {"x": secret}})

    kept = json.dumps(rig.lines) + repr([rig.valkey.dump(key) for key in rig.valkey.keys("*")])
    for private in (secret, "u@x.org", "Hi there", "sk-provider-secret"):
        assert private not in kept
    assert "default-abcdefghijkl" not in json.dumps([line for line in rig.lines if line["event"] == "request"])
