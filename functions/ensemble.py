"""`POST /api/ai/ensemble`: one question to several models at once, and one answer out of theirs.

All members, and the judge if there is one, are admitted before any is asked: all of them or none, so that money for the
whole is there from the start. Each is a request of its own to limits and budgets, also to those of its model, and is
settled for what it used, a loser that is cut off included.
"""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from functions.members import Member, enlist
from shared.core import ballot, ensembles, routing
from shared.core.errors import UpstreamFailed
from shared.core.pricing import usd
from shared.core.usage import to_openai, total
from shared.core.wire import encode

if TYPE_CHECKING:
    from functions.call import Call
    from functions.plane import Gateway
    from functions.reply import Reply
    from shared.core.ensembles import Ensemble

JUDGE_SECONDS = 5.0  # of the time there is, kept for the judge at least


class QuorumMissed(UpstreamFailed):
    """Too few members answered; `details` tell of each."""

    code = "quorum_missed"


class _Chosen(NamedTuple):
    """The answer, by what it was decided, and whose it is: a member's number, or None for the judge's own."""

    answer: str
    by: str
    winner: int | None
    votes: int | None = None


def ensemble(body: bytes, parent: Call, gateway: Gateway, reply: Reply) -> None:
    """Serve one request.

    Raises:
        GatewayError: it is wrong, or refused; too few members answered; or the judge failed.
        ClientGone: the client does not read any more.
    """
    request = ensembles.parse(body)
    for model in (*request.models, *filter(None, [request.judge])):
        if not parent.principal.may_use(model):
            raise routing.unknown(model, gateway.catalog, parent.principal.may_use)
    lock = threading.RLock()  # whoever hears of a breaker, in a call to the store, writes it to the log
    members = [enlist(at, chat, parent, gateway, lock) for at, chat in enumerate(ensembles.members(request))]
    judge = None
    if request.judge:
        judge = enlist(len(members), ensembles.longest_judging(request), parent, gateway, lock)
    _admit([*members, *filter(None, [judge])])
    reply.headers.update(members[-1].call.grant.requests.headers())
    _poll(members, request, parent)
    try:
        chosen = _chosen(members, judge, request)
    finally:
        if judge and not judge.thread:
            judge.withdraw()
    reply.whole(encode(_rendered(request, chosen, members, judge, parent)))


def _admit(everyone: list[Member]) -> None:
    """Admit all, or none: the first refusal is raised, and what was admitted until then is settled at nothing."""
    for member in everyone:
        member.prepare()
    for position, member in enumerate(everyone):
        try:
            member.admit()
        except BaseException:
            for admitted in everyone[:position]:
                admitted.withdraw()
            raise


def _poll(members: list[Member], request: Ensemble, parent: Call) -> None:
    """Ask all members at once and wait until enough have answered; then cut the others off. All are settled then."""
    finished: SimpleQueue[Member] = SimpleQueue()
    for member in members:
        member.begin(finished)
    pending = len(members)
    spare = JUDGE_SECONDS if request.judge else 0.0
    while pending and not _enough(members, pending, request):
        try:
            finished.get(timeout=max(0.0, parent.left() - spare))
        except Empty:
            break  # out of time
        pending -= 1
    for member in members:
        member.cancel()
    for member in members:
        member.join()


def _enough(members: list[Member], pending: int, request: Ensemble) -> bool:
    answers = _answers(members)
    if not request.early or len(answers) < request.quorum:
        return False
    return request.strategy != "vote" or ballot.standing(answers, pending).decided


def _answers(members: list[Member]) -> dict[int, str]:
    return {member.number: member.text for member in members if member.text is not None}


def _chosen(members: list[Member], judge: Member | None, request: Ensemble) -> _Chosen:
    """Decide.

    Raises:
        QuorumMissed: too few have answered.
        GatewayError: the judge has failed.
    """
    answers = _answers(members)
    if len(answers) < request.quorum:
        told = [member.told() for member in members]
        said = f"{len(answers)} of {len(members)} members answered, and {request.quorum} must: see 'members'."
        raise QuorumMissed(said, details={"members": told})
    if judge is None:
        leader, count, _ = ballot.standing(answers, 0)
        return _Chosen(answers[leader], "vote", leader, count)
    said = judge.ask(ensembles.judging(request, answers))
    if request.strategy == "synthesis":
        return _Chosen(said, "judge", None)
    number = ensembles.verdict(said, answers)
    if number is None:  # it named nobody: the order of the members is the client's own preference
        return _Chosen(answers[min(answers)], "order", min(answers))
    return _Chosen(answers[number], "judge", number)


def _rendered(
    request: Ensemble, chosen: _Chosen, members: list[Member], judge: Member | None, parent: Call
) -> dict[str, Any]:
    everyone = [*members, *filter(None, [judge])]
    costs = [member.call.event.cost for member in everyone]
    known = None if None in costs else sum(cost or 0 for cost in costs)
    return {
        "id": f"ens-{parent.event.request_id}",
        "object": "ensemble",
        "created": parent.moment.now,
        "strategy": request.strategy,
        "answer": chosen.answer,
        "decided_by": chosen.by,
        "winner": chosen.winner,
        "votes": chosen.votes,
        "members": [member.told() for member in members],
        "judge": judge.told() if judge else None,
        "usage": to_openai(total(member.call.event.usage for member in everyone), None),
        "cost_usd": None if known is None else usd(known),
    }
