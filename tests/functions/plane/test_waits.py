"""Targets that want us to wait, each for itself: what one says is no matter of another, and none is hurried."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.functions.plane.acts import status
from tests.functions.plane.rig import well

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functions.plane.rig import Rig
    from tests.functions.plane.upstream import Request, Wire

    Act = Callable[[Wire, Request], None]

HOUR = status("429 Too Many Requests", **{"retry-after": "3600"})
BRIEF = status("429 Too Many Requests", **{"retry-after": "1.5"})
CENTURY = status(
    "503 Service Unavailable",
    **{"date": "Wed, 21 Oct 2026 07:28:00 GMT", "retry-after": "Wed, 21 Oct 2126 07:28:00 GMT" + " (x)" * 10_000},
)
DOWN = status("503 Service Unavailable")


def in_turn(**acts: list[Act]) -> Act:
    """Do the next of what is said for the provider's model; behave when nothing is left."""

    def act(wire: Wire, request: Request) -> None:
        left = acts[request.json["model"]]
        (left.pop(0) if left else well)(wire, request)

    return act


def asked(rig: Rig) -> list[str]:
    """The models that the provider was asked for."""
    return [request.json["model"] for request in rig.upstream.requests]


@pytest.mark.parametrize("long", [HOUR, CENTURY], ids=["an hour", "a century"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_one_that_wants_to_be_left_alone_is_not_asked_again(rig: Rig, long: Act, stream: bool) -> None:  # noqa: FBT001
    """The other one has the last try, though it has failed as well."""
    rig.upstream.default = in_turn(one=[long], two=[DOWN])
    client = rig.chat(model="both", stream=stream)
    assert (client.status, client.headers["x-nexus-provider"]) == (200, "second")
    assert asked(rig) == ["one", "two", "two"]


@pytest.mark.parametrize("long", [HOUR, CENTURY], ids=["an hour", "a century"])
def test_the_wait_of_one_is_not_that_of_another(rig: Rig, long: Act) -> None:
    """The first one, which has said nothing of a wait, is asked again, after no more than the usual pause."""
    rig.upstream.default = in_turn(one=[DOWN], two=[long])
    client = rig.chat(model="both")
    assert (client.status, client.text, asked(rig)) == (200, "Hi there", ["one", "two", "one"])
    [pause] = rig.pauses
    assert 0 <= pause <= 1


def test_a_short_wait_is_kept(rig: Rig) -> None:
    """By the one that said so, counted from when it did."""
    rig.upstream.default = in_turn(one=[BRIEF], two=[DOWN])
    assert rig.chat(model="both").status == 200
    [pause] = rig.pauses
    assert (asked(rig), pause <= 1.5) == (["one", "two", "one"], True)
    rig.upstream.requests.clear()
    rig.pauses.clear()
    rig.upstream.default = in_turn(**{"gpt-4o-2024": [BRIEF]})
    assert rig.chat().status == 200
    assert 1 < rig.pauses[0] <= 1.5


def test_when_all_want_an_hour_the_client_learns_it(rig: Rig) -> None:
    """Each is asked once, and nothing is waited for; a limit of ours there is no failure of theirs."""
    rig.upstream.default = HOUR
    client = rig.chat(model="both", stream=False)
    assert (client.status, client.headers["retry-after"], asked(rig), rig.pauses) == (429, "3600", ["one", "two"], [])
    assert not rig.valkey.hget("{default}:target:openai:one", "fails")


def test_one_that_always_limits_us_hides_nobody(rig: Rig) -> None:
    """Each request is served by the other one, with two tries and no pause."""
    rig.upstream.default = in_turn(one=[HOUR] * 5, two=[])
    for _ in range(5):
        assert rig.chat(model="both").headers["x-nexus-provider"] == "second"
    assert (asked(rig), rig.pauses) == (["one", "two"] * 5, [])


def test_a_dialect_that_cannot_say_it_costs_no_try(rig: Rig) -> None:
    """Nobody was asked: whoever comes last can still serve, and has all its tries."""
    rig.upstream.default = in_turn(**{"gpt-4o-2024": [DOWN, DOWN]})
    client = rig.chat(model="mute", stream=False, fields={"logit_bias": {"5": 1}})
    assert (client.status, client.headers["x-nexus-model"]) == (200, "gpt-4o")
    assert asked(rig) == ["gpt-4o-2024"] * 3
    assert rig.lines[-1]["tries"] == 3


def test_a_spare_that_cannot_serve_is_the_one_that_is_left_out(rig: Rig) -> None:
    """Not the one beside which it was asked: that is asked again."""

    def late(wire: Wire, _request: Request) -> None:
        wire.pause(0.6)
        wire.close()

    rig.upstream.default = in_turn(one=[late], two=[HOUR])
    client = rig.chat(model="hedged")
    assert (client.status, client.headers["x-nexus-provider"]) == (200, "openai")
    assert asked(rig) == ["one", "two", "one"]
