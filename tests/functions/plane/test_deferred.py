"""SageMaker's asynchronous endpoints on the whole way of a request: answers, streams, failures, time, money."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from shared.core.catalog import FILE, Model, Provider, Serving, Storage, Target, Timeouts, decode
from shared.core.pricing import Price, Rates
from tests.fakes.sagemaker import FAILURE, INPUT, OUTPUT, SageMaker
from tests.functions.plane.rig import ANSWER, VECTORS, Context, built
from tests.functions.plane.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.functions.plane.rig import Rig

COST = 9 * 1000 + 2 * 2000  # nano-dollars
SHORT = Timeouts(2, 2, 1.4)


def compute(asked: dict[str, Any]) -> bytes:
    """Answer as a container would, and never with a stream."""
    assert not asked.get("stream")
    return json.dumps(VECTORS if "input" in asked else ANSWER).encode()


@pytest.fixture
def sagemaker(rig: Rig) -> Iterator[SageMaker]:
    """An endpoint in the rig's catalog, whose signatures are checked; nothing may stay in its storage."""
    made = SageMaker(compute=compute)
    server = Upstream(made.answer)
    path = Path(rig.environment["LAMBDA_TASK_ROOT"], FILE)
    known = decode(path.read_bytes())
    later = Provider("later", "sagemaker-async", server.url, storage=Storage(INPUT, OUTPUT, FAILURE, server.url))
    own = Target("later", "mine/llama")
    models = {
        "slow": Model("slow", "chat", (own,), "us", serving=Serving(hedge=0.01)),
        "late": Model("late", "chat", (Target("later", "mine", timeouts=SHORT),), "us"),
        "both-ways": Model("both-ways", "chat", (own, Target("openai", "gpt-4o-2024")), "us"),
        "org/slow": Model("org/slow", "embedding", (own,), "us"),
    }
    changed = msgspec.structs.replace(
        known,
        providers={**known.providers, "later": later},
        models={**known.models, **models},
        prices={**known.prices, "later": {"*": Price(Rates(1_000_000_000, 1_000_000_000, 2_000_000_000))}},
    )
    path.write_bytes(msgspec.json.encode(changed))
    rig.gateway = built(rig.environment)._replace(telemetry=rig.gateway.telemetry, pause=rig.gateway.pause)
    yield made
    server.stop()
    assert made.faults == []
    assert made.objects == {}


def test_whole_answers_streams_and_vectors(rig: Rig, sagemaker: SageMaker) -> None:
    """Each is charged for what it took; a hedge is no matter here."""
    assert rig.chat(model="slow", stream=False).json["choices"][0]["message"]["content"] == "Hi there"
    assert rig.chat(model="slow").text == "Hi there"
    vectors = rig.call("POST", "/v1/embeddings", {"model": "org/slow", "input": "x", "encoding_format": "float"})
    assert vectors.json["data"][0]["embedding"] == [0.5, -0.25]
    assert [int(use["cost"]) for use in rig.usage()] == [COST, COST, 3 * 1000]
    assert len(sagemaker.invocations) == 3


def test_a_failure_is_the_next_targets_chance(rig: Rig, sagemaker: SageMaker) -> None:
    """It costs nothing and counts against the endpoint; without another target the client is told, without secrets."""
    sagemaker.compute, sagemaker.failure = None, b"Received server error (500): bearer abcdef"
    assert rig.chat(model="both-ways").headers["x-nexus-provider"] == "openai"
    client = rig.chat(model="slow", stream=False)
    assert client.status == 502
    assert "Received server error (500)" in client.json["error"]["message"]
    assert "abcdef" not in client.body.decode()
    assert int(rig.usage()[-1]["cost"]) == 0


def test_a_stream_without_a_word_costs_all_that_was_held(rig: Rig, sagemaker: SageMaker) -> None:
    """It only looks like one: the whole was computed before its first byte came, whatever became of it."""
    sagemaker.compute = lambda _asked: b'{"choices": []}'
    assert rig.chat(model="slow", fields={"max_tokens": 100}).status == 502
    [use] = rig.usage()
    assert int(use["cost"]) == len(sagemaker.invocations) * int(use["held"])  # without a budget nothing is added to it
    assert int(use["held"]) > 100 * 2000


def test_what_comes_too_late_is_a_timeout(rig: Rig, sagemaker: SageMaker) -> None:
    """In bounded time, charged as what may have been computed; nothing is left for the endpoint to compute."""
    sagemaker.compute = None
    client = rig.chat(model="late", context=Context(5))
    assert (client.status, client.json["error"]["code"]) == (504, "upstream_timeout")
    assert rig.leases() == 0


def test_a_refusal_of_the_storage_asks_nobody(rig: Rig, sagemaker: SageMaker) -> None:
    """So it is not charged; another target serves."""
    sagemaker.credentials = ("a", "other", None)
    assert rig.chat(model="both-ways").headers["x-nexus-provider"] == "openai"
    client = rig.chat(model="slow")
    assert client.status == 503
    assert "SignatureDoesNotMatch" in client.json["error"]["message"]
    assert int(rig.usage()[-1]["cost"]) == 0
    assert sagemaker.invocations == []
    sagemaker.faults.clear()
