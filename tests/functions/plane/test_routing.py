"""Aliases, fallbacks and time limits of single targets, through the whole way of a request."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.functions.plane.languages import LANGUAGES
from tests.functions.plane.rig import item

if TYPE_CHECKING:
    from tests.functions.plane.rig import Rig
    from tests.functions.plane.upstream import Request, Wire

TOOLS = {"tools": [{"type": "function", "function": {"name": "f"}}]}


def asked(rig: Rig) -> list[str]:
    """The models that the provider was asked for, by its own names."""
    return [request.json["model"] for request in rig.upstream.requests]


def hang(wire: Wire, _request: Request) -> None:
    """Take the request, and say nothing."""
    wire.hang()


def drip(wire: Wire, _request: Request) -> None:
    """Begin to answer, byte by byte, without an end."""
    wire.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n")
    for _ in range(600):
        wire.send(b" ")
        wire.pause(0.05)


def test_an_alias_is_served_by_what_it_stands_for(rig: Rig) -> None:
    """The header names the model that answered; the books have that, and what was asked for."""
    client = rig.chat(model="fast", stream=False)

    assert client.status == 200
    assert (client.headers["x-nexus-model"], asked(rig)) == ("short", ["short"])
    [use] = rig.usage()
    assert (use["alias"], use["models"]) == ("fast", "0 1 9 2 0 short")
    assert (rig.lines[-1]["model"], rig.lines[-1]["served"]) == ("fast", "short")


@pytest.mark.parametrize("fields", [TOOLS, {"logprobs": True}, {"n": 2}, {"presence_penalty": 1}], ids=str)
def test_a_model_that_cannot_is_passed_over(rig: Rig, fields: dict[str, object]) -> None:
    """`short` has no tools and no more, so the other member serves."""
    client = rig.chat(model="fast", stream=False, fields=fields)
    assert (client.status, asked(rig)) == (200, ["one"])


@pytest.mark.parametrize(("fields", "field"), [(TOOLS, "tools"), ({"max_tokens": 6}, "max_tokens")], ids=str)
def test_what_nobody_can_do_is_refused_before_it_counts(rig: Rig, fields: dict[str, object], field: str) -> None:
    """A 400 that names the field; nothing was asked, nothing booked."""
    client = rig.chat(model="short", stream=False, fields=fields)
    assert (client.status, client.json["error"]["param"]) == (400, field)
    assert (rig.upstream.requests, rig.usage()) == ([], [])


@pytest.mark.parametrize(
    ("name", "fields", "field"),
    [
        ("chat", {"logprobs": True}, "logprobs"),
        ("chat", {"n": 2}, "n"),
        ("chat", {"frequency_penalty": 0.5}, "frequency_penalty"),
        ("completions", {"logprobs": 1}, "logprobs"),
        ("completions", {"n": 2}, "n"),
        ("responses", {"include": ["message.output_text.logprobs"]}, "top_logprobs"),
    ],
    ids=str,
)
def test_a_refusal_names_the_clients_own_field(rig: Rig, name: str, fields: dict[str, object], field: str) -> None:
    """In each language, and says what to do; nothing was asked, nothing booked."""
    language = LANGUAGES[name]
    client = rig.call("POST", language.path, {"model": "short", **language.fields, **fields})
    error = client.json["error"]
    assert (client.status, error["param"], error["code"]) == (400, field, "unsupported_parameter")
    assert f"'{field}'" in error["message"]
    assert (rig.upstream.requests, rig.usage()) == ([], [])


def test_aliases_are_listed(rig: Rig) -> None:
    """Beside the models, and one by one."""
    listed = [model["id"] for model in rig.call("GET", "/v1/models").json["data"]]
    assert {"gpt-4o", "fast"} <= set(listed)
    assert rig.call("GET", "/v1/models/{id+}", pathParameters={"id": "fast"}).json["owned_by"] == "us"


@pytest.mark.parametrize(
    ("stream", "act"), [(True, hang), (False, hang), (False, drip)], ids=["stream", "whole", "drip"]
)
def test_a_target_that_hangs_costs_its_own_time_only(rig: Rig, stream: bool, act: object) -> None:  # noqa: FBT001
    """A stream must begin, and a whole answer end, within the target's limits: then its fallback serves."""
    rig.upstream.script = [act]  # type: ignore[list-item]
    began = time.monotonic()

    client = rig.chat(model="patchy", stream=stream)

    assert (client.status, client.headers["x-nexus-model"]) == (200, "gpt-4o")
    assert asked(rig) == ["one", "gpt-4o-2024"]
    assert time.monotonic() - began < 10  # of the 30 that the invocation has
    assert rig.lines[-1]["tries"] == 2


def test_a_key_of_one_model_stays_with_it(rig: Rig) -> None:
    """Its fallback is no way around what the key may use."""
    rig.upstream.default = lambda wire, _request: wire.answer(b"{}", "503 Service Unavailable")
    rig.aws.item = item(models=["patchy"])
    client = rig.chat(model="patchy", stream=False, identity={"models": "patchy"})
    assert client.status == 503
    assert set(asked(rig)) == {"one"}
