"""Whatever language the client speaks: settled before the last event leaves, for what was heard, within the budget."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from shared.core.pricing import NANO
from tests.functions.plane.acts import booked, events, status
from tests.functions.plane.rig import KEY, Client, chunk, item
from tests.functions.plane.test_providers import claude

if TYPE_CHECKING:
    from tests.functions.plane.rig import Rig

MESSAGES, RESPONSES, GENERATE = "/v1/messages", "/v1/responses", "/api/llm/generate"
COMPLETIONS = "/v1/completions"
DIALECTS: dict[str, dict[str, Any]] = {
    MESSAGES: {"max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]},
    RESPONSES: {"input": "Hello"},
    GENERATE: {"prompt": "Hello"},
    COMPLETIONS: {"prompt": "Hello", "max_tokens": 100},
}
EVENTS_LAST = {MESSAGES: b"event: message_stop\n", RESPONSES: b"event: response.completed\n"}
LAST = dict.fromkeys((GENERATE, COMPLETIONS), b"data: [DONE]") | EVENTS_LAST
FAILED = dict.fromkeys((GENERATE, COMPLETIONS), b'data: {"error":') | dict.fromkeys(EVENTS_LAST, b"event: error\n")
BEYOND_PRICE: dict[str, tuple[str, dict[str, Any]]] = {
    "a document": (
        MESSAGES,
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "document",
                            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
                        }
                    ],
                }
            ]
        },
    ),
    "a tier": (MESSAGES, {"service_tier": "priority"}),
    "another tier": (RESPONSES, {"service_tier": "priority"}),
    "a file": (
        RESPONSES,
        {
            "input": [
                {"role": "user", "content": [{"type": "input_file", "file_data": "data:application/pdf;base64,AA"}]}
            ]
        },
    ),
}

paths = pytest.mark.parametrize("path", DIALECTS)


def ask(rig: Rig, path: str, *, stream: bool = True, **options: Any) -> Client:
    """Ask for an answer in the dialect of this path."""
    fields = {"model": "gpt-4o", **DIALECTS[path], "stream": stream, **options.pop("fields", {})}
    return rig.call("POST", path, fields, **options)


def said(client: Client) -> str:
    """Return the text of an answer, put together from whatever pieces it came in."""
    found = re.findall(rb'"(?:text_delta","text|delta|text)":"([^"]+)"', client.body.partition(b"output_text.done")[0])
    return b"".join(found).decode()


@pytest.fixture
def _open(rig: Rig) -> None:
    rig.valkey.set("{default}:open", 1)


@paths
def test_the_last_event_waits_for_the_settlement(rig: Rig, path: str) -> None:
    """What came before has long left; a whole answer leaves settled, and tells its cost."""
    client = ask(rig, path, client=Client(rig=rig))
    assert client.status == 200
    assert client.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert LAST[path] in client.chunks[-1]
    assert (client.settled_at_chunk[0], client.settled_at_chunk[-1]) == (0, 1)
    assert booked(rig) == ("ok", 9, 2, False)
    whole = ask(rig, path, stream=False, client=Client(rig=rig))
    assert whole.settled_at_chunk == [2]
    assert whole.headers["x-nexus-cost-usd"] == "0.0000425"


@paths
def test_a_cut_stream_is_charged_for_what_was_heard(rig: Rig, path: str) -> None:
    """The client gets an error event and never the last one."""
    rig.upstream.script = [events(chunk("Hi"), chunk(" there"))]
    client = ask(rig, path)
    assert client.body.split(b"\n\n")[-2].startswith(FAILED[path])
    assert LAST[path] not in client.body
    assert booked(rig) == ("upstream_error", booked(rig)[1], 2, True)


@paths
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_another_provider_steps_in(rig: Rig, path: str, stream: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Before the first word, as in any dialect; after it, nothing is repeated."""
    rig.upstream.script = [status("503 Service Unavailable")]
    client = ask(rig, path, stream=stream, fields={"model": "both"})
    assert (client.status, client.headers["x-nexus-provider"]) == (200, "second")
    assert [request.json["model"] for request in rig.upstream.requests] == ["one", "two"]


@paths
def test_a_page_instead_of_an_answer_is_an_error(rig: Rig, path: str) -> None:
    """In the shape that the client's SDK reads, with the status of a bad gateway."""
    rig.upstream.script = [status("200 OK", b"<html>", kind="text/html")] * 3
    client = ask(rig, path)
    assert client.status == 502
    assert (client.json["error"]["type"], client.json["error"]["code"]) == ("api_error", "upstream_error")


@pytest.mark.usefixtures("_open")
@paths
def test_a_budget_bounds_the_answer(rig: Rig, path: str) -> None:
    """The provider is asked for no longer an answer than was granted, and no more is held than that may cost."""
    rig.aws.item = item(budget={"total_nano": NANO})
    client = ask(rig, path, fields={"max_output_tokens" if path == RESPONSES else "max_tokens": 50})
    assert client.status == 200
    asked = rig.upstream.requests[-1].json
    assert asked["max_tokens"] == 50
    assert int(rig.valkey.hget(f"{{default}}:spend:key:{KEY}", "c:t")) == 9 * 2500 + 2 * 10_000


@pytest.mark.usefixtures("_open")
@pytest.mark.parametrize(("path", "fields"), BEYOND_PRICE.values(), ids=BEYOND_PRICE)
def test_what_has_no_price_bound_is_refused_where_a_budget_applies(rig: Rig, path: str, fields: dict[str, Any]) -> None:
    """And served where none does."""
    assert ask(rig, path, fields=fields).status == 200
    rig.aws.item = item(budget={"total_nano": NANO})
    rig.valkey.flushall()
    rig.valkey.set("{default}:open", 1)
    client = ask(rig, path, fields=fields)
    assert (client.status, client.json["error"]["code"]) == (400, "unpriced_model")


@pytest.mark.usefixtures("_open")
def test_images_are_held_for(rig: Rig) -> None:
    """A message's image counts as one of a chat does, wherever it stands: a small budget does not suffice."""
    rig.aws.item = item(budget={"total_nano": NANO // 10})
    picture = {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}
    shown = {"messages": [{"role": "user", "content": [picture]}]}
    assert ask(rig, MESSAGES).status == 200
    client = ask(rig, MESSAGES, fields=shown)
    assert (client.status, client.json["error"]["type"]) == (429, "billing_error")


def test_what_nobody_can_serve_asks_nobody(rig: Rig) -> None:
    """A tool of Anthropic's, and a provider that speaks OpenAI's dialect."""
    client = ask(rig, MESSAGES, fields={"tools": [{"type": "web_search_20250305", "name": "web_search"}]})
    assert (client.status, client.json["error"]["param"]) == (400, "tools")
    assert (rig.upstream.requests, rig.usage()) == ([], [])


def test_tokens_are_counted_by_nobody_else(rig: Rig) -> None:
    """No provider is asked, nothing is charged."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
    client = rig.call("POST", "/v1/messages/count_tokens", body)
    assert client.json["input_tokens"] > 0
    assert rig.upstream.requests == []
    assert client.headers["request-id"] == client.headers["x-request-id"]
    refused = rig.call("POST", "/v1/messages/count_tokens", {**body, "model": "nobody"})
    assert (refused.status, refused.json["error"]["type"]) == (404, "not_found_error")


def test_a_text_tells_what_is_booked_for_it(rig: Rig) -> None:
    """The bill in the answer is the one in the books, streamed or whole."""
    whole = ask(rig, GENERATE, stream=False)
    assert (whole.json["text"], whole.json["provider"], whole.json["cost_usd"]) == ("Hi there", "openai", "0.0000425")
    told = ask(rig, GENERATE).events[-2]
    assert (told["cost_usd"], told["usage"]["total_tokens"]) == ("0.0000425", 11)
    assert [use["cost"] for use in rig.usage()] == ["42500", "42500"]


VERDICTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "/v1/moderations": (
        {"model": "org/judge", "input": "x"},
        {"id": "m", "results": [{"flagged": False, "categories": {}, "category_scores": {}}]},
    ),
    "/v1/rerank": (
        {"model": "org/rank", "query": "q", "documents": ["a"]},
        {"results": [{"index": 0, "relevance_score": 0.5}], "usage": {"prompt_tokens": 5, "total_tokens": 5}},
    ),
}


@pytest.mark.parametrize("path", VERDICTS)
def test_verdicts_are_passed_on_and_booked(rig: Rig, path: str) -> None:
    """Under the name that the provider has for the model; a wrong one is an error, and asked for again elsewhere."""
    asked, answer = VERDICTS[path]
    rig.upstream.script = [status("200 OK", json.dumps(answer).encode())]
    client = rig.call("POST", path, asked)
    assert (client.status, client.json["results"]) == (200, answer["results"])
    assert rig.upstream.requests[-1].path == path
    assert rig.upstream.requests[-1].json == {**asked, "model": "verdict-1"}
    assert booked(rig)[0] == "ok"
    rig.upstream.script = [status("200 OK", b'{"results": []}')] * 3
    assert rig.call("POST", path, asked).json["error"]["code"] == "upstream_error"
    refused = rig.call("POST", path, {**asked, "model": "gpt-4o"})
    assert (refused.status, refused.json["error"]["param"]) == (400, "model")


def test_a_message_goes_to_claude_as_it_came(rig: Rig) -> None:
    """What no other dialect can say is said; the provider's own events and words reach the client, and the books."""
    rig.upstream.default = claude
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    for stream in (True, False):
        client = ask(
            rig,
            MESSAGES,
            stream=stream,
            client=Client(rig=rig),
            fields={"model": "claude", "tools": tools, "max_tokens": 50},
        )
        assert client.status == 200
        assert said(client) == "Hi there"
        assert rig.upstream.requests[-1].json["tools"] == tools
        assert rig.upstream.requests[-1].json["model"] == "claude-1"
        assert client.settled_at_chunk[-1] == (1 if stream else 2)
    assert [(use["prompt"], use["completion"]) for use in rig.usage()] == [("100", "20")] * 2


@pytest.mark.parametrize("path", [RESPONSES, GENERATE])
def test_claude_answers_in_any_dialect(rig: Rig, path: str) -> None:
    """Translated both ways."""
    rig.upstream.default = claude
    for stream in (True, False):
        client = ask(rig, path, stream=stream, fields={"model": "claude"})
        assert (client.status, said(client)) == (200, "Hi there")
