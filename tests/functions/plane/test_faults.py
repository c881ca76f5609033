"""The fault matrix: whatever a provider does, to whichever client, it ends in time, honestly, and holds nothing.

A fault hits every try. Its cell has the right status in the client's own language, or a stream that says that it broke;
the slot is free, the money that was held is given back or charged, one settlement keeps the usage, and the breaker has
counted what is the provider's doing. `tests/e2e/test_silent_damage.py` has the official SDKs look at more of them.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from shared.core.pricing import NANO
from tests.functions.conftest import eventually
from tests.functions.plane.faults import BEFORE, ODD, SECRET, TRIES, WHILE, refused
from tests.functions.plane.languages import LANGUAGES, VECTORS, ask, kind, said
from tests.functions.plane.rig import item

if TYPE_CHECKING:
    from tests.functions.plane.languages import Language
    from tests.functions.plane.rig import Client, Rig

LONGEST = 20.0  # seconds on a slow machine, for three tries that are told to wait much less
CODES = {429: "rate_limit_exceeded", 502: "upstream_error", 503: "upstream_unavailable", 504: "upstream_timeout"}
MODELS = (("gpt-4o", "hasty", "gpt-4o-2024"), ("org/embed", "org/hasty", "text-embedding-3-small"))
WAYS = [(name, stream) for name in LANGUAGES for stream in (False, True)]

each_way = pytest.mark.parametrize(("name", "stream"), WAYS, ids=[f"{name}{'-streamed' * on}" for name, on in WAYS])
each_language = pytest.mark.parametrize("name", LANGUAGES)


@pytest.fixture
def frail(rig: Rig) -> Rig:
    """The rig with a key that has a budget, so that money is held."""
    rig.valkey.set("{default}:open", 1)
    rig.aws.item = item(budget={"total_nano": NANO})
    return rig


def settled(rig: Rig) -> dict[str, str]:
    """Return the one settlement: nothing is held any more, and nothing tells our key."""
    use = rig.settled()
    assert SECRET not in json.dumps([rig.lines, use])
    return use


def fails(rig: Rig, model: str = "gpt-4o-2024") -> int:
    """How many failures the breaker has counted."""
    return int(rig.valkey.hget(f"{{default}}:target:openai:{model}", "fails") or 0)


def in_its_own_words(client: Client, language: Language, status: int) -> None:
    """Hold an error that is the whole answer to what SDKs read."""
    error = client.json["error"]
    assert (client.status, error["type"]) == (status, kind(language, status))
    assert {"message", "code", "param"} <= error.keys()
    assert error["code"] == CODES.get(status, error["code"])
    assert client.headers["content-type"] == "application/json"
    assert client.headers["x-request-id"]
    assert SECRET.encode() not in client.body


def failed(rig: Rig, language: Language, fault: str, *, stream: bool) -> None:
    """Hold one cell of the matrix to everything."""
    found = BEFORE[fault]
    rig.upstream.default = found.act
    patient, hasty, target = MODELS[language is VECTORS]
    began = time.monotonic()
    client = ask(rig, language, hasty if found.hangs else patient, stream=stream)
    assert time.monotonic() - began < LONGEST
    in_its_own_words(client, language, found.status)
    use = settled(rig)
    assert use["outcome"] == rig.lines[-1]["outcome"] == CODES.get(found.status, "upstream_refused")
    assert (int(use["cost"]) > 0) is found.billed
    eventually(lambda: len(rig.upstream.requests) >= found.asked)  # a busy machine reads late what was given up soon
    assert (fails(rig, target), len(rig.upstream.requests)) == (found.fails, found.asked)
    ours = (found.fails, found.asked) == (1, 1)  # no client can do anything about it
    assert client.headers.get("x-should-retry") == ("false" if ours else None)
    assert {request.path for request in rig.upstream.requests} <= {"/v1/chat/completions", "/v1/embeddings"}


@each_way
@pytest.mark.parametrize("fault", BEFORE)
def test_a_fault_before_the_first_byte(frail: Rig, fault: str, name: str, stream: bool) -> None:  # noqa: FBT001
    """A status of its own, in bounded time; nothing of ours in the message; tried and counted as it should be."""
    failed(frail, LANGUAGES[name], fault, stream=stream)


@pytest.mark.parametrize("fault", BEFORE)
def test_a_fault_instead_of_vectors(frail: Rig, fault: str) -> None:
    """The same."""
    failed(frail, VECTORS, fault, stream=False)


@each_language
@pytest.mark.parametrize("fault", WHILE)
def test_a_fault_behind_the_first_byte(frail: Rig, fault: str, name: str) -> None:
    """What was heard has left and is kept; an error event ends it; nothing is tried again; it counts once."""
    frail.upstream.default = WHILE[fault]
    began = time.monotonic()
    client = ask(frail, LANGUAGES[name], "frail", stream=True)
    assert time.monotonic() - began < LONGEST
    assert (client.status, said(client)) == (200, "Hi")
    *_, last, nothing = client.body.split(b"\n\n")
    assert last.startswith(LANGUAGES[name].failed)
    assert nothing == b""
    assert LANGUAGES[name].last not in client.body
    code = "upstream_timeout" if fault == "a hang" else "upstream_error"
    assert json.loads(last.partition(b"data: ")[2])["error"]["code"] == code
    assert SECRET.encode() not in client.body
    use = settled(frail)
    assert (use["outcome"], use["estimated"]) == (code, "1")
    assert (int(use["completion"]) > 0, int(use["cost"]) > 0) == (True, True)
    assert (fails(frail), len(frail.upstream.requests)) == (1, 1)


@each_language
@pytest.mark.parametrize("oddity", ODD)
def test_an_odd_stream_is_a_good_one(frail: Rig, oddity: str, name: str) -> None:
    """All of it is there, so all of it arrives, at once, with its end; it counts as no failure, and costs something."""
    frail.upstream.default = ODD[oddity]
    began = time.monotonic()
    client = ask(frail, LANGUAGES[name], "gpt-4o", stream=True)
    assert time.monotonic() - began < LONGEST
    assert (client.status, said(client)) == (200, "Hi there ☃")
    assert client.body.count(LANGUAGES[name].last) == 1
    use = settled(frail)
    assert (use["outcome"], use["estimated"]) == ("ok", str(int("usage" in oddity)))
    assert 0 < int(use["cost"]) < NANO // 100
    assert (fails(frail), len(frail.upstream.requests)) == (0, 1)


@pytest.mark.parametrize("times", [1, TRIES - 1])
@each_way
def test_a_flaky_provider_is_forgiven(frail: Rig, name: str, stream: bool, times: int) -> None:  # noqa: FBT001
    """What fails once or twice and then answers is an answer, and no failure is remembered."""
    frail.upstream.script = [refused("500 Internal Server Error", 502).act] * times
    client = ask(frail, LANGUAGES[name], "gpt-4o", stream=stream)
    assert client.status == 200
    assert b"Hi" in client.body
    assert (settled(frail)["outcome"], len(frail.upstream.requests), fails(frail)) == ("ok", times + 1, 0)
