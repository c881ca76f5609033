"""The way of a request that goes well, that its client leaves, or whose store fails behind it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from functions.call import LEASE_MARGIN
from shared.edge.response import ClientGone
from tests.functions.plane.acts import FULL, booked, status
from tests.functions.plane.rig import CHAT, Client, Context, item, well

if TYPE_CHECKING:
    from tests.functions.plane.rig import Rig
    from tests.functions.plane.upstream import Request, Wire


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


def slowly(wire: Wire, _request: Request) -> None:
    """One event a packet."""
    wire.start_events()
    for data in FULL:
        wire.event(data)
        wire.pause(0.02)
    wire.end_events()


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
