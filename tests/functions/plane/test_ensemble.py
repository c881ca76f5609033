"""Ensembles over real sockets: how one answer is made, who is cut off, and that each is paid for what it used."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from shared.core import policies, shares
from tests.functions.plane.rig import KEY, chunk, item

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functions.plane.rig import Client, Rig
    from tests.functions.plane.upstream import Request, Wire

    Act = Callable[[Wire, Request], None]

PATH = "/api/ai/ensemble"
WORST = 717_500  # nano-dollars that each member may cost: 87 bytes of a prompt and 50 tokens of an answer
USAGE = {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}


def says(text: str) -> Act:
    """Stream `text` and its usage."""

    def act(wire: Wire, _request: Request) -> None:
        wire.start_events()
        usage = {**json.loads(chunk()), "choices": [], "usage": USAGE}
        for data in (chunk(text), chunk(finish="stop"), json.dumps(usage).encode(), b"[DONE]"):
            wire.event(data)
        wire.end_events()

    return act


def refuses(wire: Wire, _request: Request) -> None:
    """Answer that the request is wrong, which no further try mends."""
    wire.answer(b'{"error": {"message": "no", "code": "bad"}}', "400 Bad Request")


def fails(wire: Wire, _request: Request) -> None:
    """Be out of order."""
    wire.answer(b"{}", "503 Service Unavailable")


def hangs(wire: Wire, _request: Request) -> None:
    """Begin to answer, and say no more."""
    wire.start_events()
    wire.event(chunk("Well"))
    wire.hang()


def asked(rig: Rig, acts: list[Act], judging: Act | None = None, **fields: Any) -> Client:
    """Ask members that behave as told, in the order in which they come; models are told apart by nothing else."""
    left, lock = list(acts), threading.Lock()

    def act(wire: Wire, request: Request) -> None:
        if judging and "candidates" in request.body.decode():
            judging(wire, request)
            return
        with lock:
            one = left.pop(0)
        one(wire, request)

    rig.upstream.default = act
    body = {"query": "Is 7 prime?", "models": ["gpt-4o"] * len(acts), "max_tokens": 50, **fields}
    return rig.call("POST", PATH, body)


def statuses(client: Client) -> list[str]:
    """What became of the members, in no order."""
    return sorted(member["status"] for member in client.json["members"])


def test_most_votes_win(rig: Rig) -> None:
    """Answers that say the same count as one, and all members are told of."""
    client = asked(rig, [says("No."), says("Yes"), says("**yes**")], stop_early=False)

    assert client.status == 200, client.body
    assert client.json["answer"] in {"Yes", "**yes**"}
    assert (client.json["decided_by"], client.json["votes"]) == ("vote", 2)
    assert client.json["members"][client.json["winner"]]["answer"] == client.json["answer"]
    assert statuses(client) == ["answered"] * 3
    assert client.json["usage"]["total_tokens"] == 21
    assert client.json["cost_usd"] == "0.00012"  # 3 x (4 x 2.5 + 3 x 10) millionths
    assert rig.leases() == 0
    assert client.headers["x-ratelimit-remaining-requests"] == "597"


def test_each_member_is_booked_by_itself(rig: Rig) -> None:
    """With an id of its own that begins with the request's, once."""
    asked(rig, [says("a"), says("a"), says("a")], stop_early=False)
    booked = rig.usage()
    assert len({event["request_id"] for event in booked}) == 3
    assert {share.model for event in booked for share in shares.read(event["models"])} == {"gpt-4o"}
    assert sum(int(event["cost"]) for event in booked) == 120_000
    lines = [line for line in rig.lines if line.get("event") == "request"]
    assert sorted(line["outcome"] for line in lines) == ["ok"] * 4  # the request's own, and one for each member


def test_who_can_change_nothing_any_more_is_cut_off(rig: Rig) -> None:
    """And settled for what it was heard to say, at the longest prompt."""
    begun = threading.Event()

    def begins(wire: Wire, request: Request) -> None:
        begun.set()
        hangs(wire, request)

    def later(text: str) -> Act:
        def act(wire: Wire, request: Request) -> None:
            assert begun.wait(10)
            says(text)(wire, request)

        return act

    client = asked(rig, [later("7"), later("7.0"), begins])

    assert client.status == 200, client.body
    assert client.json["answer"] in {"7", "7.0"}
    assert statuses(client) == ["answered", "answered", "cancelled"]
    (loser,) = (member for member in client.json["members"] if member["status"] == "cancelled")
    assert 0 < float(loser["cost_usd"]) < 0.001
    assert len(rig.usage()) == 3
    assert rig.leases() == 0
    assert rig.valkey.hget("{default}:target:openai:gpt-4o-2024", "fails") in {None, b"0"}  # it was we who cut it


def test_a_member_that_is_cut_off_in_a_race_leaves_nobody_with_a_bad_name(rig: Rig) -> None:
    """Both that were asked for it hang until we cut them: neither has failed."""
    both = threading.Barrier(2)
    raced = threading.Event()

    def act(wire: Wire, request: Request) -> None:
        if request.json["model"] == "gpt-4o-2024":
            assert raced.wait(10)
            says("7")(wire, request)
        else:
            both.wait(10)
            raced.set()
            wire.hang()

    rig.upstream.default = act
    body = {"query": "Is 7 prime?", "models": ["gpt-4o", "gpt-4o", "hedged"], "max_tokens": 50}
    client = rig.call("POST", PATH, body)
    assert (client.status, statuses(client)) == (200, ["answered", "answered", "cancelled"])
    for target in ("openai:one", "second:two"):
        assert rig.valkey.hget(f"{{default}}:target:{target}", "fails") in {None, b"0"}
    assert (rig.leases(), len(rig.usage())) == (0, 3)


def test_a_member_that_fails_is_outvoted(rig: Rig) -> None:
    """Its failure is told in its own part; it costs nothing."""
    client = asked(rig, [refuses, says("yes"), says("yes")], stop_early=False)
    assert client.status == 200, client.body
    (failed,) = (member for member in client.json["members"] if member["status"] == "failed")
    assert failed["error"]["code"] == "bad"
    assert failed["cost_usd"] == "0"


def test_members_may_open_a_breaker(rig: Rig) -> None:
    """Their failures count together; who hears of it writes it down while the others wait for the store."""
    client = asked(rig, [fails] * 9, models=["gpt-4o"] * 3)
    assert (client.status, client.json["error"]["code"]) == (502, "quorum_missed")
    states = [line["state"] for line in rig.lines if line["event"] == "breaker.v1" and line["state"] == "open"]
    assert states == ["open"]
    assert rig.leases() == 0


def test_without_a_quorum_there_is_no_answer(rig: Rig) -> None:
    """The error tells of each member."""
    client = asked(rig, [refuses, refuses, says("yes")], stop_early=False)
    assert client.status == 502
    assert client.json["error"]["code"] == "quorum_missed"
    assert [member["status"] for member in client.json["error"]["members"]].count("failed") == 2
    assert rig.leases() == 0


def test_a_judge_chooses(rig: Rig) -> None:
    """Among those that answered, whose answers it reads as data."""
    judge = says("1")
    client = asked(rig, [says("first"), says("second")], judge, strategy="best_of", judge="gpt-4o", quorum=2)
    assert client.status == 200, client.body
    assert (client.json["decided_by"], client.json["winner"]) == ("judge", 0)
    assert client.json["answer"] == client.json["members"][0]["answer"]
    assert client.json["judge"]["answer"] == "1"
    assert len(rig.usage()) == 3


def test_a_judge_that_names_nobody_leaves_the_choice_to_the_order(rig: Rig) -> None:
    """Which is the client's own preference, and is said so."""
    client = asked(rig, [says("a"), says("b")], says("Hm."), strategy="best_of", judge="gpt-4o", quorum=2)
    assert (client.json["decided_by"], client.json["winner"]) == ("order", 0)


def test_a_synthesis_is_the_judges_own(rig: Rig) -> None:
    """It is nobody's answer."""
    client = asked(rig, [says("a"), says("b")], says("a and b"), strategy="synthesis", judge="gpt-4o")
    assert client.json["answer"] == "a and b"
    assert client.json["winner"] is None


def test_a_judge_that_fails_fails_the_whole(rig: Rig) -> None:
    """What the members used is charged all the same."""
    client = asked(rig, [says("a"), says("b")], refuses, strategy="synthesis", judge="gpt-4o", quorum=2)
    assert client.status == 400
    assert client.json["error"]["code"] == "bad"
    assert sum(int(event["cost"]) for event in rig.usage()) == 80_000
    assert rig.leases() == 0


def test_all_are_admitted_or_none(rig: Rig) -> None:
    """A budget for two of three members pays for none, and no provider hears of any."""
    rig.valkey.set("{default}:open", 1)
    rig.aws.item = item(budget={"total_nano": 2 * WORST + 1})

    client = asked(rig, [says("a")] * 3)

    assert client.status == 429
    assert client.json["error"]["code"] == "insufficient_quota"
    assert rig.upstream.requests == []
    assert rig.leases() == 0
    assert int(rig.valkey.hget(f"{{default}}:spend:key:{KEY}", "r:t") or 0) == 0
    assert all(int(event["cost"]) == 0 for event in rig.usage())


@pytest.mark.parametrize("fields", [{"models": ["gpt-4o", "nobody"]}, {"strategy": "best_of", "judge": "nobody"}])
def test_an_unknown_model_is_refused_before_anything(rig: Rig, fields: dict[str, Any]) -> None:
    """Be it a member's or the judge's."""
    client = asked(rig, [says("a")] * 2, **fields)
    assert client.status == 404
    assert client.json["error"]["code"] == "model_not_found"
    assert rig.usage() == []


def test_an_ensemble_counts_once_however_many_answer(rig: Rig) -> None:
    """A key may ask for so many a minute, by default 20, and for chats beside them; no other key is in its way."""
    rig.valkey.set("{default}:open", 1)
    assert asked(rig, [says("a")] * 3).status == 200
    assert rig.valkey.hget("{default}:policy:class:ensemble", "rpm") == b"20"
    tell(rig, 2)
    assert asked(rig, [says("a")] * 3).status == 200
    refused = asked(rig, [says("a")] * 3)
    error = refused.json["error"]
    assert (refused.status, error["scope"], error["limit"], error["used"]) == (429, "endpoint", 2, 2)
    assert rig.chat().status == 200
    rig.valkey.flushall()
    rig.aws.others.append(item(sk="class#ensemble", limits={"requests_per_minute": 1}))
    assert [asked(rig, [says("a")] * 3).status for _ in range(2)] == [200, 429]


def tell(rig: Rig, limit: int) -> None:
    """Limit the endpoint, as an administrator does."""
    record = {"limits": {"requests_per_minute": limit}}
    rig.gateway.admission.tell("default", "class:ensemble", 2, policies.endpoint_policy("ensemble", record))
