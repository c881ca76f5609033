"""What a client may send, and what it gets for it: always an answer, and one of the promised shape."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gpu_service.client import MODEL, Client, Heard

if TYPE_CHECKING:
    from gpu_service.engine import Engine

GOOD = {"model": MODEL, "input": "hello world"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def ask(engine: Engine, method: str, path: str, body: object = b"", **given: Any) -> Heard:
    """One request to an application of its own."""
    headers = given.pop("headers", None)
    stalls = given.pop("stalls", False)

    async def situation() -> Heard:
        async with Client(lambda: engine, **given) as client:
            await client.ready()
            return await client.ask(method, path, body, headers, stalls=stalls)

    return asyncio.run(situation())


def embed(engine: Engine, body: object, **given: Any) -> Heard:
    """One request for vectors."""
    return ask(engine, "POST", "/v1/embeddings", body, **given)


def test_floats_and_base64_are_the_same_vector(engine: Engine) -> None:
    """Base64 holds little-endian float32; the floats in JSON are read back as the same ones, and are no longer."""
    floats = embed(engine, GOOD).json["data"][0]["embedding"]
    encoded = embed(engine, GOOD | {"encoding_format": "base64"}).json["data"][0]["embedding"]

    vector = np.frombuffer(base64.b64decode(encoded, validate=True), "<f4")
    assert np.array_equal(vector, np.array(floats, np.float32))
    assert len(floats) == 384
    assert max(len(str(number)) for number in floats) <= len("-0.00012345679")


def test_the_answer_has_the_shape_of_openai(engine: Engine) -> None:
    """Object, index in the order of the inputs, model, usage in tokens with the special ones; phases in headers."""
    heard = embed(
        engine, {"model": f"sentence-transformers/{MODEL}", "input": ["hello world", "a much longer text", "b"]}
    )

    answer = heard.json
    assert (answer["object"], answer["model"]) == ("list", MODEL)
    assert [(one["object"], one["index"]) for one in answer["data"]] == [("embedding", index) for index in range(3)]
    assert answer["usage"] == {"prompt_tokens": 13, "total_tokens": 13}
    assert all(float(heard.headers[f"x-{phase}-ms"]) >= 0 for phase in ("queue", "tokenize", "inference"))
    expected = engine.embed(["hello world", "a much longer text", "b"]).vectors
    assert np.allclose([one["embedding"] for one in answer["data"]], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("input_", "rows"),
    [("hello world", 1), (["hello world"], 1), ([7592, 2088], 1), ([[7592, 2088]], 1), (["hello world"] * 2048, 2048)],
    ids=["text", "texts", "tokens", "arrays of tokens", "as many as may be"],
)
def test_every_shape_of_input_is_read(input_: object, rows: int, engine: Engine) -> None:
    """A text, texts, token ids and arrays of them give the one vector."""
    data = embed(engine, {"model": MODEL, "input": input_}).json["data"]

    assert len(data) == rows
    assert np.allclose([one["embedding"] for one in data], engine.embed(["hello world"]).vectors, atol=1e-6)


def test_invocations_is_the_same(engine: Engine) -> None:
    """SageMaker's path answers what OpenAI's does."""
    assert ask(engine, "POST", "/invocations", GOOD).json == embed(engine, GOOD).json


def test_invocations_takes_whatever_number_json_has(engine: Engine) -> None:
    """A model's name is put into the body, and a number of thirty digits beside it stays what it is."""
    body = b'{"input": "hello world", "metadata": {"number": 123456789012345678901234567890}}'

    assert ask(engine, "POST", "/invocations", body).json == embed(engine, GOOD).json


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": ""}, "input[0]"),
        ({"input": []}, "input"),
        ({"input": [[]]}, "input[0]"),
        ({"input": ["a", 1]}, "input[1]"),
        ({"input": ["a", ["b"]]}, "input[1]"),
        ({"input": [True]}, "input[0]"),
        ({"input": [-1]}, "input[0]"),
        ({"input": [[1], [30_522]]}, "input[1]"),
        ({"input": {"a": 1}}, "input"),
        ({"input": None}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"model": 3}, "model"),
        ({"dimensions": 256}, "dimensions"),
        ({"dimensions": "384"}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], param: str, engine: Engine) -> None:
    """400, and `param` is the field."""
    heard = embed(engine, GOOD | change)

    assert (heard.status, heard.json["error"]["param"]) == (400, param)


def test_the_own_number_of_dimensions_may_be_asked_for(engine: Engine) -> None:
    """384 is what there is."""
    assert embed(engine, GOOD | {"dimensions": 384}).status == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"null", 400),
        (b"\xff\xfe{\x00}\x00", 400),
        (b'{"model":"all-MiniLM-L6-v2","input":NaN}', 400),
        (b'{"model":"all-MiniLM-L6-v2","input":[1e999]}', 400),
        (b'{"model":"all-MiniLM-L6-v2","input":[' + b"9" * 5000 + b"]}", 400),
        (b'{"model":"all-MiniLM-L6-v2","input":"\\ud83d"}', 400),
        (b'{"model":"all-MiniLM-L6-v2","input":"\\u0000"}', 200),
        (b'{"input":' + b"[" * 100_000, 400),
        (b'{"input":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
        (json.dumps(GOOD | {"input": "x" * 7_000_000}).encode(), 413),
    ],
    ids=range(13),
)
def test_a_broken_body_gets_an_envelope(body: bytes, status: int, engine: Engine) -> None:
    """Whatever the bytes: the promised status, all four fields of the error, one response."""
    heard = embed(engine, body)

    assert (heard.status, heard.starts) == (status, 1)
    assert status == 200 or heard.json["error"].keys() == {"type", "message", "code", "param"}


@given(
    body=st.binary(max_size=40)
    | JSON.map(lambda value: json.dumps(value).encode())
    | JSON.map(lambda value: json.dumps({"model": MODEL, "input": value}).encode())
)
@settings(max_examples=150, deadline=None)
def test_no_body_is_too_much(body: bytes, engine: Engine) -> None:
    """Any bytes and any JSON: a 200, or a 400 with all four fields."""
    heard = embed(engine, body)

    assert heard.starts == 1
    assert heard.status == 200 or (heard.status == 400 and len(heard.json["error"]) == 4)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "unknown_url"),
        ("GET", "/v1/embeddings/", 404, "unknown_url"),
        ("GET", "/v1/embeddings", 405, "method_not_allowed"),
        ("POST", "/ping", 405, "method_not_allowed"),
        ("TRACE", "/v1/models", 405, "method_not_allowed"),
    ],
)
def test_other_paths_and_methods_get_an_envelope(
    method: str, path: str, status: int, code: str, engine: Engine
) -> None:
    """404 and 405 look like every other error."""
    heard = ask(engine, method, path)

    assert (heard.status, heard.json["error"]["code"]) == (status, code)
    assert ("allow" in heard.headers) == (status == 405)


def test_an_unknown_model_is_not_found(engine: Engine) -> None:
    """404 with the name, and with the name of what is served."""
    heard = embed(engine, GOOD | {"model": "text-embedding-3-small"})

    assert (heard.status, heard.json["error"]["code"], heard.json["error"]["param"]) == (
        404,
        "model_not_found",
        "model",
    )
    assert MODEL in heard.json["error"]["message"]


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer right", 200),
        ("bearer  right", 200),
        ("Bearer wrong", 401),
        ("Bearer right and more", 401),
        ("Bearer ", 401),
        ("Basic right", 401),
        ("right", 401),
        ("Bearer r\u00efght", 401),
        (None, 401),
    ],
)
def test_the_token_is_asked_for(authorization: str | None, status: int, engine: Engine) -> None:
    """With GPU_SERVICE_TOKEN set only this very bearer token opens the service."""
    headers = {} if authorization is None else {"authorization": authorization}

    assert embed(engine, GOOD, token="right", headers=headers).status == status


def test_probes_need_no_token_and_nothing_else_is_told_without_one(engine: Engine) -> None:
    """Platforms probe without a token; the list of models and unknown paths are behind it."""
    paths = ("/ping", "/health", "/health/live", "/health/ready", "/v1/models", "/nowhere")

    assert [ask(engine, "GET", path, token="t").status for path in paths] == [200, 200, 200, 200, 401, 401]


@pytest.mark.parametrize(("given_id", "kept"), [("abc-1.2_3", True), ("a" * 129, False), ("a b", False), ("", False)])
def test_a_request_id_is_kept_if_it_is_harmless(given_id: str, *, kept: bool, engine: Engine) -> None:
    """A plain id comes back; anything else is replaced, never echoed."""
    for path in ("/ping", "/nowhere"):
        answered = ask(engine, "GET", path, headers={"x-request-id": given_id}).headers["x-request-id"]
        assert (answered == given_id) == kept
        assert 1 <= len(answered) <= 128


def test_a_body_that_never_ends_is_given_up(engine: Engine) -> None:
    """A client that stalls in its body gets a 408 and loses the connection."""
    heard = embed(engine, GOOD, stalls=True, body_seconds=0.05)

    assert (heard.status, heard.headers["connection"]) == (408, "close")


def test_the_model_is_listed(engine: Engine) -> None:
    """`/v1/models` has OpenAI's shape."""
    models = ask(engine, "GET", "/v1/models").json

    assert (models["object"], [model["id"] for model in models["data"]]) == ("list", [MODEL])


def test_the_log_tells_of_a_request_without_its_content(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON line with sizes and times, no text, no token; none when it is off."""
    body = GOOD | {"input": "a very private text"}
    embed(engine, body, access_log=True, token="t0ken", headers={"authorization": "Bearer t0ken"})
    told = capsys.readouterr().out
    embed(engine, body)

    line = json.loads(told)
    assert (line["event"], line["status"], line["rows"], line["tokens"]) == ("request", 200, 1, 6)
    assert line.keys() >= {"request_id", "queue_ms", "tokenize_ms", "inference_ms", "total_ms"}
    assert "private" not in told
    assert "t0ken" not in told
    assert capsys.readouterr().out == ""


def test_results_do_not_depend_on_who_shares_the_run(engine: Engine) -> None:
    """Forty requests of many lengths at once get the vectors that each gets alone."""
    texts = ["word " * (1 + number * 7 % 90) + str(number) for number in range(40)]

    async def situation() -> list[Heard]:
        async with Client(lambda: engine) as client:
            await client.ready()
            return await asyncio.gather(*(client.embed(text) for text in texts))

    together = [heard.json["data"][0]["embedding"] for heard in asyncio.run(situation())]
    alone = [engine.embed([text]).vectors[0] for text in texts]
    assert np.allclose(together, alone, atol=1e-6)
