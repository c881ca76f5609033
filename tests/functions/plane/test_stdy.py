"""A provider that none of us wrote says whatever the official SDKs' types allow, and judges by them what it is asked.

stdy makes the answers up: valid, and odd. Choices begin at 80, a stream never ends as it should, a vote has no votes.
The client gets an answer that its own SDK takes, strictly, or an error in its own language; and nothing stays held.
"""

from __future__ import annotations

import http.client
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from openai.types import Completion, CompletionChoice, CreateEmbeddingResponse, ModerationCreateResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.e2e.stdy import serving
from tests.functions.plane.languages import LANGUAGES, VECTORS, Language, ask
from tests.functions.plane.requests import RICH
from tests.functions.plane.rig import item
from tests.functions.plane.sdk_types import SPARSE, WAYS, document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.functions.plane.rig import Client, Rig
    from tests.functions.plane.upstream import Request, Wire


class Piece(CompletionChoice):
    """A choice in a stream, of which the SDK's one type for both does not say that it may go on."""

    finish_reason: Literal["stop", "length", "content_filter"] | None  # type: ignore[assignment]


class Pieces(Completion):
    """An event of a stream."""

    choices: list[Piece]  # type: ignore[assignment]


pytestmark = pytest.mark.xdist_group("node")
SEEDS: Final = range(3)
TOGETHER: Final = ("034512", "ba")  # streams of all kinds of events, in orders that make some sense
CUT_SHORT: Final = b"event: response.incomplete\n"
PLENTY: Final = {"total_nano": 10**12}
TAKEN: dict[str, tuple[Any, Any]] = {  # what SDKs read: whole, and an event
    "chat": (ChatCompletion, ChatCompletionChunk),
    "responses": (Response, ResponseStreamEvent),
    "messages": (Message, RawMessageStreamEvent),
    "completions": (Completion, Pieces),
    "generate": (dict[str, Any], dict[str, Any]),
    "vectors": (CreateEmbeddingResponse, None),
    "verdicts": (ModerationCreateResponse, None),
}
ASKED = LANGUAGES | {"vectors": VECTORS, "verdicts": Language("/v1/moderations", {"input": "Hello"})}
PLAIN = {(way, seed) for way in (SPARSE, "b", "c") for seed in (1, 2)}  # they have words, and no tools


class Relay:
    """Stands between the gateway and stdy, which can be told by headers only which of its answers is wanted."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.way, self.seed = WAYS[0], 0
        self.found: list[str] = []  # against what was asked

    def __call__(self, wire: Wire, request: Request) -> None:
        """Pass on one exchange."""
        if self.way in WAYS:
            kind, body = self._asked(self.way, request)
        else:
            parts = [self._asked(way, request) for way in self.way]
            kind = parts[0][0]
            body = b"".join(part.split(b"event: done")[0] for _, part in parts) + b"data: [DONE]\n\n"
        wire.answer(body, kind=kind)

    def _asked(self, way: str, request: Request) -> tuple[str, bytes]:
        wanted = {"x-steady-seed": str(self.seed), "x-steady-array-size": str(self.seed)}
        passed = {name: request.headers[name] for name in ("accept", "content-type")}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("POST", f"/{way}{request.path}", request.body, {**passed, **wanted})
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != 200 or answer.headers["x-steady-error-count"] != "0":
            self.found.append(f"{answer.headers} {request.body!r}")
        return answer.headers["content-type"], body


@pytest.fixture(scope="module")
def stdy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Return where it listens."""
    with serving(document(), tmp_path_factory.mktemp("stdy")) as port:
        yield port


@pytest.fixture
def relay(rig: Rig, stdy: int) -> Relay:
    """Return what stands before stdy, as every provider of the rig."""
    relay = Relay(stdy)
    rig.upstream.default = relay
    return relay


def fresh(rig: Rig, budget: dict[str, int]) -> None:
    """Forget everything, and let the key have a budget."""
    rig.valkey.flushall()
    rig.valkey.set("{default}:open", 1)
    rig.aws.item = item(budget=budget)
    rig.lines.clear()


@cache
def adapter(name: str, at: int) -> TypeAdapter[Any]:
    """Return what checks an answer or an event; it takes a while to make."""
    return TypeAdapter(TAKEN[name][at])


def taken(name: str, client: Client, *, stream: bool) -> bool:
    """Tell whether it is an answer; it is one that the SDK takes, or an error that it reads."""
    if client.status != 200:
        assert client.status == 502, client.body
        assert client.json["error"]["code"] == "upstream_error", client.body
        return False
    if not stream:
        adapter(name, 0).validate_json(client.body, strict=True)
        return True
    broken = ASKED[name].failed in client.body
    for data in frames(client.body):
        if not (broken and '"error"' in data):
            adapter(name, 1).validate_json(data, strict=True)
    assert broken or any(last in client.body for last in (ASKED[name].last, CUT_SHORT))
    return not broken


def frames(body: bytes) -> list[str]:
    """Return the documents of a stream."""
    found = [line.removeprefix("data: ") for line in body.decode().split("\n") if line.startswith("data: ")]
    return [data for data in found if data != "[DONE]"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", ["gpt-4o", "claude"])
@pytest.mark.parametrize("name", LANGUAGES)
def test_whatever_the_types_allow_is_an_answer_or_a_clean_error(
    rig: Rig,
    relay: Relay,
    name: str,
    model: str,
    stream: bool,  # noqa: FBT001
) -> None:
    """In every language, from both providers; and what has a plain answer in it is one."""
    for relay.way in (*WAYS, *(TOGETHER if stream else ())):
        for relay.seed in SEEDS:
            fresh(rig, PLENTY)
            answered = taken(name, ask(rig, LANGUAGES[name], model, stream=stream), stream=stream)
            assert answered or stream or (relay.way, relay.seed) not in PLAIN
            assert relay.found == []
            rig.settled()


@pytest.mark.parametrize(("name", "model"), [("vectors", "org/embed"), ("verdicts", "org/judge")])
def test_lists_are_answers_or_clean_errors_too(rig: Rig, relay: Relay, name: str, model: str) -> None:
    """One verdict is an answer; a vector is none, for the types do not say that the first is number 0."""
    for relay.way in WAYS:
        for relay.seed in SEEDS:
            fresh(rig, PLENTY if name == "vectors" else {})
            answered = taken(name, ask(rig, ASKED[name], model, stream=False), stream=False)
            assert answered == (name == "verdicts" and relay.seed == 1)
            assert relay.found == []
            rig.settled()


@pytest.mark.parametrize("model", ["gpt-4o", "claude"])
@pytest.mark.parametrize("name", RICH)
def test_what_is_asked_is_what_the_types_allow(rig: Rig, relay: Relay, name: str, model: str) -> None:
    """Tools and their results, pictures, schemas, thoughts: stdy holds all of it against the provider's own SDK."""
    relay.way, relay.seed = "sparse", 1
    for more in RICH[name]:
        fresh(rig, PLENTY)
        client = ask(rig, LANGUAGES[name]._replace(fields=LANGUAGES[name].fields | more), model, stream=False)
        assert client.status == 200, (more, client.body)
        assert relay.found == []
